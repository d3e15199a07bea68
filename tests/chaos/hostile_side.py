"""Does to the importer what hostile messages, odd answers and changed rights do."""

import asyncio
import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.chaos.portal_side import CUT_AFTER, CUT_BEFORE, EVENTS, NO_EXTERNAL_ID, POISON, scripted
from tests.chaos.trial import (
    ADMIN,
    MALFORMED,
    NOT_TWICE,
    REJECTED,
    SLOW,
    SUCCEEDED,
    UNSUPPORTED,
    Scenario,
    Trial,
    by_hand,
    event,
)
from tests.support.raw import RawUpstream, Refused
from tests.support.wild import Wild

ANNE = 8
PIPELINE = 5
UPLOAD_SECONDS = 2.5
UPLOAD_RATE = 400_000
NO_MEMORY = {"IMPORTER_RABBIT__MEMORY_QUEUE": ""}
UPLOAD = {"IMPORTER_BITRIX__TIMEOUT_SECONDS": "4", "IMPORTER_BITRIX__SETTLE_SECONDS": "3"}
HANG_SECONDS = 3.0
QUIET_SECONDS = 6.0
LONG_WAIT = {"IMPORTER_AMBIGUOUS_AFTER_SECONDS": "60"}
SMALL = {"IMPORTER_BATCH__PREFETCH": "60"}
NO_ADMIN: Mapping[str, Any] = {"admin": False, "default_item_seconds": 0.01}
BOMBS = (
    gzip.compress(b"") * 90_000,
    gzip.compress(b" " * 100_000_000),
    b"[" * 1_900_000,
    b'{"fields":[' + b"[]," * 300_000 + b"0]}",
    json.dumps({f"{n:x}": 0 for n in range(150_000)}).encode(),
    json.dumps(event("i" * 500_000)).encode(),
    b'{"entityTypeId":' + b"1" * 1_900_000 + b"}",
)
GZIPPED = 2
"""So many of the bombs are packed."""


async def bombs(trial: Trial) -> None:
    """Publish bodies that cost most to read, and good events behind them."""
    await trial.start()
    for number, bomb in enumerate(BOMBS):
        packed = "gzip" if number < GZIPPED else None
        await trial.send([bomb], may_end=MALFORMED, content_encoding=packed)
        await trial.publish(EVENTS // len(BOMBS))


async def wild_properties(trial: Trial) -> None:
    """Give good events properties and headers that hardly a client library can read."""
    await trial.start()
    wild = Wild(trial.dice.randrange(1_000_000))
    environment = trial.environment
    bodies = [json.dumps(event(f"w{n}")).encode() for n in range(EVENTS)]

    def publish() -> None:
        for body in bodies:
            written = wild.properties()
            while True:
                message = trial.published(body, SUCCEEDED)
                try:
                    with RawUpstream(environment.broker.url(environment.vhost)) as upstream:
                        upstream.publish(body, written)
                except Refused:
                    written = {}
                else:
                    trial.accepted(message, body)
                    break

    await by_hand(publish)


async def slow_upload(trial: Trial) -> None:
    """Let bodies leave slowly, and the portal work on longer than anybody waits for it."""
    trial.environment.portal.faults(
        [{"kind": "hang_before_commit", "seconds": UPLOAD_SECONDS * 0.8, "times": 2}]
    )
    heavy = {"comments": "x" * round(UPLOAD_SECONDS * UPLOAD_RATE / 20)}
    listener = await trial.listen(rate=UPLOAD_RATE)
    await trial.start(BITRIX__WEBHOOK_URL=listener.url)
    await trial.publish(40, types=(2,), more=heavy)
    await trial.environment.settle(trial.expected)


async def upload_taken_over(trial: Trial) -> None:
    """Cut the broker's line of whoever uploads slowly: another process may take over meanwhile.

    Without a memory nobody else knows of the upload; its body must not become whole.
    """
    size = round(UPLOAD_SECONDS * UPLOAD_RATE / 20)
    listener = await trial.listen(rate=UPLOAD_RATE / 3)
    await trial.start(BITRIX__WEBHOOK_URL=listener.url)
    await trial.start()
    await trial.publish(20, types=(2,), more={"comments": "x" * size})
    await asyncio.sleep(1.5)
    async with trial.fault("line cut in mid-upload"):
        trial.proxy.cut()
    await trial.environment.settle(trial.expected)


async def poison_hangs(trial: Trial) -> None:
    """Let one item hang every call that carries it."""
    trial.environment.portal.faults(
        [{"kind": "poison", "match": POISON, "then": "hang", "seconds": HANG_SECONDS, "times": -1}]
    )
    await trial.start()
    await trial.publish(12, types=(2,))
    await trial.publish(1, types=(2,), may_end=REJECTED, more={"comments": POISON})
    await trial.publish(12, types=(2,))


async def many_unknown_types(trial: Trial) -> None:
    """Send rubbish of so many types that labels and queues could run out."""
    await trial.start()
    rubbish = [event(f"x{n}", 5000 + n) for n in range(EVENTS)]
    await trial.send(rubbish, may_end=UNSUPPORTED)
    await trial.publish(EVENTS)


async def set_back(trial: Trial) -> None:
    """Bring older data back; then new events, and the old ones again."""
    await trial.start()
    old = [event(f"old{n}") for n in range(EVENTS // 2)]
    await trial.send(old)
    await trial.environment.settle(trial.expected)
    async with trial.fault("portal set back"):
        trial.portal.set_back(trial.dice.randrange(EVENTS // 2))
    await trial.publish(EVENTS // 2, types=(2,))
    await trial.environment.settle(trial.expected)
    await trial.send(old)


def right_revoked(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Scenario:
    """Make a scenario in which a call is cut after what its user may read has changed."""

    async def act(trial: Trial) -> None:
        await trial.start()
        await trial.publish(EVENTS, types=(2,))
        await trial.environment.settle(trial.expected)
        async with trial.fault(name):
            trial.environment.portal.settings(after)
            trial.environment.portal.faults([trial.dice.choice((CUT_AFTER, CUT_BEFORE))])
            await trial.publish(20, types=(2,), may_end=NOT_TWICE, more=before)

    return Scenario(name=name, act=act, portal=NO_ADMIN, settings=SMALL)


def witnesses_gone(
    name: str, change: Callable[[Trial], None], seen: Mapping[str, Any]
) -> Scenario:
    """Make a scenario in which nothing that we made proves any more what we may see.

    A call is cut then. What was in it waits, and ends well when we may see our items again.
    """

    async def act(trial: Trial) -> None:
        portal = trial.environment.portal
        await trial.start()
        await trial.publish(EVENTS, types=(2,))
        await trial.environment.settle(trial.expected)
        async with trial.fault(name):
            change(trial)
            portal.settings(seen)
            portal.faults([trial.dice.choice((CUT_AFTER, CUT_BEFORE))])
            await trial.publish(20, types=(2,))
            await asyncio.sleep(3.0)
            await trial.publish(3, types=(2,))
            await asyncio.sleep(3.0)
            portal.settings({"read_responsible": None, "read_pipelines": None, "read_denied": []})
        await trial.publish(3, types=(2,))

    return Scenario(name=name, act=act, portal=NO_ADMIN, settings=SMALL | LONG_WAIT, patience=90)


def _delete(trial: Trial) -> None:
    trial.portal.delete_items()


def _hand_over(trial: Trial) -> None:
    trial.environment.portal.change_items(assignedById=ANNE)


def _move(trial: Trial) -> None:
    trial.environment.portal.change_items(categoryId=PIPELINE)


async def first_call_cut(trial: Trial) -> None:
    """Cut the first call of a new portal; only the next event's item proves anything."""
    trial.environment.portal.faults([trial.dice.choice((CUT_BEFORE, CUT_AFTER))])
    await trial.start()
    await trial.publish(20, types=(2,))
    await asyncio.sleep(3.0)
    await trial.publish(3, types=(2,))


async def quiet_credentials(trial: Trial) -> None:
    """Refuse imports for want of credentials while everything else is answered."""
    refused = {"kind": "refuse", "code": "NO_AUTH_FOUND", "status": 401, "times": -1}
    await trial.start()
    async with trial.fault("imports refused for credentials"):
        trial.environment.portal.faults([refused])
        for _ in range(3):
            await trial.publish(1, types=(2,))
            await asyncio.sleep(QUIET_SECONDS / 3)
        trial.environment.portal.faults([])
    await trial.publish(10)


async def pause_with_stand_by(trial: Trial) -> None:
    """Refuse credentials while items wait that nobody could look up: none is blamed."""
    await trial.begin_memory()
    await trial.start()
    await trial.start()
    async with trial.fault("credentials revoked"):
        trial.environment.portal.settings({"state": "credentials"})
        await trial.publish(EVENTS, types=(NO_EXTERNAL_ID,))
        await asyncio.sleep(trial.dice.uniform(1.0, 4.0))
        trial.environment.portal.settings({"state": "ok"})


async def published_again_after_failing(trial: Trial) -> None:
    """Mend what events failed for, publish them again, and cut the line while they are held."""
    trial.environment.portal.settings({"required": {"2": ["comments"]}})
    await trial.start(BATCH__WINDOW_SECONDS="3")
    bodies = [event(f"e{n}") for n in range(15)]
    await trial.send(bodies, may_end=REJECTED)
    await trial.environment.settle(trial.expected)
    trial.environment.portal.settings({"required": {}})
    await trial.send(bodies, may_end=(frozenset({"rejected", "succeeded"}),))
    async with trial.fault("cut"):
        await asyncio.sleep(trial.dice.uniform(0.2, 2.0))
        trial.proxy.cut()
    await trial.environment.wait_idle()


SCENARIOS = (
    Scenario(name="bombs", act=bombs, portal=SLOW, patience=120),
    Scenario(name="wild properties", act=wild_properties, portal=SLOW),
    Scenario(name="slow upload", act=slow_upload, portal=ADMIN, settings=UPLOAD, patience=90),
    Scenario(
        name="slow upload, taken over, no memory",
        act=upload_taken_over,
        portal=ADMIN,
        settings=UPLOAD | {"IMPORTER_BITRIX__TIMEOUT_SECONDS": "10"} | NO_MEMORY,
        patience=90,
        # Its two processes have two addresses of the portal: what one parks, the other leaves.
        alone=True,
    ),
    Scenario(name="poison, then hang", act=poison_hangs, portal=ADMIN, patience=90),
    Scenario(name="many unknown types", act=many_unknown_types, portal=ADMIN),
    Scenario(name="portal set back", act=set_back, portal=ADMIN),
    right_revoked("right to read revoked", {}, {"read_denied": [2]}),
    right_revoked("items of others hidden", {"assignedById": ANNE}, {"read_responsible": [1]}),
    witnesses_gone("witnesses deleted", _delete, {"read_denied": [2]}),
    witnesses_gone("witnesses handed over", _hand_over, {"read_responsible": [ANNE]}),
    witnesses_gone("witnesses moved", _move, {"read_pipelines": [PIPELINE]}),
    Scenario(name="first call cut", act=first_call_cut, portal=NO_ADMIN, settings=LONG_WAIT),
    Scenario(name="imports refused for credentials", act=quiet_credentials, portal=NO_ADMIN),
    Scenario(name="pause, no external id", act=pause_with_stand_by, portal=SLOW),
    Scenario(name="failed, published again, cut", act=published_again_after_failing, portal=ADMIN),
    scripted(
        "retry after, long codes",
        {"kind": "refuse", "code": "QUERY_LIMIT_EXCEEDED", "status": 503, "retry_after": "2"},
        {"kind": "refuse", "code": "x" * 100_000, "status": 502, "times": 2},
    ),
)
