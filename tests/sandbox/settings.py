"""Lists everything about the portal that a test may choose, before or during a run."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

State = Literal[
    "ok",
    "credentials",
    "scope",
    "plan",
    "overload",
    "deleted",
    "auth_server",
    "html503",
    "import_html503",
]
STATES = get_args(State)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Describes one portal; limits are off unless a test turns them on."""

    # identity
    user: str = "1"
    secret: str = "sandbox-secret"
    admin: bool = True
    scopes: Sequence[str] = ("crm", "user_brief")
    state: State = "ok"
    state_status: int | None = None

    # catalogue: entity types, their fields and who may do what
    types: Sequence[int] = (1, 2, 3, 4, 7, 31, 128, 1032)
    closed_types: Sequence[int] = ()
    required: Mapping[int, Sequence[str]] = field(default_factory=dict)
    allowed: Mapping[int, Mapping[str, Sequence[object]]] = field(default_factory=dict)
    user_fields: Mapping[int, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    open_user_fields: bool = True
    external_fields: Mapping[int, str] = field(default_factory=dict)
    import_denied: Sequence[int] = ()
    read_denied: Sequence[int] = ()
    fields_need_read: bool = True
    # rights to read that depend on the item: whose, in which pipeline, whether open to everyone
    read_responsible: Sequence[int] | None = None
    read_pipelines: Sequence[int] | None = None
    read_only_open: bool = False

    # a number of an item that is not there, or may not be read: kept as it came, or refused
    references: Literal["kept", "checked"] = "kept"

    # what a column keeps of a text: utf8mb3 ends it before a character of four bytes
    columns: Literal["utf8mb4", "utf8mb3"] = "utf8mb4"
    trims: bool = False

    # what its web server takes: more is refused, or comes to PHP as nothing (post_max_size)
    most_body_bytes: int | None = None
    too_large: Literal["413", "dropped"] = "413"

    # limits, in simulated seconds
    rate: float | None = None
    burst: float = 50.0
    jitter_seconds: float = 0.0
    counters: bool = True
    operating_limit: float | None = None
    operating_ban_seconds: float | None = None

    # time, in simulated seconds
    speed: float = 1.0
    report: Literal["real", "simulated"] = "real"
    item_seconds: Mapping[int, float] = field(default_factory=dict)
    default_item_seconds: float = 0.0
    call_seconds: Mapping[str, float] = field(default_factory=dict)
    cut_seconds: float | None = None
    cut_continues: bool = False

    # look-ups
    list_lag_seconds: float = 0.0
    ignore_case: bool = False

    # OAuth application
    client_id: str = "app.sandbox"
    client_secret: str = "app-secret"
    access_token: str = "access-0"
    refresh_token: str = "refresh-0"
    token_seconds: float = 3600.0
    oauth_outage: bool = False

    # bookkeeping
    light: bool = False

    def patched(self, changes: Mapping[str, Any]) -> "Settings":
        """Return a copy with the named settings replaced; mistakes are a `ValueError`."""
        known = {item.name for item in dataclasses.fields(self)}
        if unknown := sorted(set(changes) - known):
            raise ValueError(f"unknown settings: {', '.join(unknown)}")
        if changes.get("state", "ok") not in STATES:
            raise ValueError(f"unknown state {changes['state']!r}, use one of {', '.join(STATES)}")
        if changes.get("speed", 1.0) <= 0:
            raise ValueError("speed must be above zero")
        values: dict[str, Any] = {name: _numbered(value) for name, value in changes.items()}
        return dataclasses.replace(self, **values)

    def seconds_per_item(self, entity_type: int) -> float:
        """Return how long the portal works on one item of a type."""
        return self.item_seconds.get(entity_type, self.default_item_seconds)


def _numbered(value: object) -> object:
    """Turn the string keys that JSON forces on entity types back into numbers."""
    if not isinstance(value, Mapping):
        return value
    return {int(key) if str(key).isdecimal() else key: item for key, item in value.items()}
