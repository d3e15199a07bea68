"""Describes events that wait in inner queues: where, why, and what is known of each."""

from dataclasses import dataclass
from typing import Final

DOUBTFUL: Final = "doubtful"
"""Last part of the name of the queue for events that wait to be looked up, or for a proof."""
LINKS: Final = "links"
"""Last part of the name of the queue for events that wait for items they refer to."""
DOUBT: Final = "doubt"
LINK: Final = "link"
"""Reasons to wait, beside those of a closed lane (`PauseReason`)."""


@dataclass(frozen=True, slots=True)
class Stay:
    """What a message says of its waiting when it comes back.

    `queue`: last part of the name of the inner queue it was taken from (an entity type, or one of
    the two above), empty where it came through the intake; `reason`: why it waited; `waited`:
    seconds that count of its waiting so far; `parked_at`: seconds since the epoch; `perhaps_sent`:
    None where no call may have carried it, else from when on a look-up proves something, in
    seconds since the epoch; `attempts`: calls that carried it; `received_at`: when its event came
    to the intake first, in seconds since the epoch; `seen`: the broker has handed it to somebody
    before, who may only have looked; `mark`: names this stay, whoever reads it, and however often.
    """

    queue: str
    reason: str
    waited: float
    parked_at: float
    perhaps_sent: float | None
    attempts: int
    received_at: float
    seen: bool = False
    mark: float = 0.0
