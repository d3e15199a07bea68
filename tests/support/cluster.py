"""Runs three RabbitMQ nodes as one cluster, of which a test may hurt one."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tests.support.broker import BrokerError, Depth, OwnBroker
from tests.support.node import RabbitNode
from tests.support.patience import Deadline

SIZE = 3
"""The least that still has a majority when one is gone."""
PARTITIONS = "cluster_partition_handling = pause_minority\n"
"""As the cluster operator sets it; from 4.x on with Khepri it changes nothing."""
BOOT_SECONDS = 40.0
"""How long a node may take on an idle machine, where it needs six at most."""
TRIES = 3
JOIN_SECONDS = 60.0
POLL_SECONDS = 0.2
INTAKE = "crm.items.import"
# A node that starts for the first time looks for these, and joins the one that runs. That is one
# boot and no `rabbitmqctl`; to be told to join took a second boot and four of its commands.
PEERS = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {first}
cluster_formation.classic_config.nodes.2 = {own}
"""
TOGETHER = """
length(try rabbit_nodes:list_running() catch error:undef -> rabbit_nodes:all_running() end).
"""
LEADER = """
{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)),
{{ok, _, {{_, Node}}}} = ra:members(amqqueue:get_pid(Queue)),
Node.
"""
# Nodes that do not know each other's cookie do not talk; what is connected is disconnected.
PART = "[begin erlang:set_cookie(N, apart), erlang:disconnect_node(N) end || N <- [{others}]]."
JOIN = """
[begin erlang:set_cookie(N, erlang:get_cookie()), net_kernel:connect_node(N) end
 || N <- [{others}]].
"""


class Member(RabbitNode):
    """Runs one node that shares port mapper and cookie with the first of its cluster.

    The first must serve when the others are started: they join it.
    """

    boot_seconds = BOOT_SECONDS

    def __init__(self, first: "Member | None" = None) -> None:
        super().__init__()
        self._first = first
        if first is not None:
            self._ports["epmd"] = first._ports["epmd"]  # noqa: SLF001 - its like

    @property
    def name(self) -> str:
        """Return the node's name among nodes."""
        return self._env()["RABBITMQ_NODENAME"]

    def _write_files(self) -> None:
        super()._write_files()
        with (self.folder / "rabbitmq.conf").open("a") as conf:
            conf.write(PARTITIONS)
            if self._first is not None:
                conf.write(PEERS.format(first=self._first.name, own=self.name))
        if self._first is not None:
            cookie = self.folder / "home" / ".erlang.cookie"
            cookie.chmod(0o600)
            cookie.write_text((self._first.folder / "home" / ".erlang.cookie").read_text())
            cookie.chmod(0o400)

    def _start_epmd(self) -> None:
        if self._first is None:
            super()._start_epmd()


@contextmanager
def running_cluster() -> Iterator[list[Member]]:
    """Lend the nodes of a cluster; the first must outlive the test, the others need not.

    A node that does not start, or does not join, costs a try with new nodes on other ports.
    Raises BrokerError when all tries are used up.
    """
    # A node ends with the thread that started it: the threads are kept until the end.
    with ThreadPoolExecutor() as threads:
        members = _started(threads)
        try:
            yield members
        finally:
            _stop(members)


def _started(threads: ThreadPoolExecutor) -> list[Member]:
    """Start a cluster, some times if need be."""
    failures: list[str] = []
    while len(failures) < TRIES:
        first = Member()
        members = [first, *(Member(first) for _ in range(SIZE - 1))]
        try:
            first.start()
            list(threads.map(lambda member: member.start(), members[1:]))
            _wait_together(first)
        except BaseException as failure:
            _stop(members)
            if not isinstance(failure, BrokerError):
                raise
            failures.append(str(failure))
        else:
            return members
    raise BrokerError(f"no cluster of {SIZE} nodes in {TRIES} tries:\n" + "\n".join(failures))


def _wait_together(first: Member) -> None:
    """Wait until the first node sees all: each other has joined it before it serves."""
    deadline = Deadline(JOIN_SECONDS)
    while (seen := first.evaluate(TOGETHER)) != str(SIZE):
        if deadline.passed:
            raise BrokerError(f"{first.name} sees {seen} of {SIZE} nodes after {deadline}")
        time.sleep(POLL_SECONDS)


def _stop(members: Sequence[Member]) -> None:
    for member in reversed(members):
        member.stop()


class Cluster(OwnBroker):
    """Three nodes as one broker; what hurts it hurts the node that leads the intake queue.

    Whoever asks it is answered by a node that is not hurt.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self._vhost = "/"
        self._killed: Member | None = None
        self._frozen: Member | None = None
        self._apart: Member | None = None
        self._alarmed = False
        super().__init__(members[0].address)

    @property
    def sound(self) -> Member:
        """Return the first node that nothing was done to."""
        hurt = (self._killed, self._frozen, self._apart)
        return next(member for member in self.members if member not in hurt)

    @property
    def leader(self) -> Member:
        """Return the node that leads the intake queue; the last one if there is no queue."""
        try:
            told = self.sound.evaluate(LEADER.format(vhost=self._vhost, queue=INTAKE))
        except BrokerError:
            return self.members[-1]
        return next(member for member in self.members if member.name in told)

    def url(self, vhost: str = "/") -> str:
        """Return the AMQP address at a sound node."""
        return self.sound.url(vhost)

    def urls(self, vhost: str = "/") -> Sequence[str]:
        """Return the AMQP address at every node, hurt or not."""
        return [member.url(vhost) for member in self.members]

    def create_vhost(self, name: str) -> None:
        """Create a virtual host; its intake's leader is what will be hurt."""
        super().create_vhost(name)
        self._vhost = name

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - any JSON
        """Ask a sound node."""
        return self.sound.api(method, path, body)

    def queues(self, vhost: str) -> dict[str, Depth]:
        """Count what every queue holds."""
        return self.sound.queues(vhost)

    def kill(self, *, at_once: bool = False) -> None:
        """Kill the leader."""
        self._killed = self.leader
        self._killed.kill(at_once=at_once)

    def restart(self) -> None:
        """Start it again."""
        if self._killed is not None:
            self._killed.restart()
        self._killed = None

    def freeze(self) -> None:
        """Stop the leader where it stands."""
        self._frozen = self.leader
        self._frozen.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        if self._frozen is not None:
            self._frozen.thaw()
        self._frozen = None

    def part(self) -> None:
        """Cut the leader off from the other nodes; clients still reach it."""
        leader = self.leader
        leader.evaluate(PART.format(others=self._others(leader)))
        self._apart = leader

    def join(self) -> None:
        """Let it talk to the others again; wait until it takes connections (3.10 stopped it)."""
        if self._apart is not None:
            self._apart.evaluate(JOIN.format(others=self._others(self._apart)))
            deadline = Deadline(JOIN_SECONDS)
            while not self._apart.serves and not deadline.passed:
                time.sleep(POLL_SECONDS)
        self._apart = None

    def memory_alarm(self, *, on: bool) -> None:
        """Raise or clear the alarm at one node: it holds for all."""
        self.sound.memory_alarm(on=on)
        self._alarmed = on

    def close_connections(self, vhost: str) -> None:
        """Close every connection, at whatever node."""
        self.sound.close_connections(vhost)

    def heal(self) -> None:
        """Undo whatever was done."""
        self.thaw()
        self.join()
        self.restart()
        for member in self.members:
            member.heal()

    def _others(self, one: Member) -> str:
        return ", ".join(f"'{member.name}'" for member in self.members if member is not one)
