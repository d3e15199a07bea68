"""Reads parameters as the portal's binder does, before any method runs."""

from collections.abc import Mapping
from typing import Any

from tests.sandbox.catalogue import TITLES, Catalogue
from tests.sandbox.reply import Refusal, refusal


def missing(name: str) -> Refusal:
    """Build the refusal of a call without a parameter."""
    return refusal(400, "100", f"Could not find value for parameter {{{name}}}")


def mismatch(name: str, value: object, kind: str) -> Refusal:
    """Build the refusal of a parameter of the wrong type."""
    shown = value if isinstance(value, str | int | float) else type(value).__name__
    text = f"Invalid value {{{shown}}} to match with parameter {{{name}}}. Should be value of type"
    return refusal(400, "100", f"{text} {kind}.")


def integer(params: Mapping[str, Any], name: str) -> int:
    """Read a parameter that must be a number, perhaps written as a string."""
    if name not in params:
        raise missing(name)
    value = params[name]
    if isinstance(value, bool) or not str(value).removeprefix("-").isdecimal():
        raise mismatch(name, value, "int")
    return int(value)


def known_type(params: Mapping[str, Any], catalogue: Catalogue) -> int:
    """Read the entity type and refuse one that the portal does not have."""
    entity_type = integer(params, "entityTypeId")
    if entity_type not in catalogue:
        kind = "Entity type" if entity_type in TITLES else "Smart process"
        raise refusal(400, "NOT_FOUND", f"{kind} not found")
    return entity_type


def original_names(params: Mapping[str, Any]) -> bool:
    """Read `useOriginalUfNames`, which the portal takes as a string only."""
    value = params.get("useOriginalUfNames", "N")
    if not isinstance(value, str):
        raise mismatch("useOriginalUfNames", value, "string")
    return value == "Y"
