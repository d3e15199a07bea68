"""Starts Python programs as forks of a process that has read their modules already.

Reading the modules takes most of a second of processor time, and the tests start a few thousand
programs. So each test process keeps one helper for each package: it reads the package's modules
once and then forks for every start. What runs in the fork is what `python -m package` runs, with
its own arguments, environment, folder, streams, session and signals. Only its command line in
/proc is the helper's, and its memory starts with all the package's modules.

A start that needs Python's own beginning (another tree, Python's own settings, a command line
that is looked at) is not for this module: `start_program` leaves it to `subprocess`.
"""

import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("service", "tests.sandbox")
LEFT_OUT = ("__main__", "console")
"""What starts the program by being imported, and what only one command needs."""

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_RECORD_BYTES = 1 << 20


def start_program(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    streams: tuple[int | IO[bytes], int | IO[bytes], int | IO[bytes]],
    session: bool = False,
    fresh: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start a program, as a fork if it is a Python package of ours and not wanted `fresh`.

    With a session of its own it ends with the thread that started it, `kill -9` included.
    """
    into, out, err = streams
    fork = not fresh and _can_fork(command, env)  # which ends with its helper, and that with us
    bound = ["setpriv", "--pdeathsig", "KILL"] if session and not fork else []
    start: type[subprocess.Popen[bytes]] = _Fork if fork else subprocess.Popen
    return start(
        [*bound, *command],
        env=dict(env),
        cwd=cwd,
        stdin=into,
        stdout=out,
        stderr=err,
        start_new_session=session,
    )


def _can_fork(command: Sequence[str], env: Mapping[str, str]) -> bool:
    """Tell whether the helper's Python is set as the program's would be."""
    ours = {name: value for name, value in env.items() if name.startswith(("PYTHON", "LC_"))}
    known = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    python = [*command[:2]] == [sys.executable, "-m"] and command[2] in PACKAGES
    return python and ours == known


class _Request(NamedTuple):
    """What a fork is to become."""

    module: str
    arguments: list[str]
    env: dict[str, str]
    cwd: str
    session: bool

    @property
    def measured(self) -> bool:
        """Tell whether its coverage is wanted."""
        return "COVERAGE_PROCESS_CONFIG" in self.env


class _Fork(subprocess.Popen[bytes]):
    """A `Popen` whose process is a child of the helper, which tells how it ended."""

    _line: socket.socket

    def _execute_child(self, args: list[str], *rest: Any) -> None:
        _, _, _, _, cwd, env, _, _, _, into, into_ours, out_ours, out, err_ours, err, *more = rest
        request = _Request(args[2], args[3:], env, str(cwd), session=bool(more[-2]))
        streams = [given if given >= 0 else own for own, given in enumerate((into, out, err))]
        try:
            self._line = _helper(request.module).start(request, streams)
            self.pid = int(self._line.recv(_RECORD_BYTES))
        finally:
            self._close_pipe_fds(into, into_ours, out_ours, out, err_ours, err)  # type: ignore[attr-defined]  # Popen's own
        self._child_created = True

    def _internal_poll(self, *_: object, **__: object) -> int | None:
        return self._ended(0)

    def _wait(self, timeout: float | None) -> int:
        if (code := self._ended(timeout)) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _ended(self, seconds: float | None) -> int | None:
        """Return how it ended, if it does so in time; who only looks never waits for who waits."""
        lock: threading.Lock = self._waitpid_lock  # type: ignore[attr-defined]  # Popen's own
        if lock.acquire(blocking=seconds != 0):
            try:
                if self.returncode is None and _readable(self._line, seconds):
                    self.returncode = int(self._line.recv(_RECORD_BYTES) or -signal.SIGKILL)
                    self._line.close()
            finally:
                lock.release()
        return self.returncode


class _Helper:
    """The test process's side of one helper."""

    def __init__(self, module: str) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __spec__.name, module, str(theirs.fileno())],
                env={**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def start(self, request: _Request, streams: Sequence[int]) -> socket.socket:
        """Ask for a fork and return the line on which its id and then its end are told."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.send(json.dumps(request).encode())
        with theirs, self._lock:
            socket.send_fds(self._control, [b"start"], [theirs.fileno(), *streams])
        return ours


_MAKING = threading.Lock()
_HELPERS: dict[str, _Helper] = {}


def _helper(module: str) -> _Helper:
    """Return the helper for a package; the first call starts it."""
    with _MAKING:
        if module not in _HELPERS:
            _HELPERS[module] = _Helper(module)
        return _HELPERS[module]


def _readable(line: socket.socket, seconds: float | None) -> bool:
    ready, _, _ = select.select([line], [], [], seconds)
    return bool(ready)


def _read_modules(package: str) -> None:
    """Import a package with all its modules, and let no fork look at them for garbage."""
    pending = [package]
    while pending:
        module = importlib.import_module(pending.pop())
        pending += [
            f"{module.__name__}.{found.name}"
            for found in pkgutil.iter_modules(getattr(module, "__path__", ()))
            if found.name not in LEFT_OUT
        ]
    gc.collect()
    gc.freeze()


def _serve(control: socket.socket) -> _Request | None:
    """Fork for each request until the test process is gone; return a request in its fork."""
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready, _, _ = select.select([control.fileno(), *running], [], [])
        for watch in running.keys() & set(ready):
            pid, line = running.pop(watch)
            os.close(watch)
            with line, contextlib.suppress(OSError):  # perhaps nobody waits for it any more
                line.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        if control.fileno() not in ready:
            continue
        _, handles, _, _ = socket.recv_fds(control, 16, 4)
        if not handles:
            return None
        line = socket.socket(fileno=handles[0])
        request = _Request(*json.loads(line.recv(_RECORD_BYTES)))
        if request.measured:
            importlib.import_module("coverage")  # once, and not in each fork
        if pid := os.fork():
            watch = os.pidfd_open(pid)
            running[watch] = (pid, line)
        else:
            _leave(control, running)
            _take(line, handles[1:], request)
            return request
        for handle in handles[1:]:
            os.close(handle)


def _leave(control: socket.socket, running: Mapping[int, tuple[int, socket.socket]]) -> None:
    """Close in a fork what is the helper's."""
    control.close()
    for watch, (_, line) in running.items():
        os.close(watch)
        line.close()


def _take(line: socket.socket, handles: Sequence[int], request: _Request) -> None:
    """Take the streams and the session asked for, then tell the fork's id."""
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if request.session:
        os.setsid()
    for stream, handle in enumerate(handles):
        os.dup2(handle, stream)
        os.close(handle)
    with line:
        line.send(b"%d" % os.getpid())


def _become(request: _Request) -> None:
    """Run the program in this fork as if Python had just been started for it."""
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.env)
    time.tzset()
    if request.measured:
        importlib.import_module("coverage").process_startup(force=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = _writer(1, "strict")
    sys.stderr = _writer(2, "backslashreplace")
    sys.argv = [request.module, *request.arguments]
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


def _writer(handle: int, errors: str) -> io.TextIOWrapper:
    """Open a standard stream as Python does when it is told not to buffer."""
    raw = io.FileIO(handle, "wb", closefd=False)
    return io.TextIOWrapper(raw, errors=errors, write_through=True)


if __name__ == "__main__":
    _read_modules(sys.argv[1])
    if (wanted := _serve(socket.socket(fileno=int(sys.argv[2])))) is not None:
        _become(wanted)
