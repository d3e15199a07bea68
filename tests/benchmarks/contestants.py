"""Lists who is measured side by side, and how each is started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks import events
from tests.support.processes import ROOT

PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
_PUMP = "tests.benchmarks.peers.pump"
_WORKER = (
    "--app",
    "tests.benchmarks.peers.celery_app",
    "worker",
    "--pool",
    "solo",
    "--queues",
    events.INTAKE_QUEUE,
    "--loglevel",
    "WARNING",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
)


@dataclass(frozen=True, slots=True)
class Contestant:
    """Names a program that does the job, how to start it, and what its messages look like.

    `peer`: it needs packages that only the bench installs.
    """

    name: str
    module: str
    args: Sequence[str] = ()
    peer: bool = False
    encode: events.Encode = events.plain
    settings: Mapping[str, str] | None = None

    @property
    def command(self) -> str:
        """Return what a person would type."""
        python = ".venv-bench/bin/python" if self.peer else ".venv/bin/python"
        return " ".join([python, "-m", self.module, *self.args])


WIDE = {
    "IMPORTER_BITRIX__REQUESTS_PER_SECOND": "1000",
    "IMPORTER_BITRIX__BURST": "100000",
    "IMPORTER_BITRIX__OPERATING_LIMIT_SECONDS": "0",
}
"""The portal's limits opened wide: what is measured is the client, not the wait."""

SERVICE = Contestant("crm-importer", "service", ("run",), settings=WIDE)
LEANEST = Contestant("leanest pump", _PUMP, ("leanest",))
ONE_WRITE = Contestant("one-write ceiling", _PUMP, ("one_write",))
FASTSTREAM = Contestant("FastStream", "tests.benchmarks.peers.faststream_app", peer=True)
FASTSTREAM_QUIET = Contestant("FastStream, its log off", FASTSTREAM.module, ("quiet",), peer=True)
CELERY = Contestant("celery-batches", "celery", _WORKER, peer=True, encode=events.celery)
SINGLY = Contestant("aio-pika + httpx", _PUMP, ("singly",), peer=True)
FAST_BITRIX24 = Contestant("fast-bitrix24", _PUMP, ("fast_bitrix24",), peer=True)

ALL = (SERVICE, LEANEST, ONE_WRITE, FASTSTREAM, FASTSTREAM_QUIET, CELERY, SINGLY, FAST_BITRIX24)
