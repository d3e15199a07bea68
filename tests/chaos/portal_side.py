"""Does to the importer what portals do."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from tests.chaos.trial import (
    ADMIN,
    NOT_TWICE,
    REJECTED,
    SLOW,
    Outcomes,
    Scenario,
    Trial,
    by_hand,
    event,
)
from tests.support.amqp import wait_until

EVENTS = 60
POISON = "the poisoned one"
NO_EXTERNAL_ID = 7
PATIENT = {"IMPORTER_BITRIX__SETTLE_SECONDS": "3"}
CUT_AFTER = {"kind": "cut_after_commit"}
CUT_BEFORE = {"kind": "cut_before_commit"}
LIST = "crm.item.list"
NO_READING = {"admin": False, "read_denied": [2, 128]}


def scripted(
    name: str,
    *faults: Mapping[str, Any],
    portal: Mapping[str, Any] = ADMIN,
    settings: Mapping[str, str] | None = None,
) -> Scenario:
    """Make a scenario in which some import calls go wrong by a script."""

    async def act(trial: Trial) -> None:
        trial.environment.portal.faults(
            [{"after": trial.dice.randrange(2), **each} for each in faults]
        )
        await trial.start()
        await trial.publish(EVENTS)

    return Scenario(name=name, act=act, portal=portal, settings=settings or {})


def poison(then: str) -> Scenario:
    """Make a scenario in which one item breaks every call that carries it."""

    async def act(trial: Trial) -> None:
        script = {"kind": "poison", "match": POISON, "then": then, "times": -1}
        trial.environment.portal.faults([script])
        await trial.start()
        place = trial.dice.randrange(30)
        await trial.publish(place, types=(2,))
        await trial.publish(1, types=(2,), may_end=REJECTED, more={"comments": POISON})
        await trial.publish(30 - place, types=(2,))

    return Scenario(name=f"poison, then {then}", act=act, portal=ADMIN)


def shut(state: str, name: str) -> Scenario:
    """Make a scenario in which the portal is shut for a while in the middle of the work."""

    async def act(trial: Trial) -> None:
        await trial.start()
        await trial.publish(EVENTS)
        await trial.imported(trial.dice.randrange(1, 30))
        async with trial.fault(name):
            trial.environment.portal.settings({"state": state})
            await trial.publish(EVENTS // 2)
            await asyncio.sleep(trial.dice.uniform(1.0, 4.0))
            trial.environment.portal.settings({"state": "ok"})

    return Scenario(name=name, act=act)


def without_external_id(name: str, fault: Mapping[str, Any], *, resend: bool) -> Scenario:
    """Make a scenario with a type whose items cannot be looked up."""
    doubled = resend and fault is CUT_AFTER
    may_end: Outcomes = (frozenset({"succeeded"}),) if resend else NOT_TWICE

    async def act(trial: Trial) -> None:
        trial.environment.portal.faults([{**fault, "times": 2}])
        await trial.start()
        ids = await trial.publish(50, types=(NO_EXTERNAL_ID,), may_end=may_end)
        if doubled:
            trial.allow("double", ids)

    settings = {"IMPORTER_AMBIGUOUS": "resend" if resend else "dead_letter"}
    return Scenario(name=name, act=act, portal=ADMIN, settings=settings)


async def reading_is_forbidden(trial: Trial) -> None:
    """Cut calls of a user who may import and not read: an empty list proves nothing."""
    trial.environment.portal.faults([{**CUT_AFTER, "times": 1}, {**CUT_BEFORE, "times": 1}])
    await trial.start()
    ids = await trial.publish(EVENTS, may_end=NOT_TWICE)
    books = await trial.environment.settle(ids)
    ambiguous = sum("ambiguous" in ended for ended in books.outcomes().values())
    assert 0 < ambiguous < len(ids), f"{ambiguous} of {len(ids)} are ambiguous"


async def saved_although_refused(trial: Trial) -> None:
    """Hide saved items behind a per-item error 0: they are looked up, and are successes."""
    trial.environment.portal.faults(
        [{"kind": "item_error", "index": n, "code": 0, "saved": True, "times": 2} for n in (3, 7)]
    )
    await trial.start()
    await trial.publish(EVENTS)


async def refused_and_not_saved(trial: Trial) -> None:
    """Refuse one item with a per-item error 0 that saved nothing: the refusal stands."""
    script = {"kind": "item_error", "match": POISON, "code": 0, "saved": False, "times": -1}
    trial.environment.portal.faults([script])
    await trial.start()
    await trial.publish(15, types=(2,))
    await trial.publish(1, types=(2,), may_end=REJECTED, more={"comments": POISON})
    await trial.publish(15, types=(2,))


async def budget_spent(trial: Trial) -> None:
    """Spend the portal's execution budget of five seconds, which the importer does not know."""
    await trial.start()
    await trial.publish(100, types=(2,))


async def port_closed(trial: Trial) -> None:
    """Shut the portal's port under load, with calls under way, and open it again."""
    listener = await trial.listen()
    await trial.start(BITRIX__WEBHOOK_URL=listener.url)
    await trial.publish(EVENTS)
    for _ in range(2):
        await trial.imported(trial.dice.randrange(1, EVENTS // 2))
        async with trial.fault("portal port closed"):
            await listener.close()
            await asyncio.sleep(trial.dice.uniform(0.5, 4.0))
            await listener.open()
    await trial.environment.settle(trial.expected)


async def portal_killed(trial: Trial) -> None:
    """Kill the portal before its first import; events wait until it is there again.

    It comes back empty, and would give out known ids again if it had given out any.
    """
    portal = trial.environment.portal
    await trial.start()
    async with trial.fault("portal killed"):
        trial.portal.killed()
        portal.kill()
        await trial.publish(EVENTS)
        await asyncio.sleep(trial.dice.uniform(1.0, 4.0))
        await by_hand(portal.start)
    await wait_until(lambda: _answers(trial), what="the portal")


async def one_item_denied(trial: Trial) -> None:
    """Deny one item its pipeline: it is rejected, nobody else waits for it."""
    script = {"kind": "item_error", "match": POISON, "code": "ACCESS_DENIED", "times": -1}
    trial.environment.portal.faults([script])
    await trial.start()
    await trial.publish(1, types=(2,), may_end=REJECTED, more={"comments": POISON})
    await trial.publish(EVENTS)


async def unknown_type(trial: Trial) -> None:
    """Mix in events of a type that the portal does not know: only they fail."""
    await trial.start()
    await trial.send(
        [event(f"x{n}", 999) for n in range(5)], may_end=(frozenset({"unsupported"}),)
    )
    await trial.publish(EVENTS)


def _answers(trial: Trial) -> bool:
    try:
        trial.environment.portal.summary()
    except httpx.TransportError:
        return False
    return True


SPENDING = {
    "admin": True,
    "speed": 120,
    "default_item_seconds": 1.2,
    "operating_limit": 48,
}
UNAWARE = {
    "IMPORTER_PAUSE__AFTER_SECONDS": "0",
    "IMPORTER_BITRIX__OPERATING_LIMIT_SECONDS": "0",
    "IMPORTER_BITRIX__OPERATING_WINDOW_SECONDS": "5",
}

SCENARIOS = (
    scripted(
        "hang before commit",
        {"kind": "hang_before_commit", "seconds": 2.5, "times": 2},
        settings=PATIENT,
    ),
    scripted(
        "hang after commit",
        {"kind": "hang_after_commit", "seconds": 2.5, "times": 2},
        settings=PATIENT,
    ),
    scripted("cut before commit", {**CUT_BEFORE, "times": 3}),
    scripted("cut after commit", {**CUT_AFTER, "times": 3}),
    scripted("partial, then error", {"kind": "partial_then_error", "items": 7, "times": 2}),
    scripted("partial, then cut", {"kind": "partial_then_cut", "items": 7, "times": 2}),
    scripted(
        "gateway HTML",
        {"kind": "html", "status": 502, "committed": True},
        {"kind": "html", "status": 503},
        {"kind": "html", "status": 504, "committed": True},
    ),
    scripted("truncated answer", {"kind": "truncated", "times": 2}),
    scripted(
        "wrong count",
        {"kind": "wrong_count", "missing": 1, "times": 2},
        {"kind": "wrong_count", "surplus": 1, "times": 2},
    ),
    scripted(
        "null entry, id zero",
        {"kind": "null_entry", "index": 3, "times": 2},
        {"kind": "id_zero", "index": 3, "times": 2},
    ),
    scripted(
        "unreadable answers",
        {"kind": "error_200", "code": "0", "committed": True},
        {"kind": "empty_body"},
        {"kind": "not_json_200"},
        {"kind": "list_form", "times": 2},
    ),
    scripted(
        "rate refusal",
        {"kind": "refuse", "code": "QUERY_LIMIT_EXCEEDED", "status": 503, "times": 4},
    ),
    scripted(
        "look-up fails too",
        {**CUT_AFTER, "times": 2, "after": 0},
        {"kind": "html", "status": 502, "method": LIST, "times": 2, "after": 1},
    ),
    scripted(
        "look-up lags",
        {**CUT_AFTER, "times": 2},
        # A cut call is looked up a second later, when the lag is over; this one at once.
        {"kind": "error_200", "code": "0", "committed": True, "times": 2},
        portal={"admin": True, "list_lag_seconds": 0.15},
    ),
    poison("error"),
    poison("html"),
    poison("cut"),
    Scenario(name="saved although refused", act=saved_although_refused, portal=ADMIN),
    Scenario(name="refused and not saved", act=refused_and_not_saved, portal=ADMIN),
    Scenario(name="one item denied", act=one_item_denied, portal=ADMIN),
    Scenario(name="unknown type", act=unknown_type, portal=ADMIN),
    Scenario(name="operating limit", act=budget_spent, portal=SPENDING, settings=UNAWARE),
    shut("credentials", "credentials revoked"),
    shut("html503", "portal out of order"),
    Scenario(name="portal port closed", act=port_closed, portal=SLOW),
    Scenario(name="portal killed", act=portal_killed),
    # A call of what goes on beside it could be cut as well, and end in the same doubt.
    Scenario(name="reading forbidden", act=reading_is_forbidden, portal=NO_READING, alone=True),
    without_external_id("no external id, dead letter", CUT_AFTER, resend=False),
    without_external_id("no external id, resend", CUT_AFTER, resend=True),
    without_external_id("no external id, nothing committed", CUT_BEFORE, resend=True),
)
