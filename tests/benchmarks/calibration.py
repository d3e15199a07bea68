"""Tells how fast the machine is just now: does the same piece of work over and over.

A program: `python -m tests.benchmarks.calibration PROGRESS`. Shared machines change their speed by
a third within minutes; what is compared over minutes is set against this beat.
"""

import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.support.processes import Program

WORDS = struct.Struct("=QQ")
"""Beats so far, and nanoseconds of CPU they took."""
PAUSE_SECONDS = 0.02
_WORK = [{"id": n, "fields": {"title": f"Order {n}", "opportunity": n * 1.5}} for n in range(40)]


class Calibration(Program):
    """The beat as a process of its own; it takes a twentieth of one core."""

    def __init__(self) -> None:
        self._progress = Path(tempfile.mkstemp(prefix="crm-importer-beat-")[1])
        self._progress.write_bytes(bytes(WORDS.size))
        super().__init__("tests.benchmarks.calibration", str(self._progress))

    @property
    def url(self) -> str:
        """It serves nothing."""
        return ""

    def start(self) -> Self:
        """Start it, and wait for the first beats."""
        super().start()
        self.until(lambda: self.read()[0] > 0, "a beat", 10.0)
        return self

    def read(self) -> tuple[int, int]:
        """Return beats and CPU nanoseconds so far."""
        beats, nanoseconds = WORDS.unpack(self._progress.read_bytes())
        return beats, nanoseconds

    def close(self) -> None:
        """Kill it, and remove its file."""
        super().close()
        self._progress.unlink(missing_ok=True)


def slowness(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Return the nanoseconds of CPU that a beat took between two readings."""
    return (after[1] - before[1]) / max(1, after[0] - before[0])


def _beat(path: Path) -> None:
    beats = spent = 0
    with path.open("r+b", buffering=0) as progress:
        while True:
            started = time.thread_time_ns()
            sorted((str(item) for item in _WORK), key=len)
            spent += time.thread_time_ns() - started
            beats += 1
            progress.seek(0)
            progress.write(WORDS.pack(beats, spent))
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    _beat(Path(sys.argv[1]))
