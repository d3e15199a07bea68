"""Decides whether the broker answered recently enough to start a call."""


class Hearing:
    """When the broker last answered, and whether we were suspended since.

    Times are of a clock that goes on while the process or the machine is suspended; seconds.
    After a suspension whatever comes in may be old: it lay in a buffer while the broker gave our
    messages to somebody else. Then only the answer to a question asked afterwards proves anything.
    """

    def __init__(self, silence: float) -> None:
        """Nothing was heard; the broker may be silent, and we may be suspended, for `silence`."""
        self._silence = silence
        self._ran_at = self._awake_since = self._heard_at = self._proved_at = float("-inf")

    def heard(self, now: float) -> None:
        """Note that something came from the broker."""
        self._run(now)
        self._heard_at = now

    def answered(self, asked_at: float, now: float) -> None:
        """Note the answer to a question asked at a time."""
        self.heard(now)
        self._proved_at = asked_at

    def lately(self, now: float) -> bool:
        """Tell whether the broker answered recently, and since we were last suspended."""
        self._run(now)
        proved = self._proved_at >= self._awake_since
        return proved and now - self._heard_at <= self._silence

    def _run(self, now: float) -> None:
        """Note that we run: called several times within the silence, unless we are suspended."""
        if now - self._ran_at > self._silence:
            self._awake_since = now
        self._ran_at = now
