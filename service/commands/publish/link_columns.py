"""Reads columns of CSV such as `contactId->3`: their cells hold the ids of other events."""

import re
from dataclasses import dataclass

from service.commands.publish.documented import LISTS
from service.domain.links import MAX_ENTITY_TYPE
from service.factories import CannotStart

_ARROW = re.compile(r"\s*(?:->|→)\s*")
_BETWEEN_IDS = re.compile(r"[,;\n]")
MAX_DIGITS = 10
_EDGES = re.compile(r"\A[\s\u200b\u2060\ufeff]+|[\s\u200b\u2060\ufeff]+\Z")
"""What nobody sees at the ends of a name; it comes along when the name is copied."""


@dataclass(frozen=True, slots=True)
class LinkColumn:
    """A column that refers to items of a type, for a field."""

    field: str
    entity_type: int

    def add(self, links: dict[str, object], cell: str) -> str | None:
        """Add what a cell refers to; return what is wrong where the field has it already."""
        several = self.field in LISTS
        ids = [each.strip() for each in (_BETWEEN_IDS.split(cell) if several else [cell])]
        references = [{"entityTypeId": self.entity_type, "id": each} for each in ids if each]
        if several:
            known = links.setdefault(self.field, [])
            assert isinstance(known, list)  # noqa: S101 - a column of this name makes nothing else
            known += references
        elif self.field in links:
            return f"two columns set {self.field}: fill in only one of them"
        else:
            links[self.field] = references[0]
        return None


def plain(name: str) -> str:
    """Return a column's name as it is compared: without spaces around it and its arrow."""
    return "->".join(_ARROW.split(_EDGES.sub("", name)))


def link_column(name: str) -> LinkColumn | None:
    """Return what a column refers to; None for a field. Raises CannotStart for half a one."""
    field, arrow, number = name.partition("->")
    if not arrow:
        return None
    decimal = number.isascii() and number.isdigit() and len(number) <= MAX_DIGITS
    if not field or not decimal or not 1 <= int(number) <= MAX_ENTITY_TYPE:
        raise CannotStart(
            f"the column {name} is not a field: write the field before -> and the entity type "
            f"of its items after it, such as contactId->3"
        )
    return LinkColumn(field, int(number))
