"""Declares what is traced; without OpenTelemetry nothing is traced."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from service.domain.events import ItemEvent, Malformed


class Tracer(Protocol):
    """Traces the way of events; spans carry no secret and no field value.

    Each method returns at once; what is traced leaves the process in the background.
    """

    def received(self, event: ItemEvent | Malformed) -> None:
        """Note that a message came in, as a child of what its producer traced."""

    def batch(self, events: Sequence[ItemEvent]) -> AbstractContextManager[object]:
        """Trace the work on events of one type, linked to their messages."""

    def call(self, method: str) -> AbstractContextManager[object]:
        """Trace one call of the portal, below the batch it is made for."""

    def settle(self, count: int) -> AbstractContextManager[object]:
        """Trace the publishing of outcomes, below their batch."""

    def close(self) -> None:
        """Send what is left, for a short time."""


class Untraced:
    """Traces nothing."""

    def received(self, event: ItemEvent | Malformed) -> None:
        """Do nothing."""

    def batch(self, events: Sequence[ItemEvent]) -> AbstractContextManager[object]:  # noqa: ARG002 - the protocol's
        """Do nothing."""
        return nullcontext()

    def call(self, method: str) -> AbstractContextManager[object]:  # noqa: ARG002 - the protocol's
        """Do nothing."""
        return nullcontext()

    def settle(self, count: int) -> AbstractContextManager[object]:  # noqa: ARG002 - the protocol's
        """Do nothing."""
        return nullcontext()

    def close(self) -> None:
        """Do nothing."""


UNTRACED = Untraced()
