"""Reads which letters a page is about from its address, and writes such addresses."""

from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import parse_qsl, quote, urlencode

from service.commands import option_values
from service.commands.dlq.selection import Selection

NAMES: Final = ("kind", "code", "type", "since", "id")
KINDS: Final = ("rejected", "unsupported", "ambiguous", "malformed", "undelivered")
MAX_TEXT: Final = 1_000
"""Characters of a filter; no event id is longer."""
_EXACT: Final = ("id", "code")
_UNSAFE: Final = (".", "..")
"""Parts that browsers and proxies take out of a path, escaped or not."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What stands in the address: as text, as a selection, and what could not be read of it."""

    texts: Mapping[str, str] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    mistakes: tuple[str, ...] = ()

    @property
    def query(self) -> str:
        """The filters as they stand in an address, with its question mark; empty without any."""
        return f"?{urlencode(self.texts)}" if self.texts else ""

    @property
    def fixed(self) -> "Filters":
        """The same letters whenever the address is opened: an age becomes a time."""
        since = self.selection.since
        if since is None:
            return self
        exact = since.isoformat().replace("+00:00", "Z")
        return replace(self, texts={**self.texts, "since": exact})

    @property
    def trimmed(self) -> str:
        """The query without white space around id and code, which was perhaps pasted along.

        Empty where there is none, or nothing else: no id never becomes any id.
        """
        texts = {name: text.strip() for name, text in self.texts.items()}
        is_other = texts != self.texts and all(texts.values())
        return f"?{urlencode(texts)}" if is_other else ""


def read_filters(
    given: Mapping[str, str],
    *,
    read_type: Callable[[str], object] = option_values.type_of_letters,
) -> Filters:
    """Read filters; one that cannot be read is named, and matches as if it were not there.

    Ids and codes are taken as they are: white space is a part of them.
    """
    told = {name: given.get(name, "") for name in NAMES}
    # What cannot be read stays in the address: a form without it would mean more letters.
    texts = {
        name: text
        for name, value in told.items()
        if (text := value if name in _EXACT else value.strip())
    }
    usable = {name: text for name, text in texts.items() if len(text) <= MAX_TEXT}
    mistakes = [
        f"{name}: it is longer than {MAX_TEXT:,} characters"
        for name in texts
        if name not in usable
    ]

    def read(name: str, reader: Callable[[str], Any]) -> Any:  # noqa: ANN401 - what the reader returns
        try:
            return reader(usable[name]) if name in usable else None
        except ArgumentTypeError as wrong:
            mistakes.append(f"{name}: {wrong}")
            return None

    since = cast("datetime | None", read("since", _since))
    kind = usable.get("kind")
    if kind is not None and kind not in KINDS:
        mistakes.append(f"kind: {kind!r} is none of {', '.join(KINDS)}")
    selection = Selection(
        kind=kind if kind in KINDS else None,
        code=usable.get("code"),
        entity_type_id=read("type", read_type),
        since=since,
        ids=frozenset([usable["id"]]) if "id" in usable else frozenset(),
    )
    return Filters(texts, selection, tuple(mistakes))


def _since(text: str) -> object:
    """Read a time as it is; an age becomes a whole minute.

    So pages that are asked for one after another mean the same letters.
    """
    try:
        return cast("datetime", option_values.ago(text)).replace(second=0, microsecond=0)
    except ArgumentTypeError:
        return option_values.since(text)


def form_filters(form: Mapping[str, str]) -> Filters:
    """Read filters out of a form, which carries them as they stand in an address.

    Browsers change line ends in forms, and an id may hold any sign.
    """
    return read_filters(dict(parse_qsl(form.get("which", ""))))


def address(**filters: object) -> str:
    """Return the address of the list with filters; those without a value are left out."""
    texts = {name: text for name, value in filters.items() if value and (text := str(value))}
    return f"/dead-letters?{urlencode(texts)}" if texts else "/dead-letters"


def letter_address(event_id: str) -> str:
    """Return the address of one event's letters."""
    if not event_id or any(part in _UNSAFE for part in event_id.split("/")):
        return f"/dead-letter?{urlencode({'id': event_id})}"
    return f"/dead-letters/{quote(event_id, safe='')}"
