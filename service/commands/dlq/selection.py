"""Decides which dead letters a command is about."""

import argparse
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from service.commands.moments import written
from service.commands.option_values import UNKNOWN, UNREADABLE

JSON_ASKS_NOBODY = "--json cannot ask: add --yes (or --dry-run)"


def named(event_id: str) -> str:
    """Return an id so that it can be seen: in quotes where white space is at an end of it."""
    return event_id if event_id == event_id.strip() else f"“{event_id}”"


class Selectable(Protocol):
    """What is known of a letter without its body."""

    @property
    def event_id(self) -> str:
        """The id that `--id` takes."""

    @property
    def entity_type_id(self) -> int | None:
        """The entity type; None where it cannot be read."""

    @property
    def kind(self) -> str:
        """The kind of the failure."""

    @property
    def code(self) -> str:
        """The code of the failure."""

    @property
    def failed_at(self) -> datetime | None:
        """When the event failed, if the letter says so."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a letter must match; None and empty match every letter.

    A letter that does not say when it failed is neither young nor old. The entity type UNREADABLE
    means letters whose type cannot be read.
    """

    kind: str | None = None
    code: str | None = None
    entity_type_id: int | None = None
    since: datetime | None = None
    before: datetime | None = None
    ids: frozenset[str] = frozenset()

    @classmethod
    def of(cls, options: argparse.Namespace) -> Self:
        """Return what the command line selects."""
        return cls(
            kind=options.kind,
            code=options.code,
            entity_type_id=options.type,
            since=options.since,
            before=getattr(options, "older_than", None),
            ids=frozenset(options.id),
        )

    @property
    def words(self) -> str:
        """Which letters are meant, in words."""
        told = {
            "kind": self.kind,
            "code": self.code,
            "type": UNKNOWN if self.entity_type_id == UNREADABLE else self.entity_type_id,
            "since": self.since and written(self.since),
            "before": self.before and written(self.before),
            "id": ", ".join(map(named, sorted(self.ids))),
        }
        return "; ".join(f"{name} {value}" for name, value in told.items() if value) or "all"

    def holds(self, letter: Selectable) -> bool:
        """Tell whether a letter is one of them."""
        return (
            self.kind in {None, letter.kind}
            and self.code in {None, letter.code}
            and self.entity_type_id in {None, letter.entity_type_id or UNREADABLE}
            and (not self.ids or letter.event_id in self.ids)
            and self._is_of_the_time(letter.failed_at)
        )

    def _is_of_the_time(self, moment: datetime | None) -> bool:
        if moment is None:
            return self.since is None and self.before is None
        return (self.since is None or moment >= self.since) and (
            self.before is None or moment < self.before
        )
