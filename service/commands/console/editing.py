"""Shows an item's fields as texts that can be changed, and tells which were changed.

As with `--set`: a text that is JSON is that value, any other text is a string.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from service.commands.dlq.patching import Unpatchable, fields_of
from service.rabbit.letters import Letter

MAX_SHOWN = 20_000
"""Characters of a value that a page lets people change."""
MAX_ALL = 400_000
MAX_FIELDS = 500
NEW = 3
"""So many fields can be added at once."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an item.

    `text`: its value as people change it; `mark`: tells whether they did; `is_large`: too large to
    be changed on a page.
    """

    name: str
    text: str
    mark: str
    is_large: bool = False

    @property
    def lines(self) -> int:
        """How many lines a box for it has."""
        return min(12, max(1, self.text.count("\n") + 1, len(self.text) // 60 + 1))


def editable(letter: Letter) -> list[Field]:
    """Return an item's fields; none where it has none that could be set."""
    try:
        values = fields_of(letter)
    except Unpatchable:
        return []
    fields, left = [], MAX_ALL
    for name, value in list(values.items())[:MAX_FIELDS]:
        text = shown(value)
        is_large = len(text) > min(MAX_SHOWN, left)
        left -= 0 if is_large else len(text)
        kept = f"{text[:200]}…" if is_large else text
        fields.append(Field(name, kept, mark(text), is_large))
    return fields


def shown(value: bytes) -> str:
    """Return a JSON value as people change it: a plain string without its quotes."""
    text = value.decode("utf-8", "replace")
    if text.startswith('"'):
        plain = json.loads(text)
        if _is_plain(plain) and not _is_json(plain):
            return str(plain)
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def changes(form: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the fields that a form changes, each with its new text."""
    changed = []
    for at in range(MAX_FIELDS):
        name, text, old = (form.get(f"{part}{at}") for part in ("name", "value", "mark"))
        if name is None or text is None:
            continue
        plain = text.replace("\r\n", "\n")
        if mark(plain) != old:
            changed.append((name, plain))
    for at in range(NEW):
        name = form.get(f"new_name{at}", "").strip()
        if name:
            changed.append((name, form.get(f"new_value{at}", "").replace("\r\n", "\n")))
    return changed


def mark(text: str) -> str:
    """Return a digest that identifies a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _is_plain(text: str) -> bool:
    """Tell whether a browser sends a text back as it got it."""
    return bool(text) and all(each.isprintable() or each == "\n" for each in text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _escaped(sign: str) -> str:
    """Return a sign of a JSON text so that it can be seen; white space between values stays."""
    return sign if sign in "\n\t" else json.dumps(sign)[1:-1]
