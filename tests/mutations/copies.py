"""Makes one defect at a time in a copy of the tree, and runs the check that must see it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.mutations.defects import ROOT, Defect
from tests.mutations.warm import NO_END

TAKEN = ("service", "tests", "pyproject.toml")
MADE = shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis", "logs", "results")
SECONDS = 180.0
"""A check that takes longer never ends; without a defect each takes a few."""
PYTEST = (
    "pytest",
    *("-q", "-x", "-rf", "--tb=no", "--no-header", "--assert=plain", "-p", "no:cacheprovider"),
    *("--hypothesis-seed", "0"),
)
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$|^(seed \d+): ", re.MULTILINE)
ENDED_WELL, FAILED = 0, 1


class Mark(StrEnum):
    """What became of a defect."""

    KILLED = "killed"
    SURVIVED = "SURVIVED"
    UNFIT = "UNFIT"
    """The check could not be run, so nothing is known."""


class Verdict(NamedTuple):
    """What became of a defect, and which check saw it, or why none could be run."""

    mark: Mark
    by: str
    seconds: float = 0.0


class Copy:
    """A copy of the tree: the checkout itself is never touched."""

    def __init__(self, folder: Path) -> None:
        """Copy what the checks need."""
        self._folder = folder
        self._env = os.environ | {"PYTHONPATH": str(folder)}
        self._moments = count(1)
        for name in TAKEN:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=MADE)
            else:
                shutil.copy2(ROOT / name, folder / name)
        self._warm = subprocess.Popen(
            [sys.executable, "-m", "tests.mutations.warm"],
            cwd=folder,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def judge(self, defect: Defect) -> Verdict:
        """Make a defect, run its check, and take the defect out again."""
        started = time.monotonic()
        try:
            with self.made(defect):
                verdict = self.check(command_of(defect.tests, defect.histories))
        except ValueError as error:
            return Verdict(Mark.UNFIT, str(error))
        return verdict._replace(seconds=time.monotonic() - started)

    def check(self, command: Sequence[str]) -> Verdict:
        """Run a check; tell what its end means for a defect that is there."""
        output = self._folder / "output"
        asked = {"command": [*command], "output": str(output), "seconds": SECONDS}
        assert self._warm.stdin is not None
        assert self._warm.stdout is not None
        self._warm.stdin.write(json.dumps(asked) + "\n")
        self._warm.stdin.flush()
        code = json.loads(self._warm.stdout.readline())["code"]
        return verdict_on(code, output.read_text(errors="replace"))

    def run(self, *command: str, seconds: float) -> str:
        """Be `python -m` with these arguments in the copy; return what it printed."""
        output = self._folder / "output"
        with output.open("w") as file:
            started = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                started.wait(seconds)
            finally:
                # Of what has ended nothing is left; what hangs goes with all that it started.
                with suppress(ProcessLookupError):
                    os.killpg(started.pid, signal.SIGKILL)
                started.wait()
        return output.read_text(errors="replace")

    def close(self) -> None:
        """End the process that runs checks."""
        self._warm.communicate()

    def is_itself(self) -> bool:
        """Tell whether what runs here is the copy, and not what is installed somewhere."""
        where = "import service, tests; print(service.__file__, tests.__file__, sep='\\n')"
        told = subprocess.run(
            [sys.executable, "-c", where],
            cwd=self._folder,
            env=self._env,
            capture_output=True,
            text=True,
            check=True,
        )
        inside = self._folder.resolve()
        return all(Path(each).is_relative_to(inside) for each in told.stdout.split())

    @contextmanager
    def made(self, defect: Defect) -> Iterator[None]:
        """Have a defect in the copy for a while; raises ValueError where it does not fit."""
        path = self._folder / defect.file
        sound = path.read_text()
        self._write(path, defect.made_in(sound))
        try:
            yield
        finally:
            self._write(path, sound)

    def _write(self, path: Path, text: str) -> None:
        """Write a file at a moment of its own: Python compiles anew what is newer or older."""
        path.write_text(text)
        moment = path.stat().st_mtime + 10 * next(self._moments)
        os.utime(path, (moment, moment))


def command_of(tests: Sequence[str], histories: Sequence[str]) -> Sequence[str]:
    """Return the check as arguments of `python -m`."""
    return ("tests.tools.histories", *histories) if histories else (*PYTEST, *tests)


def verdict_on(code: int, told: str) -> Verdict:
    """Say what the end of a check means, from its exit code and what it printed."""
    found = _FAILED.search(told)
    if code == ENDED_WELL:
        return Verdict(Mark.SURVIVED, "")
    if code == NO_END:
        return Verdict(Mark.KILLED, f"no end within {SECONDS:g} s")
    if code == FAILED and found:
        return Verdict(Mark.KILLED, found[1] or found[2])
    return Verdict(Mark.UNFIT, f"exit code {code}: " + " / ".join(told.splitlines()[-3:]))
