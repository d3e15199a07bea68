"""Finds items as `crm.item.list` does."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.sandbox.catalogue import Catalogue, upper_name
from tests.sandbox.ledger import ItemRecord, Ledger, folded
from tests.sandbox.reply import Refusal, refusal
from tests.sandbox.settings import Settings

PAGE = 50
NO_COUNT = -1
SOME_OF = frozenset({"", "=", "@"})
NONE_OF = frozenset({"!", "!=", "!@"})
ORDERED: Mapping[str, Callable[[float], bool]] = {
    ">": lambda sign: sign > 0,
    ">=": lambda sign: sign >= 0,
    "<": lambda sign: sign < 0,
    "<=": lambda sign: sign <= 0,
}
_KEY = re.compile(r"(?P<sign>!=|!@|>=|<=|[=@!><]|)(?P<name>\w+)")


@dataclass(frozen=True, slots=True)
class Condition:
    """Compares one field with one or several values."""

    name: str
    sign: str
    values: list[object]

    def holds(self, value: object, *, ignore_case: bool) -> bool:
        """Tell whether a stored value satisfies the condition."""
        if self.sign in ORDERED:
            return ORDERED[self.sign](_order(value, self.values[0]))
        read: Callable[[str], str] = folded if ignore_case else str
        stored = value if isinstance(value, list) else [value]
        texts = {read(_text(one)) for one in stored}
        found = any(read(_text(wanted)) in texts for wanted in self.values)
        return found if self.sign in SOME_OF else not found


@dataclass(frozen=True, slots=True)
class Query:
    """Holds the checked parameters of one listing."""

    entity_type: int
    select: list[str]
    conditions: list[Condition]
    descending: bool
    start: int
    original: bool

    @classmethod
    def bind(
        cls, params: Mapping[str, Any], entity_type: int, catalogue: Catalogue, *, original: bool
    ) -> "Query":
        """Read the parameters, or refuse them with the portal's words."""
        filters = params.get("filter") or {}
        conditions = [
            _condition(key, value, entity_type, catalogue, original=original)
            for key, value in (filters.items() if isinstance(filters, dict) else ())
        ]
        return cls(
            entity_type=entity_type,
            select=list(params.get("select") or ["*"]),
            conditions=conditions,
            descending=_descending(params.get("order") or {}),
            start=int(params.get("start") or 0),
            original=original,
        )


def listed(
    query: Query, ledger: Ledger, settings: Settings, *, visible_before: float | None
) -> dict[str, Any]:
    """Return one page; without read permission everything is simply absent."""
    found: list[ItemRecord] = []
    if visible_before is not None:
        found = [
            item
            for item in _candidates(query, ledger)
            if item.at <= visible_before
            and _may_be_read(item, settings)
            and _matches(item, query, ignore=settings.ignore_case)
        ]
    if query.descending:
        found.reverse()
    first = max(query.start, 0)
    rows = [_row(item, query, settings) for item in found[first : first + PAGE]]
    answer: dict[str, Any] = {"result": {"items": rows}}
    if query.start == NO_COUNT:
        return answer
    if first + PAGE < len(found):
        answer["next"] = first + PAGE
    return answer | {"total": len(found)}


def _condition(
    key: str, value: object, entity_type: int, catalogue: Catalogue, *, original: bool
) -> Condition:
    parts = _KEY.fullmatch(key)
    name = parts["name"] if parts else key
    found = catalogue.field(entity_type, name, original=original) if parts else None
    if parts is None or found is None:
        raise _not_allowed(f"filter: field '{name}' is not allowed in filter")
    sign = parts["sign"]
    if isinstance(value, dict) or (isinstance(value, list) and sign in ORDERED):
        raise _not_allowed(f"filter: field '{name}' has invalid value")
    return Condition(found.name, sign, value if isinstance(value, list) else [value])


def _descending(order: Mapping[str, str]) -> bool:
    for name, direction in order.items():
        if name != "id":
            raise _not_allowed(f"order: field '{name}' is not allowed in order")
        if direction.upper() not in {"ASC", "DESC"}:
            text = "order: allowed sort directions are `ASC, DESC`. But got"
            raise _not_allowed(f"{text} '{direction}' for field '{name}'")
    return order.get("id", "ASC").upper() == "DESC"


def _not_allowed(what: str) -> Refusal:
    return refusal(400, "INVALID_ARG_VALUE", f"Invalid {what}")


def _candidates(query: Query, ledger: Ledger) -> Iterator[ItemRecord]:
    """Yield the items that may match, by an index where a condition allows one."""
    items = ledger.of_type(query.entity_type)
    for condition in query.conditions:
        if condition.sign not in SOME_OF:
            continue
        indexed = ledger.with_values(query.entity_type, condition.name, condition.values)
        if indexed is not None:
            return indexed
    return iter(items.values())


def _matches(item: ItemRecord, query: Query, *, ignore: bool) -> bool:
    return all(
        condition.holds(
            item.id if condition.name == "id" else item.fields.get(condition.name),
            ignore_case=ignore,
        )
        for condition in query.conditions
    )


def _may_be_read(item: ItemRecord, settings: Settings) -> bool:
    """Tell whether the user's rights cover an item."""
    has = given(settings) | item.fields
    people, pipelines = settings.read_responsible, settings.read_pipelines
    return (
        (people is None or int(str(has["assignedById"])) in people)
        and (pipelines is None or int(str(has["categoryId"])) in pipelines)
        and (not settings.read_only_open or has["opened"] == "Y")
    )


def given(settings: Settings) -> dict[str, object]:
    """Return what the portal gives to an item whose event leaves it to the portal."""
    return {"assignedById": int(settings.user), "categoryId": 0, "opened": "Y"}


def _row(item: ItemRecord, query: Query, settings: Settings) -> object:
    everything = {"id": item.id, **_stamps(item), **given(settings), **item.fields}
    if "*" in query.select:
        if not query.original:
            return everything
        return {
            upper_name(name) if name.startswith("ufCrm") else name: value
            for name, value in everything.items()
        }
    if query.original:
        return []
    return {name: everything.get(name) for name in query.select}


def _stamps(item: ItemRecord) -> dict[str, object]:
    at = datetime.fromtimestamp(item.wall, UTC).isoformat(timespec="seconds")
    return {"createdTime": at, "updatedTime": at, "movedTime": at, "createdBy": 1, "updatedBy": 1}


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _order(value: object, other: object) -> float:
    """Return a negative, zero or positive number, as numbers where both are."""
    try:
        return float(_text(value)) - float(_text(other))
    except ValueError:
        return (_text(value) > _text(other)) - (_text(value) < _text(other))
