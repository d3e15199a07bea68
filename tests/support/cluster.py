"""Runs three RabbitMQ nodes as one cluster, of which a test may kill one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.support.node import RabbitNode

SIZE = 3
"""The least that still has a majority when one is gone."""


class Member(RabbitNode):
    """Runs one node that shares port mapper and cookie with the first of its cluster."""

    def __init__(self, first: "Member | None" = None) -> None:
        super().__init__()
        self._first = first
        if first is not None:
            self._ports["epmd"] = first._ports["epmd"]  # noqa: SLF001 - its like

    @property
    def name(self) -> str:
        """Return the node's name among nodes."""
        return self._env()["RABBITMQ_NODENAME"]

    def join(self) -> None:
        """Leave what it was alone, and become a part of the first one's cluster."""
        if self._first is None:
            return
        for command in (("stop_app",), ("reset",), ("join_cluster", self._first.name)):
            self.ctl(*command)
        self.ctl("start_app")

    def _write_files(self) -> None:
        super()._write_files()
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
    """Lend the nodes of a cluster; the first must outlive the test, the others need not."""
    first = Member()
    members = [first, *(Member(first) for _ in range(SIZE - 1))]
    # A node ends with the thread that started it: the threads are kept until the end.
    with ThreadPoolExecutor() as threads:
        try:
            first.start()
            list(threads.map(lambda member: member.start(), members[1:]))
            for member in members:
                member.join()
            yield members
        finally:
            for member in reversed(members):
                member.stop()
