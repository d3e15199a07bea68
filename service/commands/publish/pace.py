"""Shows, not too often, how far a run over a file has come and how fast it is."""

import time
from dataclasses import dataclass, field

from service.commands import terminal
from service.commands.publish.source import Source

TELL_SECONDS = 0.5


@dataclass(slots=True, eq=False)
class Pace:
    """Moves the progress of one run."""

    source: Source
    progress: terminal.Progress
    _begun: float = field(default_factory=time.monotonic)
    _told: float = 0.0
    _position: int = 0

    def show(self, done: int, noun: str) -> None:
        """Show how much is done, if the last time is long enough ago."""
        now = time.monotonic()
        if now - self._told < TELL_SECONDS:
            return
        rate = done / max(now - self._begun, TELL_SECONDS)
        self.progress.tell(f"{terminal.many(done, noun)}, {rate:,.0f}/s")
        self.progress.advance(self.source.position - self._position)
        self._told, self._position = now, self.source.position
