"""Upgrade and roll back: this version and a real earlier one, after and beside each other."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.commands import Commands, Done
from tests.support.environment import DEAD_LETTERS, INTAKE_QUEUE, Environment, deals
from tests.support.node import RabbitNode
from tests.support.parked import lane
from tests.support.processes import ROOT, ProcessError, ServiceProcess
from tests.support.releases import unpacked

PAGE = (ROOT / "deploy/upgrade.md").read_text(encoding="utf-8")
COMMANDS = [
    line.strip()
    for block in re.findall(r"^ *```sh\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
NEW_SETTINGS = ("IMPORTER_AMBIGUOUS_AFTER_SECONDS",)
"""Settings of the tests that 0.1.0 does not know."""
MEMORY = "crm.items.memory"
STRICT: Mapping[str, Any] = {"required": {"2": ["comments"]}, "default_item_seconds": 0.02}
"""A portal that refuses the deals of these tests, and takes items of type 128."""
GOOD, REFUSED = 128, 2
ODD = (" white space ", "smile \U0001f600", "bell \x07", "plain")
EVERY_SECONDS = 0.15
LANE, WAITING = 31, 5
DENIED = {"kind": "item_error", "match": "waits-", "code": "ACCESS_DENIED", "times": -1}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lend the program of 0.1.0."""
    return unpacked("0.1.0", tmp_path_factory.mktemp("release"))


class Cluster:
    """Replicas of the importer of either version, as a Deployment keeps them."""

    def __init__(self, environment: Environment, release: Path) -> None:
        self.environment = environment
        self._release = release
        self.running: list[ServiceProcess] = []
        self._old: set[ServiceProcess] = set()

    async def start(self, *, old: bool) -> ServiceProcess:
        """Start one more replica, and wait until it is ready."""
        settings = self.environment.settings()
        if old:
            settings = {name: settings[name] for name in settings if name not in NEW_SETTINGS}
            settings["PYTHONPATH"] = str(self._release)
        service = self.environment.take(ServiceProcess(settings))
        await asyncio.to_thread(service.wait_ready)
        self.running.append(service)
        if old:
            self._old.add(service)
        return service

    async def replace(self, *, old: bool, kill: bool = False) -> None:
        """Put other replicas into the place of all that run, one by one."""
        for service in tuple(self.running):
            await self.start(old=old)
            await self.stop(service, kill=kill)

    async def stop(self, service: ServiceProcess, *, kill: bool = False) -> None:
        """Stop a replica, or lose it."""
        self.running.remove(service)
        if kill:
            service.kill()
            return
        service.terminate()
        try:
            assert 0 == await asyncio.to_thread(service.wait)
        except ProcessError:
            # Seldom 0.1.0 does not end after its drain: its client library swallows the
            # cancellation. Kubernetes kills it then, and so do we.
            if service not in self._old or not service.logs(event="drained"):
                raise
            service.kill()


class Load:
    """Upstream: publishes good events, and some that the portal refuses, until it is ended."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.good: list[str] = []
        self.refused: list[str] = []

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            number = len(self.good)
            await self._environment.publish(
                [
                    *deals(f"good-{number}", entity_type=GOOD),
                    *deals(*([f"refused-{number}"] * (number % 5 == 0)), entity_type=REFUSED),
                ]
            )
            self.good.append(f"good-{number}")
            self.refused += [f"refused-{number}"] * (number % 5 == 0)
            await asyncio.sleep(EVERY_SECONDS)

    async def grow(self, by: int = 10) -> None:
        """Wait until so many more events are published."""
        wanted = len(self.good) + by
        await wait_until(lambda: len(self.good) >= wanted, what="publishing")


@asynccontextmanager
async def under_load(environment: Environment) -> AsyncIterator[Load]:
    """Publish during the block; then wait for every outcome, and judge all of them."""
    load = Load(environment)
    publishing = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        publishing.cancel()
        with suppress(asyncio.CancelledError):
            await publishing
    await environment.settle([*load.good, *load.refused], 90)
    failed = dict.fromkeys(load.refused, "rejected")
    environment.assert_effectively_once([*load.good, *load.refused], failed=failed)
    results = [*environment.books.succeeded, *environment.books.failed]
    assert 1 == len({frozenset(each) for each in results}), "results of both versions look alike"
    assert 1 == len({each["source"] for each in results})


@pytest.mark.parametrize("kill", [False, True], ids=["drained", "killed"])
async def test_a_rolling_update_and_back_loses_and_doubles_nothing(
    broker: Broker, vhost: str, release: Path, *, kill: bool
) -> None:
    """A worker and a stand-by are replaced one by one under load, forth and back."""
    async with Environment(broker, vhost, portal=STRICT) as environment:
        cluster = Cluster(environment, release)
        for _ in range(2):
            await cluster.start(old=True)
        async with under_load(environment) as load:
            await load.grow()
            await cluster.replace(old=False, kill=kill)
            await load.grow()
            await cluster.replace(old=True, kill=kill)
            await load.grow()


async def test_an_outcome_has_the_same_id_in_both_versions(
    broker: Broker, vhost: str, release: Path
) -> None:
    """A reader that drops repeated ids sees each outcome once, whoever told it."""
    events = [*deals("good", entity_type=GOOD), *deals("refused", entity_type=REFUSED)]
    told: list[set[str]] = []
    for old in (True, False):
        async with Environment(broker, vhost, portal=STRICT) as environment:
            cluster = Cluster(environment, release)
            await cluster.start(old=old)
            await environment.publish(events)
            books = await environment.settle(["good", "refused"])
            told.append({each["id"] for each in (*books.succeeded, *books.failed)})
            await cluster.stop(cluster.running[0])
    assert told[0] == told[1]
    assert 2 == len(told[0])


@pytest.mark.parametrize("written_by_old", [True, False], ids=["older letters", "newer letters"])
async def test_dead_letters_of_one_version_go_back_by_the_other(
    broker: Broker, vhost: str, release: Path, *, written_by_old: bool
) -> None:
    """`dlq` of either version lists and sends back what the other one wrote."""
    async with Environment(broker, vhost, portal=STRICT) as environment:
        cluster = Cluster(environment, release)
        writer = await cluster.start(old=written_by_old)
        await environment.publish(deals("a", "b", "c"))
        await asyncio.to_thread(writer.until, lambda: _dead(broker, vhost) == 3, "letters", 60)
        await cluster.stop(writer)
        environment.portal.settings({"required": {}})
        tree = ROOT if written_by_old else release
        commands = Commands(broker.url(vhost), tree=tree)
        listed = await commands.run("dlq", "list")
        assert "3 dead letters" in listed.out, listed
        sent = await commands.run("dlq", "redrive")
        assert (0, "3 dead letters sent back") == (sent.code, sent.out[:24]), sent
        await cluster.start(old=not written_by_old)
        await environment.settle(["a", "b", "c"])
        await environment.wait_idle()
        assert {"a": 1, "b": 1, "c": 1} == environment.external_ids()
        assert all("succeeded" in each for each in environment.books.outcomes().values())


async def test_the_older_version_names_a_setting_that_it_does_not_know(
    broker: Broker, vhost: str, release: Path
) -> None:
    """It stops at once, with exit code 2: hence a step of its own."""
    async with Environment(broker, vhost) as environment:
        settings = {**environment.settings(), "PYTHONPATH": str(release)}
        service = environment.take(ServiceProcess(settings))
        assert 2 == await asyncio.to_thread(service.wait)
        assert NEW_SETTINGS[0] in service.stderr()


async def test_odd_ids_are_imported_once_if_the_intake_was_empty(
    broker: Broker, vhost: str, release: Path
) -> None:
    """What 0.1.0 imported keeps its external id; what comes after has the new one."""
    async with Environment(broker, vhost) as environment:
        cluster = Cluster(environment, release)
        await cluster.start(old=True)
        before = [f"{each}{n}{each}" for n in range(3) for each in ODD]
        await environment.publish(deals(*before))
        await environment.settle(before)
        await cluster.replace(old=False)
        after = [f"{each}after{each}" for each in ODD]
        await environment.publish(deals(*after))
        await environment.settle(after)
        assert len(before) + len(after) == environment.external_ids().total()
        assert [{"succeeded"}] * 16 == list(environment.books.outcomes().values())


async def test_the_page_is_followed_step_by_step(
    node: RabbitNode, vhost: str, release: Path
) -> None:
    """Under load; and once more from its top, since an upgrade may follow a roll-back."""
    async with Environment(node, vhost, portal={**STRICT, "admin": True}) as environment:
        cluster = Cluster(environment, release)
        for _ in range(2):
            await cluster.start(old=True)
        operator = Operator(node, vhost, cluster)
        async with under_load(environment) as load:
            for command in [*COMMANDS, *COMMANDS[: COMMANDS.index(operator.SCALE_DOWN)]]:
                if command == operator.SCALE_DOWN:
                    load.good += await operator.close_a_lane()
                await operator.follow(command)
                await load.grow(5)


class Operator:
    """Does what a command of the page does; of Kubernetes only what reaches the processes."""

    SCALE_DOWN = "kubectl scale deployment/crm-importer --replicas=0"

    def __init__(self, node: RabbitNode, vhost: str, cluster: Cluster) -> None:
        self._node, self._vhost, self._cluster = node, vhost, cluster
        self._old = True
        self._does: Mapping[str, Callable[[str], Awaitable[None]]] = {
            "crm-importer": self._importer,
            "rabbitmqctl": self._broker,
            "kubectl apply": self._upgrade,
            "kubectl rollout undo": self._undo,
            "kubectl rollout status": self._status,
            "kubectl scale": self._scale,
        }

    async def follow(self, command: str) -> None:
        """Run one command; fail at one that is not known."""
        [found] = [does for begin, does in self._does.items() if command.startswith(begin)]
        await found(command)

    async def close_a_lane(self) -> list[str]:
        """Let events of one type be denied, until they are parked; return their ids."""
        environment, waiting = self._cluster.environment, [f"waits-{n}" for n in range(WAITING)]
        environment.portal.faults([DENIED])
        await environment.publish(deals(*waiting, entity_type=LANE))

        def parked() -> bool:
            depth = self._node.queues(self._vhost).get(lane(LANE))
            return depth is not None and depth.ready == WAITING

        await wait_until(parked, what="all being parked")
        return waiting

    async def _importer(self, command: str) -> None:
        environment = self._cluster.environment
        settings = {
            name: value
            for name, value in environment.settings().items()
            if name != "IMPORTER_RABBIT__URL"
        }
        done: Done = await Commands(self._node.url(self._vhost), settings).run(
            *command.split()[1:]
        )
        assert 0 == done.code, done
        if "dlq" in command:
            assert "CRM_FIELD_ERROR_REQUIRED" in done.out
        if "return" in command:
            assert f"{WAITING} events sent back" in done.out
            environment.portal.faults([])

    async def _broker(self, command: str) -> None:
        words = command.replace("--vhost /", f"--vhost {self._vhost}").split()
        said = await asyncio.to_thread(self._node.run, *words)
        if "delete_queue" in words:
            assert [] == self._cluster.running
            assert MEMORY not in self._node.queues(self._vhost)
        else:
            assert re.search(rf"^{re.escape(INTAKE_QUEUE)}\t\d+$", said, re.MULTILINE)

    async def _upgrade(self, _: str) -> None:
        await self._cluster.replace(old=False)
        self._old = False
        assert MEMORY in self._node.queues(self._vhost)

    async def _undo(self, _: str) -> None:
        self._old = True
        await self._cluster.replace(old=True)

    async def _status(self, _: str) -> None:
        assert all(service.alive for service in self._cluster.running)

    async def _scale(self, command: str) -> None:
        wanted = int(command.rpartition("=")[2])
        for service in self._cluster.running[wanted:]:
            await self._cluster.stop(service)
        while len(self._cluster.running) < wanted:
            await self._cluster.start(old=self._old)


def _dead(broker: Broker, vhost: str) -> int:
    depth = broker.queues(vhost).get(DEAD_LETTERS)
    return depth.ready if depth else 0
