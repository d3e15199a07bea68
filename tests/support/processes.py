"""Starts the importer and the simulated portal as the programs they are."""

import json
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx

from tests.support.child_process import ChildProcess, Scratch
from tests.support.patience import Deadline
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
PASSED_ON = ("HOME", "LANG", "PATH", "TMPDIR", "TZ")
POLL_SECONDS = 0.05
ANSWER_SECONDS = 30.0
LAST_WORDS_SECONDS = 5.0
CONTROL_SECONDS = 120.0
"""The ledger of a soak of hours has a hundred MB."""
START_SECONDS = 60.0
"""A busy machine takes half a minute to load Python a few times at once."""


class ProcessError(AssertionError):
    """A process did not do what was expected of it; its last words are in the message."""


class Program(ABC):
    """Runs one Python module of this checkout until the `with` block ends; then it is killed."""

    def __init__(
        self,
        module: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        fresh: bool = False,
        measured: bool = False,
    ) -> None:
        self._fresh = fresh
        self._command = [sys.executable, "-m", module, *args]
        self._env = {**base_environment(measured=measured), **(env or {})}
        self._scratch = Scratch.make(module)
        self._process: ChildProcess | None = None
        self._http = httpx.Client(timeout=ANSWER_SECONDS, trust_env=False, verify=False)  # noqa: S501 - plain HTTP to ourselves; spares loading authorities

    @property
    @abstractmethod
    def url(self) -> str:
        """Return the address it serves, with a slash at the end."""

    @property
    def process(self) -> ChildProcess:
        """Return the running process."""
        if self._process is None:
            raise ProcessError("the process has not been started")
        return self._process

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self.process.exit_code is None

    def start(self) -> Self:
        """Start it; a second start appends to the same output."""
        self._process = ChildProcess(
            self._command,
            env=self._env,
            cwd=self._scratch.path,
            name="process",
            fresh=self._fresh,
        )
        return self

    def terminate(self) -> None:
        """Ask it to stop, as Kubernetes does."""
        self.process.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a lost machine does."""
        self.process.kill()

    def freeze(self) -> None:
        """Stop it where it stands; `thaw` lets it go on."""
        self.process.freeze()

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self.process.thaw()

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for its end and return the exit code."""
        self.until(lambda: not self.alive, "end", timeout, ended=True)
        return self.process.wait(timeout)

    def stdout(self) -> str:
        """Return what it printed so far."""
        return self.process.stdout.read_text(errors="replace")

    def stderr(self) -> str:
        """Return what it complained so far."""
        return self.process.stderr.read_text(errors="replace")

    def get(self, path: str) -> httpx.Response:
        """Ask it over HTTP."""
        return self._http.get(self.url + path.lstrip("/"))

    def until(
        self, check: Callable[[], bool], what: str, timeout: float, *, ended: bool = False
    ) -> None:
        """Wait until a check passes; fail at once if the process ends before (unless `ended`)."""
        deadline = Deadline(timeout)
        while not check():
            if deadline.passed or not (ended or self.alive):
                state = "still runs" if self.alive else f"ended with {self.process.exit_code}"
                raise ProcessError(f"waited for {what}; it {state}:\n{self.process.tail()}")
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Kill it and remove what it left; what is measured may write its coverage before."""
        if self._process is not None:
            if "COVERAGE_PROCESS_CONFIG" in self._env:
                self.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(LAST_WORDS_SECONDS)
            self._process.kill()
        self._http.close()
        self._scratch.remove()

    def __enter__(self) -> Self:
        """Start it, unless it runs already."""
        return self if self._process is not None else self.start()

    def __exit__(self, *_: object) -> None:
        """Kill it and remove what it left."""
        self.close()


class ServiceProcess(Program):
    """Runs the importer as a black box, with only the IMPORTER_* settings that a test gives."""

    def __init__(
        self,
        settings: Mapping[str, str],
        command: Sequence[str] = ("run",),
        *,
        module: str = "service",
        fresh: bool = False,
        measured: bool = False,
    ) -> None:
        """Prepare a command, by default the service; `module` may be one that runs it.

        `fresh` starts Python from nothing, so that /proc shows the command's own line.
        `measured` counts the importer's coverage too, which makes it slower; a command's counts.
        """
        own = {"IMPORTER_HTTP__HOST": "127.0.0.1", "IMPORTER_HTTP__PORT": str(free_port())}
        env = {**own, **settings}
        self.port = int(env["IMPORTER_HTTP__PORT"])
        measured = measured or "run" not in command
        super().__init__(module, *command, env=env, fresh=fresh, measured=measured)

    @property
    def url(self) -> str:
        """Return the root of its HTTP port."""
        return f"http://127.0.0.1:{self.port}/"

    def wait_ready(self, timeout: float = START_SECONDS) -> Self:
        """Wait until it says that it is attached to the broker."""
        self.until(lambda: self.probe("readyz")[0] == 200, "/readyz to say 200", timeout)
        return self

    def probe(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of a probe; status 0 while nobody listens."""
        try:
            answer = self.get(path)
        except httpx.TransportError:
            return 0, {}
        return answer.status_code, answer.json()

    def metrics(self) -> dict[str, float]:
        """Return every sample, by the name and labels it is exposed with."""
        lines = self.get("metrics").text.splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def logs(self, **wanted: object) -> list[dict[str, Any]]:
        """Return its JSON log lines so far, or only those with the members asked for."""
        lines = _whole(self.stderr()).splitlines()
        records = [json.loads(line) for line in lines if line[:1] == "{"]
        return [record for record in records if wanted.items() <= record.items()]


class PortalProcess(Program):
    """Runs the simulated portal, to be scripted and read through its control address."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(
            "tests.sandbox", "--port", str(free_port()), "--settings", json.dumps(settings or {})
        )
        self._url = ""

    @property
    def url(self) -> str:
        """Return the portal's root."""
        return self._url

    @property
    def webhook_url(self) -> str:
        """Return the inbound webhook that the portal accepts while its settings allow it."""
        current = self.control("GET", "settings")
        return f"{self.url}rest/{current['user']}/{current['secret']}/"

    def start(self) -> Self:
        """Start it and wait until it listens; a second start uses the same port."""
        before = 0 if self._process is None else len(self.stdout())
        super().start()
        self.until(
            lambda: "listening " in _whole(self.stdout()[before:]), "its address", START_SECONDS
        )
        self._url = _whole(self.stdout()).rpartition("listening ")[2].split()[0]
        return self

    def control(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        """Call one address below /control/ and return its answer."""
        url = f"{self.url}control/{path}"
        answer = self._http.request(method, url, json=body, timeout=CONTROL_SECONDS)
        if answer.is_error:
            raise ProcessError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def ledger(self) -> dict[str, Any]:
        """Return every item and every call, in order."""
        answer: dict[str, Any] = self.control("GET", "ledger")
        return answer

    def summary(self) -> dict[str, Any]:
        """Return the ledger in numbers."""
        answer: dict[str, Any] = self.control("GET", "summary")
        return answer

    def faults(self, faults: Sequence[Mapping[str, Any]]) -> None:
        """Replace the script of faults."""
        self.control("DELETE", "faults")
        self.control("POST", "faults", list(faults))

    def settings(self, changes: Mapping[str, Any]) -> None:
        """Change the named settings of the running portal."""
        self.control("POST", "settings", dict(changes))

    def set_back(self, kept: int = 0) -> None:
        """Bring older data back: keep so many of the oldest items."""
        self.control("POST", "set_back", {"kept": kept})

    def delete_items(self, *ids: int) -> None:
        """Delete items, as people do."""
        self.control("POST", "delete", {"ids": ids})

    def change_items(self, **fields: Any) -> None:
        """Change fields of every item, as people do who hand items over."""
        self.control("POST", "items", {"fields": fields})


def _whole(text: str) -> str:
    """Return the lines that have ended: who reads what is being written may see half a line."""
    return text[: text.rfind("\n") + 1]


def base_environment(tree: Path = ROOT, *, measured: bool) -> dict[str, str]:
    """Return what every program gets: a path, what measures coverage if wanted; no settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED_ON or (measured and name.startswith("COVERAGE_"))
    }
    return {**kept, "PYTHONPATH": str(tree), "PYTHONUNBUFFERED": "1"}
