"""Judges what an item says against what the portal knows of its fields."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as member
from typing import Literal

from service.domain.external_id import original_name
from service.domain.files import damaged
from service.domain.multifields import SAMPLES, lost
from service.domain.nearest import nearest
from service.domain.values import IDS, JUDGED, TEXTS, Flaw, is_usual, judge

Policy = Literal["off", "warn", "reject"]
"""The setting `VALIDATION`: check nothing, warn of what would be lost, or reject the item."""
LONGEST = 255
MAX_COMPLAINTS = 20
"""So many are said of one item; one more is found, to know that there are more."""
AND_MORE = f"more fields are ignored or changed: only {MAX_COMPLAINTS} are said"
MAX_NAME = 100
SIZED = frozenset({"title", "originId", "originatorId", "originVersion", "xmlId"})
SET_BY_ADMINISTRATORS = frozenset(
    {"createdTime", "updatedTime", "movedTime", "createdBy", "updatedBy", "movedBy"}
)
"""Fields that an import takes from administrators, and refuses with an error from others."""
_PARENT = re.compile(r"parentId\d+")
_SEVERAL = re.compile(r"[,;|\s]\s*\S")
_SINGLE = frozenset({*TEXTS, *IDS, *JUDGED})
"""Kinds whose single value is never a list; for others, such as files, it may be one."""
_SPECIAL = frozenset({*SAMPLES, "fm"})
_NO_MULTIFIELDS = "put it into a lead, contact or company, and link that item"


@dataclass(frozen=True, slots=True)
class Field:
    """A field as the portal describes it; `choices` are the ids of an enumeration, if told.

    `required`: the portal says that an item needs it.
    """

    kind: str
    multiple: bool = False
    choices: frozenset[str] | None = None
    read_only: bool = False
    required: bool = False
    any_text: bool = member(init=False, repr=False, compare=False)
    """It keeps any one text, so that most values need no further look."""

    def __post_init__(self) -> None:
        """See what it keeps."""
        single = not (self.multiple or self.read_only or self.kind == "file")
        any_text = single and (self.kind in TEXTS or self.kind not in JUDGED)
        object.__setattr__(self, "any_text", any_text)


@dataclass(frozen=True, slots=True)
class Complaint:
    """One field whose value would be lost or changed, what the portal keeps, and the remedy."""

    flaw: Flaw
    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field} {self.text}"


def complaints(
    fields: Mapping[str, object], known: Mapping[str, Field], *, original_names: bool = False
) -> list[Complaint]:
    """Return what of an item's fields the portal would drop or change in silence.

    Numbers are best given as `int` and `Decimal`: a float has lost its digits. Empty values are
    let through: they say "nothing", and get it. `original_names`: own fields are known as
    `UF_CRM_…`; the portal reads the other spelling, too.
    """
    found: list[Complaint] = []
    for name, value in fields.items():
        field = known.get(name)
        if field is not None and field.any_text and _is_plain_text(name, value):
            continue
        if field is None and original_names and name.startswith("ufCrm"):
            field = known.get(original_name(name))
            if field is None:
                continue
        if _is_plain(name, value, field):
            continue
        for flaw, text in _of(name, value, field, known):
            found.append(Complaint(flaw, name[:MAX_NAME], text))
            if len(found) > MAX_COMPLAINTS:
                return found
    return found


def sentences(found: Sequence[Complaint]) -> tuple[str, ...]:
    """Return what is said of complaints: most of them, and that there are more."""
    return (*map(str, found[:MAX_COMPLAINTS]), *[AND_MORE] * (len(found) > MAX_COMPLAINTS))


def has_multifields(known: Mapping[str, Field]) -> bool:
    """Tell whether items of a type have PHONE, EMAIL, WEB and IM; the portal calls them `fm`."""
    return "fm" in known or not SAMPLES.keys().isdisjoint(known)


def _is_plain(name: str, value: object, field: Field | None) -> bool:
    """Tell, quickly, whether this is the usual case: what the portal keeps as it is."""
    if field is None or field.read_only or field.kind == "file" or name in _SPECIAL:
        return False
    if field.multiple:
        return type(value) is list and all(is_usual(field.kind, each) for each in value)
    if type(value) is str and len(value) > LONGEST and name in SIZED:
        return False
    return is_usual(field.kind, value)


def _is_plain_text(name: str, value: object) -> bool:
    """Tell, more quickly still, whether this is a text of a usual length, as most values are."""
    return type(value) is str and len(value) <= LONGEST and name not in _SPECIAL


def _of(
    name: str, value: object, field: Field | None, known: Mapping[str, Field]
) -> Iterator[tuple[Flaw, str]]:
    if name.lower() == "fm":
        yield Flaw.UNKNOWN, "is ignored by imports: send PHONE, EMAIL, WEB and IM"
    elif name in SAMPLES:
        if not has_multifields(known):
            yield Flaw.MULTIFIELD, f"is not kept for this type: {_NO_MULTIFIELDS}"
        elif (text := lost(name, value)) is not None:
            yield Flaw.MULTIFIELD, text
    elif field is None and _PARENT.fullmatch(name):
        yield from _values(name, value, Field("crm_entity"))
    elif field is None:
        yield Flaw.UNKNOWN, _unknown(name, known)
    elif field.read_only and name not in SET_BY_ADMINISTRATORS:
        yield Flaw.READ_ONLY, _READ_ONLY
    else:
        yield from _values(name, value, field)


_READ_ONLY = (
    "is set by the portal itself, which ignores the sent value: leave it out (the importer "
    "only creates items; crm.item.update changes them)"
)


def _unknown(name: str, known: Mapping[str, Field]) -> str:
    """Return the remedy for a name that the portal does not know."""
    if name == "ID":
        return _READ_ONLY
    ignored = "is unknown to the portal, which ignores it"
    like = nearest(name, known.keys() | SAMPLES.keys())
    if like is None:
        return f"{ignored}: look at its spelling, or add it to the portal"
    if like not in SAMPLES:
        return f"{ignored}: did you mean {like}?"
    if not has_multifields(known):
        return f"{ignored}, as it would {like}: {_NO_MULTIFIELDS}"
    return f"{ignored}: did you mean {like}? Send {SAMPLES[like]}"


def _values(name: str, value: object, field: Field) -> Iterator[tuple[Flaw, str]]:
    """Yield what is wrong with the value, or with each of several."""
    if name in SIZED and isinstance(value, str) and len(value) > LONGEST:
        yield (
            Flaw.LENGTH,
            f"is longer than {LONGEST} characters, and the portal cuts it: send less",
        )
    if value is None or value == "":
        return
    shape = _shape(name, value, field)
    if field.kind == "file" and (text := damaged(value, multiple=field.multiple)) is not None:
        yield Flaw.FILE, text
    if shape is not None:
        yield Flaw.LIST, shape
    elif isinstance(value, dict):
        if field.multiple:
            yield from _each(field, value.values())
    elif field.multiple or not isinstance(value, list):
        yield from _each(field, value if isinstance(value, list) else [value])


def _each(field: Field, several: Iterable[object]) -> Iterator[tuple[Flaw, str]]:
    """Yield each flaw of several values once."""
    yield from dict.fromkeys(flaw for one in several for flaw in _one(field, one))


def _one(field: Field, value: object) -> Iterator[tuple[Flaw, str]]:
    """Yield what is wrong with one of several values; of a list PHP makes the number 1."""
    if not isinstance(value, list | dict):
        yield from judge(field.kind, value, field.choices)
    elif value and field.kind in _SINGLE:
        each = f"each is one {field.kind} to the portal: send a plain list, such as [5, 6]"
        yield Flaw.LIST, f"has a list or an object among its values, but {each}"


def _shape(name: str, value: object, field: Field) -> str | None:
    """Return what is wrong with giving one value or several."""
    several = isinstance(value, list | dict)
    if several and value and not field.multiple and field.kind in _SINGLE:
        return f"is a list or an object, but the portal takes one {field.kind}: send one value"
    if not field.multiple or several:
        return None
    if name.startswith(("ufCrm", "UF_")):
        return "takes several values: send a list, even for one"
    if field.kind in IDS and isinstance(value, str) and _SEVERAL.search(value.strip()):
        return "takes several ids, the portal keeps the first: send a list, such as [5, 6]"
    return None
