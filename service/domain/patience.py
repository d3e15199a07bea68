"""Decides how long to wait for the broker's answers, and before the next connection."""

from dataclasses import dataclass

LASTED_SECONDS = 10.0
"""A connection that was up for so long is no failed try: the next one follows soon."""
STEADY_SECONDS = 120.0
"""A connection that was up for so long shows that the broker is not too slow for our time-outs."""
MOST = 8


@dataclass(slots=True)
class Patience:
    """What the ends of the connections so far have taught.

    `factor` multiplies every time-out. A broker whose answer came too late gets twice the time at
    the next try, up to eight times; else one that is always as slow would never be reached.
    `attempt` counts the tries for the back-off, from 0.
    """

    factor: int = 1
    attempt: int = 0

    def ended(self, up_seconds: float, *, late: bool) -> int:
        """Note the end of a connection, 0 seconds if it never came up; return its try's number.

        `late`: it ended because an answer did not come in time.
        """
        if up_seconds > LASTED_SECONDS:
            self.attempt = 0
        if up_seconds > STEADY_SECONDS:
            self.factor = 1
        if late:
            self.factor = min(MOST, 2 * self.factor)
        self.attempt += 1
        return self.attempt - 1
