"""Takes away the queue of a closed lane, the rights to it, or what else it needs."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit, urlunsplit

from tests.chaos.broker_side import active, delete
from tests.chaos.lane_watch import LANE, begin, deny, lane_is_closed, waiting
from tests.chaos.memory_side import MEMORY
from tests.chaos.trial import ADMIN, Act, Scenario, Trial, by_hand
from tests.support.amqp import Upstream, wait_until
from tests.support.node import RabbitNode
from tests.support.parked import ParkedQueues, lane, parked

WAITING, BESIDE, STRANGERS = 25, 10, 30
QUEUE = lane(LANE)
SHIPPED: Mapping[str, str] = {
    "configure": r"^crm\.items\.parked\..*$",
    "write": r"^(amq\.default|crm\.items(\..*)?)$",
    "read": r"^crm\.items\.(import|dlq|memory|parked\..*)$",
}
LACKING: Mapping[str, str] = {
    "configure": "^$",
    "write": r"^crm\.items(\..*)?$",
    "read": r"^crm\.items\.(import|dlq|memory)$",
}
"""What a user may do who lacks one right to the inner queues."""


def _grant(trial: Trial, **rights: str) -> None:
    """Give the narrow user the shipped rights, with these instead of some."""
    place = f"permissions/{quote(trial.environment.vhost, safe='')}/{_user(trial)}"
    trial.environment.broker.api("PUT", place, {**SHIPPED, **rights})


@asynccontextmanager
async def _narrow(trial: Trial, lacks: str) -> AsyncIterator[str]:
    """Lend the address of a user who lacks a right; he goes when all has settled.

    Another process goes on then, for whatever else happens in the run.
    """
    broker, user = trial.environment.broker, _user(trial)
    await by_hand(broker.api, "PUT", f"users/{user}", {"password": "secret", "tags": ""})
    await by_hand(_grant, trial, **{lacks: LACKING[lacks]})
    parts = urlsplit(trial.proxy.url)
    place = f"{user}:secret@{parts.netloc.rpartition('@')[2]}"
    yield urlunsplit(parts._replace(netloc=place))
    await trial.environment.settle(trial.expected)
    for service in trial.environment.survivors():
        service.kill()
    await by_hand(broker.api, "DELETE", f"users/{user}")
    await trial.start()


def _user(trial: Trial) -> str:
    return f"narrow-{trial.environment.vhost}"


def right_missing(lacks: str) -> Act:
    """Return an act: without the right the lane's events hold up the intake, and wait there.

    Whether the right to the queue is given, or the one to import, is drawn by lot.
    """

    async def act(trial: Trial) -> None:
        await trial.begin_memory()
        deny(trial, LANE)
        async with _narrow(trial, lacks) as url:
            await trial.start(RABBIT__URL=url)
            async with trial.fault(f"no right to {lacks}"):
                await trial.send(waiting(WAITING))
                await trial.publish(BESIDE, types=(2,))
                await wait_until(lambda: _held_up(trial), what="a pause")
                if trial.dice.random() < 0.5:
                    await by_hand(_grant, trial)
                    await asyncio.sleep(trial.dice.uniform(0.0, 3.0))
                deny(trial)

    return act


def _held_up(trial: Trial) -> bool:
    return active(trial.environment).probe("readyz")[1].get("paused") == "scope"


async def right_to_read_revoked(trial: Trial) -> None:
    """Take the right to read away from who comes next: what lies there waits, the rest flows."""
    watch = await begin(trial)
    await trial.send(waiting(WAITING))
    await watch.wait_parked(WAITING)
    trial.environment.service.kill()
    deny(trial)
    async with _narrow(trial, "read") as url, trial.fault("right to read revoked"):
        await trial.start(RABBIT__URL=url)
        await trial.environment.settle(await trial.publish(BESIDE, types=(2,)))
        await by_hand(_grant, trial)


def queue_deleted(*, while_it_flows: bool) -> Act:
    """Return an act: the queue is deleted with what lies there; upstream publishes all again."""

    async def act(trial: Trial) -> None:
        bodies = waiting(3 * WAITING)
        watch = await begin(trial)
        await trial.send(bodies)
        await watch.wait_copied(trial.dice.randrange(1, 3 * WAITING))
        if while_it_flows:
            deny(trial)
            await trial.imported(trial.dice.randrange(1, WAITING))
        async with trial.fault("lane's queue deleted"):
            await delete(trial.environment, QUEUE)
            await trial.publish(BESIDE, types=(2,))
            await trial.send(bodies)
            await asyncio.sleep(trial.dice.uniform(0.0, 2.0))
        deny(trial)

    return act


async def queue_full(trial: Trial) -> None:
    """Let the lane's queue refuse: what does not fit holds up the intake, and nothing is lost."""
    api, place = trial.environment.broker.api, quote(trial.environment.vhost, safe="")
    policy = f"policies/{place}/full"
    limit = {"pattern": r"parked\.128$", "definition": {"max-length": 5}, "apply-to": "queues"}
    await by_hand(api, "PUT", policy, limit)
    await begin(trial)
    async with trial.fault("lane's queue full"):
        await trial.send(waiting(WAITING))
        await trial.publish(BESIDE, types=(2,))
        await asyncio.sleep(trial.dice.uniform(3.0, 8.0))
        deny(trial)
        await asyncio.sleep(trial.dice.uniform(0.0, 2.0))
        await by_hand(api, "DELETE", policy)


async def queue_without_leader(trial: Trial) -> None:
    """Let nobody lead the lane's queue: it is left alone until somebody does; the intake waits."""
    node = trial.node
    assert isinstance(node, RabbitNode)
    server = f"{{'{trial.environment.vhost}_{QUEUE}', node()}}"
    watch = await begin(trial)
    await trial.send(waiting(WAITING))
    await watch.wait_parked(WAITING)
    async with trial.fault("lane's queue has no leader"):
        await by_hand(node.ctl, "eval", f"ra:stop_server(quorum_queues, {server}).")
        await trial.send(waiting(3, first=WAITING))
        await trial.publish(BESIDE, types=(2,))
        await asyncio.sleep(trial.dice.uniform(2.0, 8.0))
        deny(trial)
        await by_hand(node.ctl, "eval", f"ra:restart_server(quorum_queues, {server}).")


async def other_portal(trial: Trial) -> None:
    """Let what another portal waits for lie before ours: it stays, all of it."""
    queues = ParkedQueues(trial.environment.broker, trial.environment.vhost)
    theirs = {"import_portal": "other.bitrix24.com"}
    await trial.begin_memory()
    strangers = [parked(f"s{n}", entity_type=LANE, headers=theirs) for n in range(STRANGERS)]
    await queues.put(QUEUE, *strangers)
    watch = await begin(trial)
    await trial.send(waiting(WAITING))
    await watch.wait_copied(WAITING)
    async with trial.fault("SIGKILL service"):
        active(trial.environment).kill()
        await trial.start()
        await trial.publish(BESIDE, types=(2,))
    deny(trial)
    await trial.environment.settle(trial.expected)

    async def ours_are_gone() -> bool:
        depth = (await by_hand(trial.environment.broker.queues, trial.environment.vhost))[QUEUE]
        return depth.ready + depth.unacked == STRANGERS

    await wait_until(ours_are_gone, what="ours acknowledged, theirs alone")
    active(trial.environment).kill()
    async with Upstream(trial.environment.broker.url(trial.environment.vhost)) as upstream:
        found = await upstream.drain(QUEUE, STRANGERS)
        assert {f"s{n}" for n in range(STRANGERS)} == {
            str(each.headers["import_event_id"]) for each in found
        }
        assert 0 == await upstream.ready(QUEUE)
    await trial.start()


async def memory_deleted(trial: Trial) -> None:
    """Delete the memory while a lane is closed; whoever comes next finds the queue."""
    watch = await begin(trial)
    await trial.send(waiting(WAITING))
    await watch.wait_parked(WAITING)
    async with trial.fault("memory deleted"):
        await delete(trial.environment, MEMORY)
        await trial.publish(BESIDE, types=(2,))
        active(trial.environment).kill()
        await trial.start()
        await trial.publish(BESIDE, types=(2,))
        if trial.dice.random() < 0.5:
            await trial.send(waiting(1, first=WAITING))
            await lane_is_closed(trial)
        deny(trial)


def _named(name: str, act: Act, *, own_node: bool = False) -> Scenario:
    return Scenario(name=f"lane: {name}", act=act, portal=ADMIN, own_node=own_node, patience=90)


SCENARIOS = (
    _named("no right to make its queue", right_missing("configure")),
    _named("no right to write to it", right_missing("write")),
    _named("no right to read it", right_missing("read")),
    _named("right to read revoked", right_to_read_revoked),
    _named("its queue deleted", queue_deleted(while_it_flows=False)),
    _named("its queue deleted half-way", queue_deleted(while_it_flows=True)),
    _named("its queue full", queue_full),
    _named("its queue without leader", queue_without_leader, own_node=True),
    _named("events of another portal", other_portal),
    _named("memory deleted", memory_deleted),
)
