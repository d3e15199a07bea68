"""Reads the environment: the only place that does."""

import os
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from service.domain.nearest import nearest
from service.settings.mistakes import in_words
from service.settings.rules import broken_rules, missing_portal
from service.settings.secret_files import MARK, Unreadable, read_value
from service.settings.section import Section
from service.settings.tree import PREFIX, Settings

_INJECTED = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$"
)
_INJECTED_ADDRESS = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)
"""Kubernetes sets a bare `…_PORT` to such an address. A number there is a misspelt setting."""
MAY_BE_EMPTY = frozenset({PREFIX + "RABBIT__MEMORY_QUEUE", PREFIX + "RABBIT__PARKED_QUEUE"})
"""Without a name the memory is off."""


class SettingsInvalid(Exception):  # noqa: N818 - reads as what it says
    """The environment cannot be used; `mistakes` names every one of them, without values."""

    def __init__(self, mistakes: list[str]) -> None:
        """Keep the mistakes, a line each."""
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def load(environ: Mapping[str, str] = os.environ, *, portal: bool = True) -> Settings:
    """Read the settings from an environment; `portal` tells whether the portal's are needed.

    Raises SettingsInvalid, which names every mistake at once.
    """
    values, misnamed = collected(environ)
    mistakes, wrong = [text for _, text in misnamed], {name for name, _ in misnamed}
    try:
        settings = Settings(**_nested(values))
    except ValidationError as invalid:
        found = dict(_described(invalid))
        wrong |= set(found)
        mistakes += [f"{name} {text}" for name, text in found.items()]
        settings = _without(values, wrong)
    mistakes += [text for names, text in broken_rules(settings) if not names & wrong]
    if portal:
        mistakes += missing_portal({_setting(name) for name in environ if name.startswith(PREFIX)})
    if mistakes:
        raise SettingsInvalid(mistakes)
    return settings


def injected(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the names that Kubernetes injects for a Service; they are ignored."""
    known = known_names()
    return [
        name
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known and _is_injected(name, environ[name])
    ]


def _is_injected(name: str, value: str) -> bool:
    if _INJECTED.search(name):
        return True
    return name.endswith("_PORT") and _INJECTED_ADDRESS.match(value) is not None


@cache
def known_names() -> dict[str, tuple[str, ...]]:
    """Return the environment name of every setting with its path in the tree."""
    names: dict[str, tuple[str, ...]] = {}
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, Section):
            for name in model.model_fields:
                names[f"{PREFIX}{section}__{name}".upper()] = (section, name)
        else:
            names[f"{PREFIX}{section}".upper()] = (section,)
    return names


def collected(environ: Mapping[str, str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the values by setting name, files read, and what is wrong with the other settings."""
    known = known_names()
    values: dict[str, str] = {}
    mistakes: list[tuple[str, str]] = []
    for name in sorted(set(environ) - set(injected(environ))):
        setting = _setting(name)
        if not name.startswith(PREFIX):
            continue
        if setting not in known:
            mistakes.append((name, f"{name} is not a setting: {_meant(name, known)}"))
        elif setting != name and setting in environ:
            both = f"{setting} and {name} are both given: keep one of them"
            mistakes.append((setting, both))
        elif setting == name:
            values[setting] = environ[name].strip().strip(MARK).strip()
        else:
            try:
                values[setting] = read_value(Path(environ[name].strip()))
            except Unreadable as reason:
                told = f"{name} names a file that cannot be read: {reason}"
                mistakes.append((setting, told))
    empty = [name for name, value in values.items() if not value and name not in MAY_BE_EMPTY]
    mistakes += [(name, f"{name} is empty: give it a value or remove it") for name in empty]
    return {name: value for name, value in values.items() if name not in empty}, mistakes


def _meant(name: str, known: Collection[str]) -> str:
    """Return what to do about an unknown name."""
    every = sorted(each.removeprefix(PREFIX) for each in known)
    # People leave units out, and remember the last part of a name best.
    called = {each.removesuffix("_SECONDS").removesuffix("_BYTES"): each for each in every}
    called |= {each: each for each in [*every, *(f"{each}_FILE" for each in every)]}
    bare = name.removeprefix(PREFIX)
    last = bare.rpartition("__")[2]
    alike = nearest(bare, called) or next(
        (each for each in every if each.endswith(f"__{last}")), ""
    )
    return f"did you mean {PREFIX}{called[alike]}?" if alike else "see `crm-importer settings`"


def _setting(name: str) -> str:
    """Return the setting that a name is about: itself, or what it names a file for."""
    return name if name in known_names() else name.removesuffix("_FILE")


def _nested(values: Mapping[str, str]) -> dict[str, Any]:
    known = known_names()
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *sections, leaf = known[name]
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[leaf] = value
    return tree


def _without(values: Mapping[str, str], wrong: set[str]) -> Settings:
    """Return settings in which the wrong values are replaced by their defaults."""
    return Settings(**_nested({name: text for name, text in values.items() if name not in wrong}))


def _described(invalid: ValidationError) -> list[tuple[str, str]]:
    """Return each mistake under its setting's name; the value itself is never shown."""
    paths = {path: name for name, path in known_names().items()}
    described = []
    for error in invalid.errors(include_input=False, include_url=False):
        location = cast("tuple[str, ...]", error["loc"])
        name = paths.get(location[:2]) or paths[location[:1]]
        described.append((name, f"is wrong: {in_words(error)}"))
    return described


def refreshed(setting: str, text: str) -> Settings:
    """Return settings with one value that it gets while the process runs, the rest by default.

    Raises SettingsInvalid if the value cannot be used.
    """
    values = {setting: text}
    try:
        return Settings(**_nested(values))
    except ValidationError as invalid:
        found = dict(_described(invalid))
        raise SettingsInvalid([f"{name} {told}" for name, told in found.items()]) from None
