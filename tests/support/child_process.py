"""Starts processes that cannot outlive this one, however it ends."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.forks import start_program
from tests.support.patience import Deadline

STOP_SECONDS = 10.0
STOP_POLL_SECONDS = 0.002
_STILL = ("T", "Z", "X")
"""States of a thread in /proc: stopped, or ended."""


class ChildProcess:
    """Runs one command in a session of its own, with its output in files.

    The kernel kills the command when the thread that started it ends, `kill -9` included.
    So start it from a thread that lasts.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        name: str,
        fresh: bool = False,
    ) -> None:
        self.stdout = cwd / f"{name}.out"
        self.stderr = cwd / f"{name}.err"
        with self.stdout.open("ab") as out, self.stderr.open("ab") as err:
            streams = (subprocess.DEVNULL, out, err)
            self._process = start_program(
                command, env=env, cwd=cwd, streams=streams, session=True, fresh=fresh
            )

    @property
    def pid(self) -> int:
        """Return the command's own process id: nothing stands between."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return how it ended, or nothing while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        self._process.send_signal(number)

    def freeze(self) -> None:
        """Stop it where it stands, and wait until every thread of it does: that may be late."""
        self.signal(signal.SIGSTOP)
        deadline = Deadline(STOP_SECONDS)
        while self.exit_code is None and not self.stands_still:
            assert not deadline.passed, f"not stopped within {deadline}"
            time.sleep(STOP_POLL_SECONDS)

    @property
    def stands_still(self) -> bool:
        """Tell whether every thread of it does."""
        return all(map(_stands_still, self._threads()))

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def wait(self, timeout: float) -> int:
        """Wait for its end; `subprocess.TimeoutExpired` if that takes too long."""
        return self._process.wait(timeout)

    def kill(self) -> None:
        """End it and everything it started, at once; harmless when it has ended."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def _threads(self) -> list[Path]:
        """Return where /proc tells of each thread; none if it has just ended."""
        with suppress(FileNotFoundError):
            return list(Path(f"/proc/{self.pid}/task").iterdir())
        return []

    def tail(self, lines: int = 30) -> str:
        """Return the last lines of both outputs, for error messages."""
        text = [path.read_text(errors="replace") for path in (self.stdout, self.stderr)]
        return "\n".join("\n".join(part.splitlines()[-lines:]) for part in text if part)


def _stands_still(thread: Path) -> bool:
    """Tell whether a thread runs no more, for now or for ever."""
    try:
        told = (thread / "stat").read_text()
    except OSError:  # it has ended meanwhile
        return True
    return told.rpartition(")")[2].split()[0] in _STILL


class Scratch:
    """Holds a folder that is removed when `remove` is called or this process is gone.

    A shell waits at the other end of a pipe; the kernel closes the pipe for us, whatever happens.
    """

    SCRIPT = 'read -r _ || sleep 0.3; until rm -rf -- "$1"; do sleep 0.1; done'

    def __init__(self, path: Path) -> None:
        self.path = path
        self._janitor = subprocess.Popen(
            ["/bin/sh", "-c", self.SCRIPT, "janitor", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @classmethod
    def make(cls, name: str, parent: Path | None = None) -> Self:
        """Make a fresh folder among the system's temporary ones, or in another parent."""
        return cls(Path(tempfile.mkdtemp(prefix=f"crm-importer-{name}-", dir=parent)))

    def remove(self) -> None:
        """Remove the folder now and wait until it is gone."""
        if self._janitor.poll() is None:
            self._janitor.communicate(b"now\n")

    def __enter__(self) -> Self:
        """Lend the folder."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder."""
        self.remove()
