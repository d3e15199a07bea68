"""Decides when a queue that refuses everything is asked again over a new connection."""

from dataclasses import dataclass

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 600.0


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
        self.since, self.patience = None, min(2 * self.patience, LONGEST_SECONDS)
        return True
