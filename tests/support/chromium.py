"""Drives a real browser: Debian's chromium, through its driver, by the WebDriver protocol."""

import base64
import json
from pathlib import Path
from typing import Any, Self

import httpx

from tests.support.ports import free_port
from tests.support.processes import START_SECONDS, Program

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
TAB, ENTER = "\ue004", "\ue007"
TRIES = 5
PATIENCE = 150.0
"""Longest time of one order, in seconds."""


class Stale(AssertionError):  # noqa: N818 - reads as what it says
    """An element is no longer on the page."""


class Chromium(Program):
    """One browser window; `scripts`: whether pages may run theirs."""

    def __init__(self, *, scripts: bool = True) -> None:
        self.port = free_port()
        super().__init__("tests.support.chromium", str(self.port))
        self._command = ["chromedriver", f"--port={self.port}"]
        options: dict[str, Any] = {
            "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--disable-dev-shm-usage",
            ],
        }
        if not scripts:
            content = {"profile.managed_default_content_settings.javascript": 2}
            options["prefs"] = content
        self._wanted = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}
        self._session = ""

    @property
    def url(self) -> str:
        """Return the driver's root."""
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        """Open the window."""
        self.start()
        self.until(self._answers, "the browser's driver", START_SECONDS)
        made = self._call("POST", "session", {"capabilities": self._wanted})
        self._session = f"session/{made['sessionId']}/"
        longest = round(PATIENCE * 1000)
        self._do("timeouts", {"script": longest, "pageLoad": longest})
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        if self._session:
            self._call("DELETE", self._session.rstrip("/"))
        self.close()

    def _answers(self) -> bool:
        try:
            return bool(self._call("GET", "status")["ready"])
        except httpx.TransportError:
            return False

    def size(self, width: int, height: int = 900) -> None:
        """Make the page as wide as told."""
        self._do(
            "goog/cdp/execute",
            {
                "cmd": "Emulation.setDeviceMetricsOverride",
                "params": {
                    "width": width,
                    "height": height,
                    "deviceScaleFactor": 1,
                    "mobile": False,
                },
            },
        )

    def prefer(self, *, dark: bool) -> None:
        """Prefer dark pages, or light ones."""
        wanted = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._do(
            "goog/cdp/execute",
            {"cmd": "Emulation.setEmulatedMedia", "params": {"features": [wanted]}},
        )

    def open(self, address: str) -> None:
        """Load a page."""
        self._do("url", {"url": address})

    def run(self, script: str, *given: object) -> Any:  # noqa: ANN401 - any JSON
        """Run a script in the page, whatever the page's policy; return what it returns."""
        return self._do("execute/sync", {"script": script, "args": list(given)})

    def run_async(self, script: str, *given: object) -> Any:  # noqa: ANN401 - any JSON
        """Run a script that calls its last argument with its answer."""
        return self._do("execute/async", {"script": script, "args": list(given)})

    def find(self, selector: str) -> str:
        """Return the first element that a CSS selector names."""
        found = self._do("element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])

    def text(self, selector: str = "main") -> str:
        """Return what an element shows; nothing while there is none."""
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return str(self.run(script, selector))

    def click(self, selector: str) -> None:
        """Click an element."""
        self._with(selector, "click", {})

    def write(self, selector: str, text: str) -> None:
        """Write into a box that is empty, or after what is in it."""
        self._with(selector, "value", {"text": text})

    def _with(self, selector: str, command: str, body: object) -> None:
        """Do something with an element; with the new one where a page has just changed."""
        for _ in range(TRIES):
            try:
                self._do(f"element/{self.find(selector)}/{command}", body)
            except Stale:
                continue
            return
        raise Stale(selector)

    def press(self, keys: str) -> None:
        """Press keys, wherever the focus is."""
        actions = [step for key in keys for step in (_key("keyDown", key), _key("keyUp", key))]
        self._do("actions", {"actions": [{"type": "key", "id": "k", "actions": actions}]})

    def screenshot(self, path: Path) -> None:
        """Save what is seen."""
        shot = self._call("GET", f"{self._session}screenshot")
        path.write_bytes(base64.b64decode(shot))

    def _do(self, command: str, body: object) -> Any:  # noqa: ANN401 - any JSON
        return self._call("POST", self._session + command, body)

    def _call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        answer = self._http.request(
            method,
            self.url + path,
            content=None if body is None else json.dumps(body),
            timeout=PATIENCE,
        )
        told = answer.json()["value"]
        if isinstance(told, dict) and "error" in told:
            if told["error"] == "stale element reference":
                raise Stale(path)
            raise AssertionError(told)
        return told


def _key(kind: str, key: str) -> dict[str, str]:
    return {"type": kind, "value": key}
