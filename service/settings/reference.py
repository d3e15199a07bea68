"""Writes the list of settings for people: a table, Markdown, or lines for an environment file."""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from service.settings.environment import known_names
from service.settings.section import Section
from service.settings.tree import Settings

WIDTH = 100
"""Characters of a line, unless somebody knows how wide the reader's is."""
Style = Literal["table", "markdown", "env"]


class SettingRow(NamedTuple):
    """One setting as it is shown."""

    name: str
    kind: str
    default: str
    meaning: str


def rows() -> list[SettingRow]:
    """Return every setting, in the order of the tree."""
    return [_row(name, path) for name, path in known_names().items()]


def write(style: Style, width: int = WIDTH) -> str:
    """Return the list in one of the three styles; a table has the given width."""
    return _table(rows(), width) if style == "table" else _STYLES[style](rows())


def _row(name: str, path: tuple[str, ...]) -> SettingRow:
    field, derived = _field(path), _DERIVED.get(path)
    default = _default(field) if derived is None else str(derived(Settings()))
    return SettingRow(name, _kind(field.annotation), default, field.description or "")


def _field(path: tuple[str, ...]) -> FieldInfo:
    field = Settings.model_fields[path[0]]
    section = field.annotation
    if len(path) > 1 and isinstance(section, type) and issubclass(section, Section):
        return section.model_fields[path[1]]
    return field


def _kind(annotation: Any) -> str:  # noqa: ANN401 - whatever stands in an annotation
    if get_origin(annotation) is Literal:
        return " | ".join(str(choice) for choice in get_args(annotation))
    if get_origin(annotation) is dict:
        return "JSON"
    inner = [each for each in get_args(annotation) if each is not type(None)]
    if inner and not isinstance(annotation, type):
        return _kind(inner[0])
    if annotation is SecretStr:
        return "secret"
    names = {
        "bool": "true | false",
        "float": "number",
        "int": "integer",
        "Path": "path",
        "str": "text",
    }
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, name)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _table(listed: list[SettingRow], width: int) -> str:
    lines = []
    for row in listed:
        told = f"{row.kind}, default {row.default or '(none)'}: {row.meaning}"
        lines += [
            row.name,
            *textwrap.wrap(
                told,
                width,
                initial_indent="    ",
                subsequent_indent="    ",
                break_on_hyphens=False,
            ),
        ]
    return "\n".join(lines)


def _markdown(listed: list[SettingRow]) -> str:
    head = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    body = [
        f"| `{row.name}` | {_cell(row.kind)} | {_code(row.default)} | {_cell(row.meaning)} |"
        for row in listed
    ]
    return "\n".join([*head, *body])


def _env(listed: list[SettingRow]) -> str:
    return "\n\n".join(f"# {row.meaning}\n#{row.name}={row.default}" for row in listed)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else "-"


_DERIVED: Mapping[tuple[str, ...], Callable[[Settings], object]] = {
    ("rabbit", "memory_queue"): lambda settings: settings.rabbit.memory_name,
    ("rabbit", "parked_queue"): lambda settings: settings.rabbit.parked_name,
    ("batch", "prefetch"): lambda settings: settings.prefetch,
    ("console", "status_url"): lambda settings: settings.status_url,
}
"""What follows from other settings where it is not given; an empty value may mean another."""
_STYLES: Mapping[str, Callable[[list[SettingRow]], str]] = {
    "markdown": _markdown,
    "env": _env,
}
