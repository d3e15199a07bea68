"""Holds what is known of an event's links, and every way in which that changes.

A value, as all that is known of an event: see `domain/history`.

=====================  ==============================  ===========================================
transition             who may make it                 when
=====================  ==============================  ===========================================
`came_back`            domain/history                  its message comes from the queue for links
`lacking`              importer/link_waiting           items that it refers to are not known
`overdue`              importer/link_resolution        it has waited long enough for them
`awaiting`             importer/link_resolution        it waits: here, or in an inner queue
`resolved`             importer/link_resolution        all are known before it is sent
`found`                importer/link_resolution        its own item was found by a look-up
`checked`              importer/link_refusals          refused, its numbers were asked for again
`unresolved`           domain/history                  these numbers were wrong
=====================  ==============================  ===========================================
"""

from collections.abc import Mapping
from typing import NamedTuple

from service.domain.events import Reference

Numbers = Mapping[str, int | list[int]]
"""The numbers of the items that links refer to, by field."""


class Linking(NamedTuple):
    """What this process knows of the links of an unsettled event.

    `values`: what they become, once all items are known; `at`: when that was, in seconds since
    the epoch; `waited`: seconds that count of its waiting so far; `parked_at`: when it was put
    into an inner queue; `began_at`: when it came, and before that it cannot have waited, both in
    seconds since the epoch; `waits`: one of the items was not known already; `here_since`: loop
    time from which it waits here, and in no inner queue; `expired_at`: loop time at which it had
    waited long enough; `in_flight`: the references that were being imported while it waited,
    `awaits`: those that were so when it was last looked at; `asked_again`: the portal has refused
    these numbers, and was asked for them.
    """

    values: Numbers | None = None
    at: float = 0.0
    waited: float = 0.0
    parked_at: float | None = None
    began_at: float | None = None
    waits: bool = False
    here_since: float | None = None
    expired_at: float | None = None
    in_flight: frozenset[Reference] = frozenset()
    awaits: frozenset[Reference] = frozenset()
    asked_again: bool = False

    def came_back(self, waited: float, parked_at: float, received_at: float) -> "Linking":
        """Take over how long it has waited elsewhere, and when its event came first."""
        return self._replace(waited=waited, parked_at=parked_at, began_at=received_at)

    def lacking(self, waited: float, began_at: float) -> "Linking":
        """Note that not every item is known, and how many seconds count of its waiting so far."""
        return self._replace(values=None, waits=True, waited=waited, began_at=began_at)

    def overdue(self, at: float) -> "Linking":
        """Note when it had waited long enough: each item is asked for once more."""
        return self._replace(expired_at=at)

    def awaiting(self, references: frozenset[Reference], here_since: float | None) -> "Linking":
        """Note which of its items are being imported; None: it waits in an inner queue."""
        in_flight = self.in_flight | references
        return self._replace(awaits=references, in_flight=in_flight, here_since=here_since)

    def resolved(self, values: Numbers | None, at: float) -> "Linking":
        """Note the numbers of all items; it waits no more."""
        return self._replace(
            values=values, at=at, here_since=None, expired_at=None, in_flight=frozenset()
        )

    def found(self, values: Numbers | None) -> "Linking":
        """Note the known numbers for its result."""
        return self._replace(values=values)

    def checked(self) -> "Linking":
        """Note that the portal has refused the numbers, and was asked for them."""
        return self._replace(asked_again=True)

    def unresolved(self) -> "Linking":
        """Forget the numbers."""
        return self._replace(values=None)
