"""Proves what the first page says of every state of the importer."""

from typing import Any

import pytest

from service.commands.console.verdict import REASONS, verdict, who_acts
from service.commands.status_reading import Process
from service.domain.outcomes import PauseReason

FLOWING: dict[str, Any] = {"state": "flowing", "active": True, "lanes": []}


def of(**told: Any) -> Process:
    """Return a process that says this."""
    return Process("10.0.0.1", {**FLOWING, **told})


LANES = [
    {"entity_type": 128, "state": "closed", "reason": "scope"},
    {"entity_type": 2, "state": "trial", "reason": "plan"},
]


@pytest.mark.parametrize(
    ("process", "tone", "says"),
    [
        (of(), "good", "All is well: items flow"),
        (of(active=None), "good", "All is well: items flow"),
        (of(active=False), "bad", "No process takes messages"),
        (of(state="paused", reason="plan"), "bad", "The importer is paused"),
        (
            of(state="half_open", reason="plan"),
            "warn",
            "The importer tests whether the portal takes items again",
        ),
        (of(state="draining"), "warn", "The importer is stopping"),
        (of(state="connecting"), "bad", "The importer has no connection to the broker"),
        (of(state="reconnecting"), "bad", "The importer has no connection to the broker"),
        (of(lanes=LANES), "warn", "Items flow, but those of types 128, 2 wait"),
        (of(lanes=LANES[:1]), "warn", "Items flow, but those of type 128 wait"),
        (
            of(budget={"import": {"wait_seconds": 40}}),
            "warn",
            "Items flow, slowed by the portal's budget",
        ),
        (of(oldest_held_seconds=90), "warn", "Items flow, but late"),
        (
            of(oldest_held_seconds=None, lanes=[{}], budget={}),
            "warn",
            "Items flow, but those of type None wait",
        ),
    ],
)
def test_each_state_has_an_answer(process: Process, tone: str, says: str) -> None:
    """Is it all right? Whoever must act is named where somebody must."""
    told = verdict(process, [process], "")
    assert (tone, says) == (told.tone, told.says)
    assert "good" == tone or told.why


@pytest.mark.parametrize("reason", PauseReason)
def test_every_reason_of_a_pause_says_why_and_who_must_act(reason: PauseReason) -> None:
    """And until when."""
    process = of(state="paused", reason=str(reason), next_try_seconds=45.0)
    told = verdict(process, [process], "")
    assert (REASONS[reason], "next try in 45 s") == (told.why, told.until)
    assert told.who
    assert ("nobody" in told.who or "wait" in told.who) is not reason.needs_a_person


@pytest.mark.parametrize(
    ("broker", "says"),
    [
        ("", "The importer does not answer"),
        ("refused", "Neither the importer nor the broker answers"),
    ],
)
def test_an_importer_that_is_away_is_told_of(broker: str, says: str) -> None:
    """With what each address said, and the setting that tells where to ask."""
    told = verdict(None, [Process("10.0.0.1", problem="nothing answers there")], broker)
    assert ("bad", says) == (told.tone, told.says)
    assert "10.0.0.1: nothing answers there" in told.why
    assert "IMPORTER_CONSOLE__STATUS_URL" in told.who


def test_a_reason_that_nobody_knows_is_shown_as_it_is() -> None:
    """A newer importer may have more of them."""
    process = of(state="paused", reason="new_reason")
    assert "new_reason" == verdict(process, [process], "").why
    assert who_acts("new_reason")
