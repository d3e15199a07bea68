"""Takes secrets and control characters out of what is logged, value by value."""

import json
import math
import re
from collections import deque
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

LEARNT = 32
"""How many secrets learnt at run time are masked: the latest token pairs."""
SHORT = 8
"""Secrets shorter than this are masked only as whole words."""
MASK = "***"
KEPT = frozenset({"level", "logger", "time"})
"""Members that we write ourselves, which hold no secret."""
MAX_DEPTH = 8

_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
"""Characters that a terminal obeys, or that change the order of text."""


class Masking:
    """Masks secrets in values, never in finished lines: what is no secret stays as it is."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Mask these texts, the longest first."""
        self._given = tuple(secrets)
        self._learnt: deque[str] = deque(maxlen=LEARNT)
        self._pattern = self._compiled()
        self._sure: re.Pattern[str] | None = self._compiled(SHORT)

    @property
    def short(self) -> int:
        """How many of the given secrets are short enough to be guessed, or met by chance."""
        return sum(0 < len(each) < SHORT for each in set(self._given))

    def learn(self, secret: str) -> None:
        """Mask one more text; the oldest learnt is forgotten, for tokens end."""
        if secret not in self._learnt:
            self._learnt.append(secret)
            self._pattern, self._sure = self._compiled(), self._compiled(SHORT)

    def record(self, _: object, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        """Mask the values of one record; a processor of structlog."""
        return {key: v if key in KEPT else self.masked(v) for key, v in event.items()}

    def masked(self, value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - whatever is logged
        """Return a value with every secret in it masked."""
        match value:
            case float() if not math.isfinite(value):
                return str(value)
            case None | bool() | int() | float():
                return value
            case str():
                return self.text(value)
            case Mapping() if depth < MAX_DEPTH:
                return {self.text(str(k)): self.masked(v, depth + 1) for k, v in value.items()}
            case list() | tuple() | set() | frozenset() if depth < MAX_DEPTH:
                return [self.masked(each, depth + 1) for each in value]
            case _:
                return self.text(str(value))

    def text(self, text: str) -> str:
        """Return a text with every secret in it masked."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def sure(self, text: str) -> str:
        """Return a text with the secrets masked that no text has by chance."""
        return text if self._sure is None else self._sure.sub(MASK, text)

    def _compiled(self, least: int = 1) -> "re.Pattern[str] | None":
        plain = {text for text in (*self._given, *self._learnt) if len(text) >= least}
        # A secret may be in JSON or in a repr that is logged as text.
        spelt = plain | {json.dumps(text)[1:-1] for text in plain} | {repr(t)[1:-1] for t in plain}
        longest_first = sorted(spelt, key=len, reverse=True)
        return re.compile("|".join(map(_part, longest_first))) if longest_first else None


def _part(secret: str) -> str:
    escaped = re.escape(secret)
    if len(secret) >= SHORT:
        return escaped
    before = r"(?<!\w)" if secret[0].isalnum() else ""
    after = r"(?!\w)" if secret[-1].isalnum() else ""
    return f"{before}{escaped}{after}"


def escaped(line: str) -> str:
    """Return JSON with every character escaped that a terminal obeys; letters stay letters."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def visible(text: str, *, keep: str = "") -> str:
    """Return a text for a terminal: what would move the cursor or hide is shown as an escape."""

    def shown(found: "re.Match[str]") -> str:
        return found[0] if found[0] in keep else ascii(found[0])[1:-1]

    return _UNSEEN.sub(shown, text)
