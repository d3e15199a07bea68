"""Describes one call on its way through the portal."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.sandbox.clock import Clock
from tests.sandbox.exact import entry_texts
from tests.sandbox.ledger import CallRecord
from tests.sandbox.settings import Settings


@dataclass(frozen=True, slots=True)
class EntryError:
    """Orders one entry to be answered with an error, perhaps after it was saved."""

    code: str | int
    description: str
    saved: bool

    def answer(self) -> dict[str, object]:
        """Return the entry of the answer."""
        return {"error": self.code, "error_description": self.description}


@dataclass(slots=True)
class Script:
    """Tells a method how far to go: which entries to refuse, where to stop, how long to take."""

    stop: int | None = None
    extra_seconds: float = 0.0
    entry_errors: dict[int, EntryError] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """Carries one request, its ledger entry, and the seconds that its work took."""

    method: str
    params: dict[str, Any]
    body: bytes
    record: CallRecord
    source: str = ""
    user: str | None = None
    secret: str | None = None
    token: str | None = None
    base_url: str = ""
    script: Script = field(default_factory=Script)
    seconds: float = 0.0
    _texts: list[str] | None = None

    @property
    def credential(self) -> str:
        """Name the key that budgets are counted for."""
        return f"webhook {self.user} {self.secret}" if self.secret else "application"

    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode(errors="replace")

    def entries(self) -> list[str]:
        """Return the exact text of each entry."""
        if self._texts is None:
            try:
                self._texts = entry_texts(self.text())
            except (ValueError, IndexError):
                self._texts = []
        return self._texts

    def chosen(self, match: str | None, index: int) -> list[int]:
        """Return the positions of the entries that contain a text, or else the one given."""
        if match is None:
            return [index]
        return [number for number, text in enumerate(self.entries()) if match in text]

    async def spend_overhead(self, settings: Settings, clock: Clock) -> None:
        """Take the time that the method needs besides its entries."""
        seconds = settings.call_seconds.get(self.method, 0.0) + self.script.extra_seconds
        if seconds:
            await clock.sleep_until(clock.now() + seconds)
            self.seconds += seconds


Work = Callable[[Call], Awaitable[dict[str, Any]]]
