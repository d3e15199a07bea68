"""Asks the portal and turns its answers into rows."""

from collections.abc import Iterator, Mapping
from typing import Any

from service.bitrix.inspection import PortalInspection
from service.bitrix.reasons import PAUSES
from service.commands.check.rows import Row, fail, failed, ok, unknown, warn
from service.domain.outcomes import CallFailed, CallKind, Fault, PauseReason
from service.factories import external_ids
from service.settings.tree import Bitrix

MAX_CALLS = 14
"""Most calls of one check: a running service shares the request limit."""
BUILT_IN = {1: "leads", 2: "deals", 3: "contacts", 4: "companies", 31: "invoices"}
_TEXT = frozenset({"string", "mixed"})
_SUBJECT = "portal"


async def portal_rows(inspection: PortalInspection, bitrix: Bitrix, host: str) -> list[Row]:
    """Ask who we are, then about each entity type, until the portal stops answering."""
    there = f"{_SUBJECT} {host}"
    try:
        admin = await inspection.is_admin()
    except CallFailed as refused:
        return [_refused(refused.fault, there)]
    who = "an administrator" if admin else "an ordinary user"
    rows = [ok("portal.connection", there, f"answers; the credentials belong to {who}")]
    try:
        rows.append(await _scope(inspection))
        if failed(rows):
            return rows
        for number in _types(bitrix):
            row = await _type(inspection, bitrix, number, admin=admin)
            rows.append(row)  # one by one: a failure leaves what was asked before it
    except CallFailed as refused:
        return [*rows, _refused(refused.fault, there)]
    return [*rows, _import(admin=admin), _budget(inspection, bitrix)]


async def _scope(inspection: PortalInspection) -> Row:
    scopes = await inspection.scopes()
    if "crm" in scopes:
        return ok("portal.scope", _SUBJECT, "crm")
    return fail(
        "portal.scope",
        _SUBJECT,
        f"crm is missing; there is {', '.join(sorted(scopes)) or 'nothing'}",
        PAUSES[PauseReason.SCOPE],
    )


def _types(bitrix: Bitrix) -> Iterator[int]:
    """Yield the types to ask about: those of the settings first, then those built in."""
    yield from sorted(bitrix.external_id_fields)
    yield from (number for number in BUILT_IN if number not in bitrix.external_id_fields)


async def _type(inspection: PortalInspection, bitrix: Bitrix, number: int, *, admin: bool) -> Row:
    """Judge one type; what is wrong with a type that only may be used is a warning."""
    check, subject = "portal.type", _named(number)
    named = number in bitrix.external_id_fields
    if inspection.calls + (1 if admin else 2) > MAX_CALLS:
        return unknown(check, subject, f"not asked: a check makes at most {MAX_CALLS} calls")
    wrong = fail if named else warn
    try:
        fields = await inspection.fields(number)
        sees = admin or await inspection.sees_any(number)
    except CallFailed as refused:
        found, remedy = _type_refused(refused.fault, named=named)
        return wrong(check, subject, found, remedy)
    lacking, remedy = _external_id(bitrix, number, fields)
    if lacking:
        return wrong(check, subject, lacking, remedy)
    field = _field_of(bitrix, number)
    if sees:
        return ok(check, subject, f"readable, external id in {field}")
    return unknown(
        check,
        subject,
        f"external id in {field}; no item is visible, so the right to read is not proved",
        "if there are items: give the user the right to read all of them; until one is seen, "
        "doubtful events of this type end as `ambiguous`",
    )


def _type_refused(fault: Fault, *, named: bool) -> tuple[str, str]:
    """Return what a refusal means for a type; raises CallFailed when it means the portal."""
    if fault.kind is CallKind.UNSUPPORTED:
        remedy = (
            "look at the number in IMPORTER_BITRIX__EXTERNAL_ID_FIELDS"
            if named
            else "nothing, unless upstream sends this type: its events would fail as `unsupported`"
        )
        return "the portal does not have it", remedy
    if fault.kind is CallKind.SUSPECT:
        return (
            f"may not be read ({fault.code})",
            "give the user the rights to read and to import these items, if upstream sends them",
        )
    if fault.answered and fault.kind is CallKind.AMBIGUOUS:
        return f"is refused ({fault.code})", "ask the portal's administrator what that means"
    raise CallFailed(fault)


def _external_id(
    bitrix: Bitrix, number: int, fields: Mapping[str, Mapping[str, Any]]
) -> tuple[str, str]:
    """Return what is wrong with the field that carries the event's identity, and the remedy."""
    name = _field_of(bitrix, number)
    wanted = [name, "originatorId"] if name == "originId" else [name]
    remedy = (
        f"make a text field in the portal and name it for {number} in "
        "IMPORTER_BITRIX__EXTERNAL_ID_FIELDS"
    )
    absent = [each for each in wanted if each not in fields]
    if absent:
        return f"has no field {' and '.join(absent)}: items would be doubled unnoticed", remedy
    described = fields[name]
    kind = str(described.get("type", "string"))
    if kind not in _TEXT:
        return f"{name} is of type {kind}, which does not keep an id as it is", remedy
    if described.get("isReadOnly") or described.get("isMultiple"):
        quality = "cannot be written" if described.get("isReadOnly") else "holds several values"
        return f"{name} {quality}: it cannot carry the event's id", remedy
    return "", ""


def _import(*, admin: bool) -> Row:
    check = "portal.import"
    if admin:
        return ok(check, _SUBJECT, "an administrator may import")
    return unknown(
        check,
        _SUBJECT,
        "cannot be checked without an import; the first import shows it",
        "see that the user has the CRM right `import` for every type that upstream sends",
    )


def _budget(inspection: PortalInspection, bitrix: Bitrix) -> Row:
    """Tell of the execution budget what reading can tell: the import has one of its own."""
    check, limit = "portal.budget", bitrix.operating_limit_seconds
    if inspection.operating is None:
        return ok(check, _SUBJECT, "the portal counts no execution seconds (self-hosted)")
    if limit == 0:
        return warn(
            check,
            _SUBJECT,
            "the portal counts execution seconds, and IMPORTER_BITRIX__OPERATING_LIMIT_SECONDS=0",
            "leave the setting at 420, so that imports are paced before the portal refuses them",
        )
    told = ", ".join(f"{name} {used:.1f}" for name, used in inspection.operating.items() if used)
    found = f"of {limit:g} s per method: {told or 'nothing'} used"
    return ok(check, _SUBJECT, f"{found}; the figure of the import comes with the first import")


def _refused(fault: Fault, there: str) -> Row:
    """Return the row of a portal that does not answer, or not us."""
    if fault.kind in {CallKind.THROTTLED, CallKind.OVER_BUDGET}:
        remedy = "try again in some minutes: the portal's limits are used up, perhaps by "
        "other programs"
        return unknown("portal.connection", there, f"busy ({fault.cause})", remedy)
    return fail("portal.connection", there, fault.cause, fault.remedy)


def _named(number: int) -> str:
    name = BUILT_IN.get(number)
    return f"type {number}, {name}" if name else f"type {number}"


def _field_of(bitrix: Bitrix, number: int) -> str:
    return external_ids(bitrix).field_of(number) or ""
