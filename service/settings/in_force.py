"""Tells which settings are given here, with which value and from where; never a secret."""

from collections.abc import Mapping
from typing import NamedTuple

from service.settings.environment import SettingsInvalid, collected, load
from service.settings.reference import rows
from service.settings.secret_files import MARK

HIDDEN = "(secret, not shown)"
MAX_SHOWN = 200
"""Characters of a value."""


class Given(NamedTuple):
    """A setting that is not left at its default."""

    name: str
    value: str
    source: str


def given(environ: Mapping[str, str]) -> list[Given]:
    """Return what an environment gives, in the order of the settings."""
    values, _ = collected(environ)
    found = []
    for row in rows():
        if row.name in values:
            as_file = environ.get(f"{row.name}_FILE", "").strip().strip(MARK)
            value = HIDDEN if row.kind == "secret" else values[row.name][:MAX_SHOWN]
            source = f"file {as_file}" if row.name not in environ else "environment"
            found.append(Given(row.name, value, source))
    return found


def mistakes(environ: Mapping[str, str]) -> list[str]:
    """Return what is wrong with an environment; missing settings of the portal are allowed."""
    try:
        load(environ, portal=False)
    except SettingsInvalid as invalid:
        return invalid.mistakes
    return []
