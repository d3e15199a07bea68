"""Makes item events of the rows of a CSV: its header says which cell is which field."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from service.commands.publish.documented import (
    LISTS,
    MULTIFIELDS,
    fields_of,
    may_be_own,
    meant,
    type_name,
)
from service.commands.publish.link_columns import LinkColumn, link_column, plain
from service.domain.nearest import nearest
from service.factories import CannotStart

MAX_SHOWN = 10
_WORK = "WORK"
_VALUE_KINDS = frozenset({"WORK", "MOBILE", "HOME", "FAX", "PAGER", "MAILING", "OTHER"})
"""Kinds of phone numbers and e-mail addresses that every portal has."""
_APART = re.compile(r"[,;\s]+")
_BETWEEN_VALUES = re.compile(r"[,;\n]")
_DIGITS = re.compile(r"\d")
_MIN_DIGITS = 5
_SHORTENED = re.compile(r"\d[.,]\d+E\+\d+", re.IGNORECASE)
_ERROR = re.compile(
    r"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NULL!|NUM!|Н/Д|ССЫЛКА!|ЗНАЧ!|ИМЯ\?|ДЕЛ/0!|ЧИСЛО!)|#{4,}"  # noqa: RUF001 - Russian
)
_IS_ID = re.compile(r"id|key|code|number|nr|no|#|№|order|guid|uuid|номер|код", re.IGNORECASE)
_ENDS_AS_ID = re.compile(r".*([a-z]Id|ID|[ _-](?i:id|no|nr|number|key|code))")
"""Names of columns that identify a row, such as `order`, `orderId` and `order_no`."""


@dataclass(frozen=True, slots=True)
class Table:
    """What the command line says of a CSV: what its rows are, and which column is the id."""

    entity_type: int
    id_column: str | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """The names of the columns; an empty one has no name, and must have no values.

    `links`: those of them that refer to the items of other events.
    """

    names: Sequence[str]
    table: Table
    links: Mapping[str, LinkColumn] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Sequence[str], table: Table) -> "Header":
        """Read a header. Raises CannotStart where no items can be made of its rows."""
        names = [plain(name) for name in row]
        while names and not names[-1]:
            names.pop()
        counts = Counter(names)
        twice = sorted({name for name in counts if counts[name] > 1} - MULTIFIELDS - {""})
        if twice:
            raise CannotStart(
                f"the header of the CSV names {_some(twice)} more than once: rename or remove all "
                "but one; nothing was published"
            )
        if table.id_column is not None and table.id_column not in names:
            close = nearest(table.id_column, names)
            there = f"it has: {_some([*filter(None, names)])}"
            hint = f"did you mean {close}?" if close else f"{there}{_is_title(names)}"
            raise CannotStart(f"the CSV has no column {table.id_column}; {hint}")
        links = {name: found for name in names if (found := link_column(name)) is not None}
        header = cls(names, table, links)
        header.refuse_strangers()
        return header

    @property
    def columns(self) -> list[str]:
        """The names of the columns that are fields."""
        return [name for name in self.names if name and name != self.table.id_column]

    def refuse_strangers(self) -> None:
        """Raise CannotStart where no column at all can be a field of the entity type."""
        unknown = self._unknown()
        if self.columns and len(unknown) == len(self.columns):
            raise CannotStart(
                f"no column of the CSV is a field of a {type_name(self.table.entity_type)}: "
                f"{self._suggestions(unknown)}; name the columns as crm.item.fields names the "
                f"fields{_is_title(self.names)}; nothing was published"
            )

    def notes(self) -> Iterator[str]:
        """Yield what is likely not meant so, before anything is sent."""
        entity_type = self.table.entity_type
        unknown = self._unknown()
        if unknown:
            yield (
                f"the portal ignores columns that are no fields of a {type_name(entity_type)}: "
                f"{self._suggestions(unknown)}"
            )
        kinds = sorted({name for name in self.columns if _is_of_unknown_kind(name)})
        if kinds:
            yield (
                f"the portal may not know the kind of {_some(kinds)}: the usual ones are "
                f"{', '.join(sorted(_VALUE_KINDS))}"
            )
        if self.table.id_column is None:
            likely = next(filter(self._may_be_id, self.columns), None)
            is_it = (
                f'if "{likely}" is the column of ids:' if likely else "give every row an id, and"
            )
            yield (
                "no --id-column: rows have no ids, so equal rows become one item, and a "
                f"corrected row becomes a second item; {is_it} add --id-column "
                f"{shlex.quote(likely or 'NAME')}"
            )

    def _may_be_id(self, name: str) -> bool:
        if name in self.links:
            return False
        looks_so = _IS_ID.fullmatch(name) or _ENDS_AS_ID.fullmatch(name)
        known = fields_of(self.table.entity_type) or {}
        return looks_so is not None and name not in known and not may_be_own(name)

    def is_repeated_by(self, cells: Sequence[str]) -> bool:
        """Tell whether a row is a header again: of its cells two, and half, are its names."""
        given = [plain(cell) for cell in cells if cell.strip()]
        names = frozenset(self.names)
        same = sum(cell in names for cell in given)
        return given == [*filter(None, self.names)] or (same > 1 and same * 2 >= len(given))

    def event(self, cells: Sequence[str]) -> bytes | str:
        """Return the item event of a row, or why it is none; empty cells are left out."""
        misplaced = self._misplaced(cells)
        if misplaced is not None:
            return misplaced
        values = [(name, cell) for name, cell in zip(self.names, cells, strict=False) if cell]
        event: dict[str, object] = {"entityTypeId": self.table.entity_type}
        fields: dict[str, object] = {}
        links: dict[str, object] = {}
        for name, cell in values:
            if name == self.table.id_column:
                event |= {"id": cell.strip()} if cell.strip() else {}
            elif name in self.links:
                wrong = self.links[name].add(links, cell) if cell.strip() else None
                if wrong is not None:
                    return wrong
            else:
                _set(fields, name, cell)
        if self.table.id_column is not None and "id" not in event:
            return f"it has no id in column {self.table.id_column}"
        return msgspec.json.encode(
            {**event, "fields": fields, **({"links": links} if links else {})}
        )

    def warnings(self, cells: Sequence[str]) -> tuple[str, ...]:
        """Return what a spreadsheet is likely to have done to the values of a row."""
        found: list[str] = []
        for name, cell in zip(self.names, cells, strict=False):
            if _ERROR.fullmatch(cell):
                found.append(
                    f"{name} is an error of the spreadsheet ({cell}): correct the formula"
                )
            elif _SHORTENED.fullmatch(cell) and self._may_not_be_shortened(name):
                found.append(
                    f"the spreadsheet has shortened the number in {name} ({cell}): format the "
                    "column as text, and save it again"
                )
        return tuple(found)

    def _may_not_be_shortened(self, name: str) -> bool:
        return name == self.table.id_column or name in self.links or _is_multi(name)

    def _misplaced(self, cells: Sequence[str]) -> str | None:
        """Return what is wrong with a row that has values where the header has no name."""
        for position, cell in enumerate(cells):
            if not cell.strip() or (position < len(self.names) and self.names[position]):
                continue
            if position < len(self.names):
                return f"column {position + 1} of the CSV has no name in the header"
            return (
                f"it has {len(cells)} cells, the header has {len(self.names)}: put quotes "
                "around a cell that contains a delimiter"
            )
        return None

    def _unknown(self) -> list[str]:
        known = fields_of(self.table.entity_type)
        if known is None:
            return []
        return [
            name
            for name in self.columns
            if not may_be_own(name) and self._field_of(name) not in known
        ]

    def _field_of(self, name: str) -> str:
        if name in self.links:
            return self.links[name].field
        return _base(name) if _is_multi(name) else name

    def _suggestions(self, unknown: Sequence[str]) -> str:
        # Searching similar names is slow, and only the first names are shown.
        entity_type = self.table.entity_type
        found = [(name, meant(self._field_of(name), entity_type)) for name in unknown[:MAX_SHOWN]]
        told = [f'"{name}" ({near}?)' if near else f'"{name}"' for name, near in found]
        return _some([*told, *unknown[MAX_SHOWN:]])


def _is_of_unknown_kind(name: str) -> bool:
    base, _, kind = name.partition(".")
    return base in {"PHONE", "EMAIL"} and kind.strip().upper() not in _VALUE_KINDS | {""}


def _base(name: str) -> str:
    return name.partition(".")[0]


def _is_multi(name: str) -> bool:
    return _base(name) in MULTIFIELDS


def _set(fields: dict[str, object], name: str, cell: str) -> None:
    """Set a field to what a cell holds; a list without values is left out."""
    if _is_multi(name):
        _add_values(fields, name, cell)
    elif name not in LISTS:
        fields[name] = cell
    elif several := [each for each in _APART.split(cell) if each]:
        fields[name] = several


def _add_values(fields: dict[str, object], column: str, cell: str) -> None:
    """Add the phones or addresses of a cell as the portal takes them; several may be in one."""
    if not cell.strip():
        return
    name, _, kind = column.partition(".")
    values = fields.setdefault(name, [])
    assert isinstance(values, list)  # noqa: S101 - a column of this name makes nothing else
    for value in _several(name, cell):
        values.append({"VALUE": value, "VALUE_TYPE": kind.strip().upper() or _WORK})


def _several(name: str, cell: str) -> Sequence[str]:
    """Part a cell where every part is a phone or an e-mail address by itself."""
    parts = [part.strip() for part in _BETWEEN_VALUES.split(cell) if part.strip()]
    return parts if parts and all(_is_one(name, part) for part in parts) else [cell.strip()]


def _is_one(name: str, text: str) -> bool:
    """Tell whether a text is a phone number or an e-mail address."""
    if name == "PHONE":
        return len(_DIGITS.findall(text)) >= _MIN_DIGITS
    return name == "EMAIL" and "@" in text


def _is_title(names: Sequence[str]) -> str:
    """Return what to do where the first row looks like a title above the table."""
    alone = sum(map(bool, names)) == 1
    return "; is this a title above the table? Remove it" if alone else ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(names[:MAX_SHOWN]) + more
