"""Runs the console as the process it is, and visits it as a browser does."""

import asyncio
import re
import time
from collections.abc import Mapping
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any, Self

import httpx

from tests.support.amqp import PATIENCE_SECONDS
from tests.support.ports import free_port
from tests.support.processes import START_SECONDS, Program

_ELSEWHERE = re.compile("[a-z]+:|//")
_VOID = frozenset({"meta", "link", "input", "br", "hr", "line", "polyline", "img", "rect", "path"})


class ConsoleProcess(Program):
    """Runs `crm-importer console` with only the settings that a test gives."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.port = free_port()
        own = {
            "IMPORTER_CONSOLE__PORT": str(self.port),
            # Nobody answers there, unless a test says otherwise.
            "IMPORTER_CONSOLE__STATUS_URL": f"http://127.0.0.1:{free_port()}/status",
        }
        super().__init__("service", "console", env={**own, **settings}, measured=True)

    @property
    def url(self) -> str:
        """Return its root."""
        return f"http://127.0.0.1:{self.port}/"

    def wait_ready(self) -> "ConsoleProcess":
        """Wait until it answers."""
        self.until(self._answers, "the console to answer", START_SECONDS)
        return self

    def _answers(self) -> bool:
        try:
            return self.get("livez").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


class Page(HTMLParser):
    """Reads what a page says, and what it lacks for people who cannot see it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.boxes: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.wrong: list[str] = []
        self.title = ""
        self.texts: list[str] = []
        self._open: list[str] = []
        self._label = 0
        self._named = ""
        self.feed(text)
        self.close()

    @property
    def text(self) -> str:
        """Return what is read."""
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        told = dict(attrs)
        if tag not in _VOID:
            self._open.append(tag)
        self.ids += [told["id"] or ""] if "id" in told else []
        self._check(tag, told)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        elif tag == "label":
            self.labelled.add(told.get("for") or "")
            self._label += 1
        elif tag == "a":
            self.links.append(told.get("href") or "")
        elif tag == "form":
            self.forms.append({"action": told.get("action"), "fields": {}})
        elif tag in {"input", "textarea", "select"}:
            self._box(told)

    def _check(self, tag: str, told: Mapping[str, str | None]) -> None:
        if "style" in told or any(name.startswith("on") for name in told):
            self.wrong.append(f"{tag} has inline style or script")
        if tag == "html" and told.get("lang") != "en":
            self.wrong.append("no language")
        if tag == "th" and "scope" not in told:
            self.wrong.append("a head of a table without scope")
        leads = [told.get(name) or "/" for name in ("src", "href", "action")]
        self.wrong += [
            f"{tag} leads elsewhere: {each}" for each in leads if _ELSEWHERE.match(each)
        ]

    def _box(self, told: dict[str, str | None]) -> None:
        self._named = told.get("name") or ""
        if self.forms and self._named and told.get("type") != "checkbox":
            self.forms[-1]["fields"][self._named] = told.get("value") or ""
        if told.get("type") != "hidden":
            self.boxes.append({**told, "inside": "yes" if self._label else None})

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that holds nothing."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that elements end in their order."""
        self._label -= tag == "label"
        if not self._open or self._open[-1] != tag:
            self.wrong.append(f"</{tag}> closes {self._open[-1:]}")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        """Keep what is read."""
        if self._open and self._open[-1] == "title":
            self.title = self.title or data
        elif self._open[-1:] == ["textarea"]:
            # Browsers take away a line end at the start.
            self.forms[-1]["fields"][self._named] += data.removeprefix("\n")
        elif "script" not in self._open:
            self.texts.append(data)

    def flaws(self) -> list[str]:
        """Return what a reader with a screen reader or a keyboard would stumble over."""
        found = list(self.wrong)
        found += [f"not closed: {tag}" for tag in self._open]
        found += [] if self.title.strip() else ["no title"]
        found += [] if self.headings[:1] == [1] and self.headings.count(1) == 1 else ["not one h1"]
        for before, after in pairwise(self.headings):
            found += [f"h{after} after h{before}"] if after > before + 1 else []
        found += [f"id twice: {each}" for each in set(self.ids) if self.ids.count(each) > 1]
        found += [
            f"no label: {box.get('name')}"
            for box in self.boxes
            if not (box.get("id") in self.labelled or box["inside"] or box.get("aria-label"))
        ]
        return found


class Browser:
    """Visits the console: keeps its cookie, follows what it is told, sends whole forms."""

    def __init__(self, console: ConsoleProcess, **headers: str) -> None:
        self.origin = console.url.rstrip("/")
        self.client = httpx.AsyncClient(
            base_url=console.url,
            timeout=20.0,
            trust_env=False,
            follow_redirects=True,
            verify=False,  # noqa: S501 - plain HTTP to ourselves
            headers=headers,
        )
        self.last: httpx.Response | None = None

    async def __aenter__(self) -> Self:
        """Open it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.client.aclose()

    async def any(self, address: str) -> Page:
        """Load a page, whatever its code."""
        self.last = await self.client.get(address)
        return Page(self.last.text)

    async def get(self, address: str, code: int = 200) -> Page:
        """Load a page that is there."""
        page = await self.any(address)
        assert self.last is not None
        assert code == self.last.status_code, self.last.text[:2000]
        return page

    async def send(
        self, page: Page, to: str, filled: Mapping[str, str] | None = None, code: int = 200
    ) -> Page:
        """Fill in the last form of a page that goes to an address, and send it."""
        [*_, chosen] = [each for each in page.forms if each["action"] == to]
        data = {**chosen["fields"], **(filled or {})}
        self.last = await self.client.post(to, data=data, headers={"Origin": self.origin})
        assert code == self.last.status_code, self.last.text[:2000]
        return Page(self.last.text)


async def settled(
    browser: Browser, address: str, code: int = 200, *, within: float = PATIENCE_SECONDS
) -> Page:
    """Load a page until it changes no more by itself."""
    deadline = time.monotonic() + within
    while True:
        page = await browser.any(address)
        assert browser.last is not None
        if 'data-live="1"' not in browser.last.text:
            assert code == browser.last.status_code, browser.last.text[:2000]
            return page
        assert time.monotonic() < deadline, f"{address} is still at work"
        await asyncio.sleep(0.1)
