"""Runs the commands beside the service as people and scripts do: at a terminal, and in pipes."""

import asyncio
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.forks import start_program
from tests.support.patience import Deadline, patient
from tests.support.processes import ROOT, base_environment

COMMAND_SECONDS = 60.0
READ_SECONDS = 0.05
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


class Commands:
    """Runs `crm-importer …` with the settings given, and no others."""

    def __init__(
        self, amqp_url: str, settings: Mapping[str, str] | None = None, *, tree: Path = ROOT
    ) -> None:
        """Prepare the commands of this checkout, or of another tree."""
        self._env = {
            **base_environment(tree, measured=True),
            "IMPORTER_RABBIT__URL": amqp_url,
            **(settings or {}),
        }
        self._tree = tree

    def start(self, *args: str) -> "subprocess.Popen[bytes]":
        """Start a command with pipes."""
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "service", *args]
        return start_program(command, env=self._env, cwd=self._tree, streams=(pipe, pipe, pipe))

    async def run(self, *args: str, stdin: bytes = b"") -> Done:
        """Run a command with pipes to its end."""
        with self.start(*args) as process:
            out, err = await asyncio.to_thread(
                process.communicate, stdin, patient(COMMAND_SECONDS)
            )
        return Done(process.returncode, out.decode(), err.decode())

    def terminal(self, *args: str, columns: int = 100) -> "Terminal":
        """Start a command at a terminal of its own."""
        size = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40"}
        return Terminal([sys.executable, "-m", "service", *args], {**self._env, **size})


class Terminal:
    """A command at a pseudo-terminal: what it shows, and what is typed."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._screen, there = pty.openpty()
        os.set_blocking(self._screen, False)
        self._shown = b""
        self._ended = False
        self._process = start_program(
            command, env=env, cwd=ROOT, streams=(there, there, there), session=True
        )
        os.close(there)

    def __enter__(self) -> Self:
        """Give the terminal."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the command, if it still runs."""
        self._process.kill()
        self._process.wait()
        self._read_to_the_end()
        os.close(self._screen)

    @property
    def raw(self) -> str:
        """Everything shown so far, with what moves the cursor."""
        return self._shown.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """Everything shown so far, without what moves the cursor."""
        return _ESCAPE.sub("", self.raw)

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._screen, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def wait_for(self, text: str, timeout: float = COMMAND_SECONDS) -> None:
        """Wait until something is shown."""
        deadline = Deadline(timeout)
        while text not in self.text:
            assert not deadline.passed, f"not shown: {text}\n{self.text}"
            if self._process.poll() is not None:
                self._read_to_the_end()
                assert text in self.text, f"not shown: {text}\n{self.text}"
            self._read()

    def wait(self, timeout: float = COMMAND_SECONDS) -> int:
        """Wait for the end and return the exit code."""
        deadline = Deadline(timeout)
        while self._process.poll() is None:
            assert not deadline.passed, f"still runs:\n{self.text}"
            self._read()
        self._read_to_the_end()
        return self._process.returncode

    def _read(self) -> None:
        """Take what is shown within a moment."""
        if self._ended:
            time.sleep(READ_SECONDS)
            return
        ready, _, _ = select.select([self._screen], [], [], READ_SECONDS)
        if not ready:
            return
        try:
            self._shown += os.read(self._screen, 65536)
        except OSError:  # everything is read, and nobody has the other side open any more
            self._ended = True

    def _read_to_the_end(self) -> None:
        """Take all that a command that has ended did show: the kernel hands it on in pieces."""
        deadline = Deadline(COMMAND_SECONDS)
        while not self._ended:
            assert not deadline.passed, f"somebody keeps the terminal open:\n{self.text}"
            self._read()
