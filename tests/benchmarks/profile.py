"""Shows where the importer's time goes under load: a sampling profile from outside.

Only when asked for (`--only profile`): sampling costs time itself, so its figures are shares.
"""

import asyncio
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.benchmarks import events
from tests.benchmarks.contestants import PEERS_PYTHON, SERVICE
from tests.benchmarks.figures import RESULTS, Figure
from tests.benchmarks.rig import Rig

PART = "profile"
HERTZ = 400
MAX_LINES = 25
WARM = 600
MAX_SECONDS = 120.0
FRAME = re.compile(r"(?P<name>.*) \((?P<file>.*):\d+\)$")
NOISE = re.compile(r".*/(site-packages|python3\.\d+)/")
OTHER_THREAD = "serve_forever"


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Profile one process on a filled queue; the tables go to the results' folder."""
    count = 3_000 if quick else 20_000
    RESULTS.mkdir(exist_ok=True)
    raw = RESULTS / "profile.raw"
    with rig.vhost() as url:
        asyncio.run(events.fill(url, range(count)))
        before = rig.portal.seen().items
        with rig.consumer(SERVICE, url) as consumer:
            _wait(rig, before + WARM)
            spy = _spy(consumer.pid, raw)
            _wait(rig, before + count)
            spy.send_signal(signal.SIGINT)
            spy.wait()
    tables = "\n\n".join(_tables(raw.read_text().splitlines()))
    (RESULTS / "profile.txt").write_text(tables + "\n")
    say(f"{RESULTS / 'profile.txt'}\n{tables}")
    return []


def _spy(pid: int, raw: Path) -> "subprocess.Popen[bytes]":
    program = str(PEERS_PYTHON.with_name("py-spy"))
    what = ["--pid", str(pid), "--rate", str(HERTZ), "--format", "raw", "--output", str(raw)]
    return subprocess.Popen(
        [program, "record", *what], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _wait(rig: Rig, items: int) -> None:
    deadline = time.monotonic() + MAX_SECONDS
    while rig.portal.seen().items < items and time.monotonic() < deadline:
        time.sleep(0.01)


def _tables(stacks: Iterable[str]) -> list[str]:
    alone, within, ours = Counter[str](), Counter[str](), Counter[str]()
    total = 0
    for line in stacks:
        stack, _, times = line.rpartition(" ")
        if OTHER_THREAD in stack:
            continue
        frames = [_short(frame) for frame in stack.split(";")]
        total += int(times)
        alone[frames[-1]] += int(times)
        for frame in set(frames):
            within[frame] += int(times)
    ours.update({name: times for name, times in within.items() if name.startswith("service/")})
    return [
        _table("by itself", alone, total),
        _table("with what it calls", within, total),
        _table("with what it calls, our own", ours, total),
    ]


def _table(title: str, counts: Counter[str], total: int) -> str:
    rows = (f"{100 * n / total:6.1f} %  {name}" for name, n in counts.most_common(MAX_LINES))
    return "\n".join([title, *rows])


def _short(frame: str) -> str:
    match = FRAME.match(frame)
    if match is None:
        return frame
    file = NOISE.sub("", match["file"])
    _, found, own = file.rpartition("/service/")
    return f"{found.strip('/') + '/' if found else ''}{own} {match['name']}"
