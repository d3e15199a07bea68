"""What else goes on in a run, whatever its fault is: a closed lane, or events with links."""

from collections.abc import Callable, Mapping

from tests.chaos.trial import SUCCEEDED, Amid, Trial, event

LANE = 1032
EVENTS = 15
CONTACT, DEAL = 3, 2


class ClosedLane:
    """Denies imports of one type: its events are parked, and flow when the right is back."""

    async def begin(self, trial: Trial) -> None:
        """Take the right away, and publish events that wait for it."""
        trial.environment.portal.settings({"import_denied": [LANE]})
        bodies = [event(f"lane{n}", LANE) for n in range(EVENTS)]
        await trial.send(bodies, may_end=SUCCEEDED, later=True)

    async def end(self, trial: Trial) -> None:
        """Give the right back."""
        async with trial.fault("lane closed"):
            trial.environment.portal.settings({"import_denied": []})


class Links:
    """Publishes deals that refer to contacts, and the contacts after them."""

    async def begin(self, trial: Trial) -> None:
        """Publish the deals."""
        bodies = [
            {
                **event(f"linked{n}", DEAL, comments="some portals here require it"),
                "links": {"contactId": {"entityTypeId": CONTACT, "id": f"contact{n}"}},
            }
            for n in range(EVENTS)
        ]
        await trial.send(bodies, may_end=SUCCEEDED, later=True)

    async def end(self, trial: Trial) -> None:
        """Publish what they wait for."""
        contacts = (event(f"contact{n}", CONTACT) for n in range(EVENTS))
        await trial.send([{**one, "fields": {"name": one["fields"]["title"]}} for one in contacts])


AMID: Mapping[str, Callable[[], Amid | None]] = {
    "none": lambda: None,
    "lane": ClosedLane,
    "links": Links,
}
"""By the names of cells.MIXES."""
