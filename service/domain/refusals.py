"""Decides when a queue that refuses everything is asked again over a new connection."""

from dataclasses import dataclass

FIRST_SECONDS = 10.0
MAX_SECONDS = 600.0
TOLERATED_SECONDS = 3.0
"""A queue that took nothing for so long counts as refusing."""
UNTRIED_SECONDS = 60.0
"""Publishes are repeated every ten seconds at least. After so long without one, nothing is known
of the queue."""


@dataclass(slots=True)
class Refusals:
    """What one queue refused since it last took something.

    A full queue refuses everything. So does a channel that was opened in the moment in which the
    queue's leader died: it goes on asking the dead node (seen with RabbitMQ 3.10 in a cluster;
    rabbitmq-server#9241). A new connection tells the one from the other; each is given twice as
    long as the one before, because a full queue may stay full.
    """

    patience: float = FIRST_SECONDS
    since: float | None = None

    def confirmed(self) -> None:
        """Note that the queue took a message."""
        self.patience, self.since = FIRST_SECONDS, None

    def refused(self, now: float) -> bool:
        """Note a refusal; tell whether it is time for a new connection."""
        if self.since is None:
            self.since = now
        if now - self.since < self.patience:
            return False
        self.since, self.patience = None, min(2 * self.patience, MAX_SECONDS)
        return True


@dataclass(slots=True)
class QueueRefusal:
    """Whether one queue refuses now. One or two refusals that end by themselves do not count."""

    why: str = ""
    since: float | None = None
    last: float = 0.0
    stands: bool = False

    def begins(self, why: str, now: float) -> bool:
        """Note a refusal; tell whether the queue counts as refusing from now on."""
        if self.since is None:
            self.since = now
        self.last = now
        news = now - self.since >= TOLERATED_SECONDS and not (self.stands and self.why == why)
        if news:
            self.why, self.stands = why, True
        return news

    def ends(self, now: float) -> float | None:
        """Note that the queue took a message; return how long it refused, if it counted so."""
        since, stood = self.since, self.stands
        self.why, self.since, self.stands = "", None, False
        return now - since if stood and since is not None else None

    def untried(self, now: float) -> bool:
        """Tell whether nothing was offered to a refusing queue for so long that it may be well."""
        return self.stands and now - self.last >= UNTRIED_SECONDS
