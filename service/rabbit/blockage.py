"""Knows which queue or alarm stops results, logs each change once, and shows it."""

import logging
from collections.abc import Mapping
from typing import Any

from service.domain.refusals import QueueRefusal
from service.rabbit.confirms import PublishResult
from service.telemetry.metrics import Metrics

ALARM = "the broker takes no messages: memory or disk alarm"
WHY = {
    PublishResult.NACKED: "the queue refuses messages: it is full, or has no leader",
    PublishResult.RETURNED: "no queue takes these messages: the queue or its binding is missing",
    PublishResult.UNWRITABLE: "the message is too large for the broker",
}
WHO = {
    PublishResult.NACKED: "the reader of the queue, and the person who set its length limit",
    PublishResult.RETURNED: "the owner of the broker's topology: create the queue and its binding",
    PublishResult.UNWRITABLE: "the broker's operator: raise its max_message_size",
}

log = logging.getLogger(__name__)


class Blockage:
    """Two kinds of trouble: the broker blocks publishers, or a queue refuses.

    Nothing is lost by either: what cannot be published is held, and the intake waits.
    """

    def __init__(self, queues: Mapping[str, str], metrics: Metrics) -> None:
        """Take the queue that each target of a publish ends in."""
        self._queues = queues
        self._refusals = {target: QueueRefusal() for target in queues}
        self._gauge = metrics.broker_blocked
        self._since: float | None = None

    @property
    def blocked(self) -> bool:
        """Whether the broker blocks publishers."""
        return self._since is not None

    def refusing(self) -> dict[str, str]:
        """Return the queues that refuse, each with the reason."""
        return {
            self._queues[target]: WHY[PublishResult(refusal.why)]
            for target, refusal in self._refusals.items()
            if refusal.stands
        }

    def look(self, *, blocked: bool, now: float) -> None:
        """Note whether the broker blocks publishers."""
        for target, refusal in self._refusals.items():
            if refusal.untried(now):
                refusal.ends(now)
                log.info(
                    "no message waits any more for a queue that refused",
                    extra={"queue": self._queues[target]},
                )
        if blocked is self.blocked:
            return
        self._gauge.set(int(blocked))
        if blocked:
            self._since = now
            _tell(
                "the broker blocks publishers",
                why=ALARM,
                until="the alarm is over",
                who_acts="the broker's operator: free memory or disk",
            )
        elif self._since is not None:
            log.info("the broker takes messages again", extra=_lasted(now - self._since))
            self._since = None

    def answered(self, target: str, result: PublishResult, now: float) -> None:
        """Note what the broker said of one publish; of inner queues, their owner tells."""
        if target not in self._queues:
            return
        refusal = self._refusals[target]
        queue = self._queues[target]
        if result is PublishResult.CONFIRMED:
            lasted = refusal.ends(now)
            if lasted is not None:
                log.info("a queue takes messages again", extra={"queue": queue, **_lasted(lasted)})
        elif result in WHY and refusal.begins(str(result), now):
            _tell(
                "a queue refuses what is published",
                queue=queue,
                why=WHY[result],
                until="the queue takes messages again; each message is tried until then",
                who_acts=WHO[result],
            )


def _tell(event: str, **more: str) -> None:
    log.error(event, extra=more)


def _lasted(seconds: float) -> dict[str, Any]:
    return {"lasted": round(seconds, 1)}
