"""Decides what the first page says: is it all right, why not, until when, and who must act."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from service.bitrix.reasons import PAUSES
from service.commands.console.wording import duration
from service.commands.status_reading import Process
from service.domain.outcomes import PauseReason

LATE_SECONDS = 60.0
"""The freshness objective: an event has its outcome within this time."""
WAIT_SECONDS = 5.0
"""A pause before a call that is worth telling."""

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "credentials": "the portal refuses the credentials",
        "scope": "the portal denies the right to import",
        "plan": "the portal's plan does not allow it",
        "blocked": "the portal's support has blocked its REST interface",
        "portal_deleted": "the portal was deleted",
        "auth_server": "the authorisation server cannot be reached",
        "unavailable": "the portal does not answer as it should",
        "operating_limit": "the portal's execution budget is spent",
        "failure_share": "too many of the last items were rejected",
        "doubt": "the event may be in the CRM already: it waits for a look-up or for a proof",
        "link": "the event waits for linked items",
    }
)
"""What a reason means, of a pause, a closed lane, or of waiting."""
_LETTERS = (
    "the importer's operator: read the newest dead letters; something upstream or in the portal "
    "has changed"
)
_NO_BROKER = "it has no connection to the broker"
_PASSES = "nobody: it ends by itself"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer. `tone`: good, warn or bad; `why`, `until`, `who`: empty where there is none."""

    tone: str
    says: str
    why: str = ""
    until: str = ""
    who: str = ""


def who_acts(reason: str) -> str:
    """Return who must do what about a reason."""
    if reason == PauseReason.FAILURE_SHARE:
        return _LETTERS
    known = reason in set(PauseReason)
    told = PAUSES.get(PauseReason(reason), _PASSES) if known else _PASSES
    return told.replace("`", "")


def verdict(process: Process | None, found: Sequence[Process], broker_problem: str) -> Verdict:
    """Return the answer from what the process that is shown says."""
    if process is None or process.status is None:
        return _away(found, broker_problem)
    status = process.status
    match status.get("state"):
        case "paused" | "half_open":
            return _paused(status)
        case "draining":
            return Verdict(
                "warn",
                "The importer is stopping",
                "it got the signal to stop, and finishes the events that it holds",
            )
        case "connecting" | "reconnecting":
            why = broker_problem or str(status.get("why") or _NO_BROKER)
            return Verdict(
                "bad",
                "The importer has no connection to the broker",
                why,
                "it tries again by itself",
                "the importer's operator: check the broker",
            )
        case _:
            return _flowing(status)


def _away(found: Sequence[Process], broker_problem: str) -> Verdict:
    told = "; ".join(f"{each.address}: {each.problem}" for each in found)
    why = f"its status cannot be read ({told})" if told else "the console has not asked it yet"
    if broker_problem:
        return Verdict(
            "bad",
            "Neither the importer nor the broker answers",
            f"{why}; {broker_problem}",
            "",
            "the importer's operator: check that both run, and check IMPORTER_CONSOLE__STATUS_URL",
        )
    return Verdict(
        "bad",
        "The importer does not answer",
        why,
        "messages wait in the broker, none is lost",
        "the importer's operator: check that it runs, and check IMPORTER_CONSOLE__STATUS_URL",
    )


def _paused(status: Mapping[str, Any]) -> Verdict:
    reason = str(status.get("reason") or "")
    if status.get("state") == "half_open":
        return Verdict(
            "warn",
            "The importer tests whether the portal takes items again",
            REASONS.get(reason, reason),
            "this batch decides",
            who_acts(reason),
        )
    seconds = status.get("next_try_seconds")
    until = f"next try in {duration(seconds)}" if isinstance(seconds, int | float) else ""
    return Verdict(
        "bad", "The importer is paused", REASONS.get(reason, reason), until, who_acts(reason)
    )


def _flowing(status: Mapping[str, Any]) -> Verdict:
    if status.get("active") is False:
        return Verdict(
            "bad",
            "No process takes messages",
            "the process that answers has no consumer at the intake queue",
            "",
            "the importer's operator: read its log",
        )
    shut = [each for each in status.get("lanes", []) if each.get("state") != "open"]
    if shut:
        types = ", ".join(str(each.get("entity_type")) for each in shut[:10])
        reasons = dict.fromkeys(str(each.get("reason")) for each in shut)
        return Verdict(
            "warn",
            f"Items flow, but those of {'type' if len(shut) == 1 else 'types'} {types} wait",
            "; ".join(REASONS.get(each, each) for each in reasons),
            _next_try(shut),
            "; ".join(dict.fromkeys(who_acts(each) for each in reasons)),
        )
    return _slow(status) or Verdict("good", "All is well: items flow")


def _next_try(shut: Sequence[Mapping[str, Any]]) -> str:
    """Return when the first of some lanes is tried, if it is known."""
    waits = [each.get("next_try_seconds") for each in shut]
    known = [each for each in waits if isinstance(each, int | float)]
    if not known:
        return "each is tried by itself, see Lanes"
    which = "it is" if len(shut) == 1 else "the first of them is"
    return f"{which} tried in {duration(min(known))}, by itself; see Lanes"


def _slow(status: Mapping[str, Any]) -> Verdict | None:
    wait = status.get("budget", {}).get("import", {}).get("wait_seconds")
    if isinstance(wait, int | float) and wait > WAIT_SECONDS:
        return Verdict(
            "warn",
            "Items flow, slowed by the portal's budget",
            REASONS["operating_limit"],
            f"the next call may leave in {duration(wait)}",
            _PASSES,
        )
    oldest = status.get("oldest_held_seconds")
    if isinstance(oldest, int | float) and oldest > LATE_SECONDS:
        return Verdict(
            "warn",
            "Items flow, but late",
            f"the oldest held event has waited for {duration(oldest)}",
            "",
            "nobody yet: if this grows, read the importer's log",
        )
    return None
