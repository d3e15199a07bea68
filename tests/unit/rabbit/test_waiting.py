"""Proves that a message waits in an inner queue as it came, and comes back as it was."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from service.rabbit.waiting import (
    Waiting,
    parked,
    queue_arguments,
    stay_of,
    unparked,
    waiting_of,
)
from service.telemetry import steady
from tests.unit.rabbit.handed import arrived, original

AT = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
WAITING = Waiting(
    reason="scope",
    portal="portal.example",
    event_id="order-1017",
    parked_at=AT,
    received_at=AT,
    waited=12.5,
    exchange="crm.items",
    routing_key="item.2",
    message_id="m-1",
    redrive_count=1,
    attempts=2,
    perhaps_sent=AT,
)


@given(
    st.builds(
        Waiting,
        reason=st.sampled_from(["scope", "doubt", "link"]),
        portal=st.text(max_size=20),
        event_id=st.text(min_size=1, max_size=1000),
        parked_at=st.datetimes(datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        received_at=st.datetimes(datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        waited=st.floats(0, 1e8),
        attempts=st.integers(0, 10**6),
        redrive_count=st.integers(0, 10**6),
        perhaps_sent=st.none() | st.just(AT),
        exchange=st.just("crm.items"),
        routing_key=st.just("item.2"),
        message_id=st.none() | st.just("m"),
    )
)
def test_what_is_said_of_the_waiting_is_read_again(waiting: Waiting) -> None:
    """Times to the millisecond."""
    read = waiting_of(arrived(parked(original(), waiting, "q")).header.properties)
    assert read is not None
    same = replace(
        waiting,
        parked_at=read.parked_at,
        received_at=read.received_at,
        waited=read.waited,
    )
    assert same == read
    assert abs((waiting.parked_at - read.parked_at).total_seconds()) <= 0.001
    assert abs(waiting.waited - read.waited) <= 0.001


def test_a_parked_message_keeps_body_headers_and_properties() -> None:
    """But what would end it or cannot be sent again: expiration, user, the broker's counts."""
    came = original(
        headers={"x-delivery-count": 7, "x-acquired-count": 8, "own": "value", "x-own": 5},
        expiration="1000",
        user_id="somebody",
        correlation_id="c-1",
        priority=9,
        app_id="shop",
        message_id="m-1",
        delivery_mode=1,
    )
    sent = parked(came, WAITING, "crm.items.parked.2")
    properties = arrived(sent).header.properties
    headers = properties.headers or {}
    assert ("", "crm.items.parked.2", came.body) == (
        sent.exchange,
        sent.routing_key,
        sent.body,
    )
    assert {"own": "value", "x-own": 5} == {
        name: value for name, value in headers.items() if not name.startswith("import_")
    }
    assert (None, None, "c-1", 9, "shop", 2) == (
        properties.expiration,
        properties.user_id,
        properties.correlation_id,
        properties.priority,
        properties.app_id,
        properties.delivery_mode,
    )
    assert "m-1" == headers["import_original_message_id"]
    assert properties.message_id not in {None, "m-1"}


def test_routing_copies_are_kept_and_route_nothing() -> None:
    """At the default exchange the broker would take them for queues."""
    first = arrived(parked(original(headers={"CC": ["elsewhere"]}), WAITING, "q"))
    again = arrived(parked(first, WAITING, "r"))
    for each in (first, again):
        headers = each.header.properties.headers or {}
        assert "CC" not in headers
        assert ["elsewhere"] == headers["import_original_cc"]


def test_a_message_that_moves_between_inner_queues_says_only_the_newest() -> None:
    """One reason, one time; nothing of the first stays."""
    first = arrived(parked(original(), WAITING, "crm.items.parked.doubtful"))
    sure = replace(WAITING, reason="plan", perhaps_sent=None)
    second = waiting_of(arrived(parked(first, sure, "crm.items.parked.2")).header.properties)
    assert sure == second


def test_what_goes_back_to_the_intake_is_the_original_again() -> None:
    """With its name; what may have been sent says so, and counts as redriven once more."""
    waiting = arrived(parked(original(headers={"own": 1}, message_id="m-1"), WAITING, "q"))
    sent = unparked(waiting, WAITING, "crm.items")
    headers = sent.properties.headers or {}
    assert ("crm.items", "item.2", "m-1") == (
        sent.exchange,
        sent.routing_key,
        sent.properties.message_id,
    )
    assert {
        "own": 1,
        "import_event_id": "order-1017",
        "import_redrive_count": 2,
        "import_perhaps_sent": "2026-03-01T12:00:00.250Z",
    } == headers
    sure = unparked(waiting, replace(WAITING, perhaps_sent=None, redrive_count=0), "crm.items")
    assert "import_redrive_count" not in (sure.properties.headers or {})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"import_parked_at": "x", "import_waited_seconds": "nan"},
        {"import_waited_seconds": "-1", "import_attempts": "many", "import_redrive_count": -5},
        {"import_perhaps_sent": 12, "import_event_id": b"\xff"},
    ],
)
def test_no_message_is_too_strange_to_read(headers: dict[str, Any]) -> None:
    """Whoever put it there."""
    read = waiting_of(Basic.Properties(headers={"import_parked_reason": "scope", **headers}))
    assert read is not None
    assert (0.0, 0, 0) == (read.waited, read.attempts, read.redrive_count)


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_clock_that_was_set_since_the_start_changes_no_waiting(
    monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """Others write by the system's clock. When a look-up proves something is never too early."""
    told = time.time() + step
    monkeypatch.setattr(time, "time", lambda: told)
    now = datetime.fromtimestamp(told, UTC)
    waiting = replace(WAITING, parked_at=now, received_at=now, perhaps_sent=now)
    stay = stay_of(arrived(parked(original(), waiting, "q")).header.properties, "128")
    assert stay is not None
    assert stay.perhaps_sent is not None
    since = steady.time() - stay.parked_at, steady.time() - stay.received_at
    assert (0.0, 0.0) == pytest.approx(since, abs=2.0)
    # It may have been written before the clock was set as well.
    before = told - step if step < 0 else told
    assert stay.perhaps_sent == pytest.approx(before, abs=2.0)


def test_the_largest_counts_can_be_raised_and_written() -> None:
    """What cannot be written could never be parked, nor end as a dead letter."""
    most = {"import_attempts": 2**63 - 1, "import_redrive_count": 2**63 - 1}
    first = original(headers={"import_parked_reason": "scope", **most})
    read = waiting_of(first.header.properties)
    assert read is not None
    raised = replace(read, attempts=read.attempts + 1, redrive_count=read.redrive_count + 1)
    for again in (parked(first, raised, "q"), unparked(first, raised, "crm.items")):
        assert (again.properties.headers or {})["import_redrive_count"] in {2**31, 2**31 + 1}
        assert again.properties.marshal()


def test_a_message_of_somebody_else_says_nothing_of_waiting() -> None:
    """It has no reason."""
    assert waiting_of(Basic.Properties()) is None


def test_no_count_ends_what_waits() -> None:
    """Its queue has no limit in effect; what the broker ends all the same is a dead letter."""
    arguments = queue_arguments("crm.items.dlx")
    assert 2_000_000_000 == arguments["x-delivery-limit"]
    assert "crm.items.dlx" == arguments["x-dead-letter-exchange"]
