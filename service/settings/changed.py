"""Tells which settings differ from their defaults; never a secret."""

from pydantic import SecretStr

from service.settings.environment import known_names
from service.settings.section import Section
from service.settings.tree import PREFIX, Settings

GIVEN = "(given)"
LONGEST = 200


def changed(settings: Settings) -> dict[str, str]:
    """Return the settings in force that are not the defaults, by name without prefix."""
    found = {}
    for name, path in known_names().items():
        owner: Section | Settings = settings
        for part in path[:-1]:
            owner = getattr(owner, part)
        value = getattr(owner, path[-1])
        field = type(owner).model_fields[path[-1]]
        default = field.get_default(call_default_factory=True, validated_data={})
        if value != default and not isinstance(value, Section):
            shown = GIVEN if isinstance(value, SecretStr) else str(value)[:LONGEST]
            found[name.removeprefix(PREFIX)] = shown
    return found
