"""Minutes of load under the memory limit of the manifest: what the limit rests on."""

import asyncio
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.image.podman import Container
from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.child_process import Scratch
from tests.support.environment import INTAKE_QUEUE, Environment
from tests.support.ports import free_port

SECONDS = float(os.environ.get("SOAK_SECONDS", "180"))
"""`SOAK_SECONDS=600 make deploy-test` for the long one."""
pytestmark = pytest.mark.timeout(SECONDS + 600)
ALERTED = 0.85
"""The share of the limit from which ImporterMemoryNearLimit speaks."""
WAVE, LOW_WATER = 500, 300
GRACE = 120
SECRETS = "/etc/crm-importer/secrets"
# All that bears on memory stays at its default; only the portal is quicker than a real one.
SETTINGS = {
    "RABBIT__URL_FILE": f"{SECRETS}/rabbit_url",
    "BITRIX__WEBHOOK_URL_FILE": f"{SECRETS}/webhook_url",
    "BITRIX__REQUESTS_PER_SECOND": "200",
    "BITRIX__BURST": "500",
    "HTTP__HOST": "127.0.0.1",
}
FIELDS = {"title": "An order", "comments": "Text of an ordinary length, said again. " * 40}
LARGE_EVERY, LARGE = 50, "x" * 100_000
BALLAST: dict[str, Any] = {"light": True, "default_item_seconds": 0.001}


@dataclass(frozen=True, slots=True)
class Memory:
    """What the kernel says of a container."""

    resident_peak: int
    resident: int
    charged_peak: int
    kills: int

    @classmethod
    def of(cls, pid: int) -> "Memory":
        """Read it: version 1 and 2 of control groups name their files differently."""
        status = Path(f"/proc/{pid}/status").read_text()
        group = _group(pid)
        peak = _first(group, "memory.max_usage_in_bytes", "memory.peak")
        events = _first(group, "memory.oom_control", "memory.events")
        return cls(
            resident_peak=_kilobytes(status, "VmHWM"),
            resident=_kilobytes(status, "VmRSS"),
            charged_peak=int(peak),
            kills=int((re.search(r"^oom_kill (\d+)", events, re.MULTILINE) or ["", "0"])[1]),
        )


async def test_soak_stays_under_the_limit(
    image: str,
    restricted: Sequence[str],
    memory_limit: int,
    broker: Broker,
    vhost: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Full speed all the time: nothing lost, nothing doubled, never near the limit, no growth."""
    async with Environment(broker, vhost, portal=BALLAST) as environment:
        with at_work(image, restricted, environment) as container:
            ids, middle = await _load(environment, container)
            last = Memory.of(container.pid)
            code, seconds = container.stop(GRACE)
            assert 0 == code, container.logs()[-3000:]
        environment.assert_effectively_once(ids)
    report = (
        f"soak: {len(ids)} events in {SECONDS:.0f} s; resident at most "
        f"{_mebibytes(last.resident_peak)}, charged at most {_mebibytes(last.charged_peak)} "
        f"of {_mebibytes(memory_limit)}; resident {_mebibytes(middle.resident)} half-way, "
        f"{_mebibytes(last.resident)} at the end; drained in {seconds:.1f} s"
    )
    with capsys.disabled():
        print(f"\n{report}")  # noqa: T201 - the figure that the manifest's limit rests on
    assert 0 == last.kills
    assert ALERTED * memory_limit > last.resident_peak


@contextmanager
def at_work(
    image: str, restricted: Sequence[str], environment: Environment
) -> Iterator[Container]:
    """Lend a container that shares this machine's loopback, and reads its secrets as files."""
    port = free_port()
    own = [each for each in restricted if not each.startswith("--network")]
    with Scratch.make("secrets") as scratch:
        scratch.path.chmod(0o755)
        (scratch.path / "rabbit_url").write_text(environment.broker.url(environment.vhost))
        (scratch.path / "webhook_url").write_text(environment.portal.webhook_url)
        given = [f"--env=IMPORTER_{name}={value}" for name, value in SETTINGS.items()]
        given += [f"--env=IMPORTER_HTTP__PORT={port}", f"--volume={scratch.path}:{SECRETS}:ro"]
        with Container(image, options=[*own, "--network=host", *given]) as container:
            yield container


async def _load(environment: Environment, container: Container) -> tuple[list[str], Memory]:
    """Keep the intake filled until the time is up; return the ids and the memory half-way."""
    ids: list[str] = []
    started = time.monotonic()
    middle: Memory | None = None
    async with Upstream(environment.broker.url(environment.vhost)) as upstream:
        await wait_until(lambda: upstream.exists(INTAKE_QUEUE), 60, what="the intake")
        while time.monotonic() - started < SECONDS:
            wave = [f"soak-{len(ids) + n}" for n in range(WAVE)]
            await environment.publish(_events(wave))
            ids += wave
            await wait_until(lambda: _is_low(upstream), 120, what="progress")
            await environment.read()
            if middle is None and time.monotonic() - started > SECONDS / 2:
                middle = await asyncio.to_thread(Memory.of, container.pid)
    await environment.settle(ids, 120)
    assert middle is not None
    return ids, middle


async def _is_low(upstream: Upstream) -> bool:
    return await upstream.ready(INTAKE_QUEUE) < LOW_WATER


def _events(ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield events of some 2 kB; every fiftieth carries 100 kB."""
    for number, each in enumerate(ids):
        more = {"photo": LARGE} if number % LARGE_EVERY == 0 else {}
        yield {"entityTypeId": 2, "id": each, "fields": {**FIELDS, **more}}


def _group(pid: int) -> Path:
    """Return the folder of the control group that counts a process' memory."""
    rows = [row.split(":", 2) for row in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    paths = {names: path.lstrip("/") for _, names, path in rows}
    root = Path("/sys/fs/cgroup")
    return root / "memory" / paths["memory"] if "memory" in paths else root / paths[""]


def _first(group: Path, *names: str) -> str:
    return next((group / name).read_text() for name in names if (group / name).exists())


def _kilobytes(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert found, name
    return int(found[1]) * 1024


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"
