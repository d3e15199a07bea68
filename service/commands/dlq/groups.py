"""Counts dead letters by what they have in common."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.commands import terminal
from service.commands.dlq.selection import Selectable
from service.commands.moments import age, written

_TYPES_SHOWN = 4
OTHER = "other"


@dataclass(slots=True)
class Group:
    """Letters of one kind, code and fate; `fate` is what a command would do with them."""

    kind: str
    code: str
    fate: str
    count: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    sample: str = ""
    types: dict[int | None, int] = field(default_factory=dict)

    def add(self, letter: Selectable) -> None:
        """Count a letter in; the oldest one is the sample."""
        moment = letter.failed_at
        self.count += 1
        self.types[letter.entity_type_id] = self.types.get(letter.entity_type_id, 0) + 1
        if not self.sample or (moment and (self.oldest is None or moment < self.oldest)):
            self.sample = letter.event_id
        if moment is not None:
            self.oldest = min(moment, self.oldest or moment)
            self.newest = max(moment, self.newest or moment)

    def as_json(self) -> dict[str, Any]:
        """Return the group as `--json` shows it; with its fate, where a command has one."""
        return {
            **({"outcome": self.fate} if self.fate else {}),
            "kind": self.kind,
            "code": self.code,
            "count": self.count,
            "oldest": self.oldest and written(self.oldest),
            "newest": self.newest and written(self.newest),
            "sampleId": self.sample,
            "entityTypes": {_type(each): count for each, count in self.types.items()},
        }


class Groups:
    """All the groups there are, the largest first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._groups: dict[tuple[str, str, str], Group] = {}

    def add(self, letter: Selectable, fate: str = "", most: int | None = None) -> None:
        """Count a letter in; beyond `most` groups, those of other codes make one together."""
        key = (letter.kind, letter.code, fate)
        if most is not None and key not in self._groups and len(self._groups) >= most:
            key = (letter.kind, OTHER, fate)
        group = self._groups.setdefault(key, Group(*key))
        group.add(letter)

    def __iter__(self) -> Iterator[Group]:
        """Iterate, the largest first."""
        return iter(sorted(self._groups.values(), key=lambda group: -group.count))

    @property
    def count(self) -> int:
        """How many letters were counted."""
        return sum(group.count for group in self._groups.values())

    def show(self, *more: str) -> None:
        """Show them as a table; `more` names the column of the fates."""
        columns = ["kind", "code", "letters", "of type", "oldest", "newest", "sample id", *more]
        rows: list[Sequence[terminal.Cell]] = [
            [
                group.kind,
                group.code or "-",
                group.count,
                _types(group.types),
                age(group.oldest),
                age(group.newest),
                group.sample,
                *[group.fate for _ in more],
            ]
            for group in self
        ]
        terminal.table(columns, rows)


def _types(types: dict[int | None, int]) -> str:
    """Name the most frequent types."""
    names = [_type(each) for each in sorted(types, key=lambda each: -types[each])]
    more = len(names) - _TYPES_SHOWN
    return " ".join(names[:_TYPES_SHOWN]) + (f" +{more}" if more > 0 else "")


def _type(entity_type_id: int | None) -> str:
    return "unknown" if entity_type_id is None else str(entity_type_id)
