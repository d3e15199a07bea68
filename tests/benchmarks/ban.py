"""Measures how much fresh budget is wasted after the portal has shut a method for 300 seconds.

Once with the process, at a portal whose time runs faster; then the rule alone, over hours of
made-up time, beside probing at intervals that double.
"""

import asyncio
from collections.abc import Callable

from service.domain.pacing import OperatingBudget
from tests.benchmarks import events
from tests.benchmarks.contestants import SERVICE
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.makespan import IMPORT, limited_portal, limited_settings, until_done
from tests.benchmarks.rig import Rig
from tests.support.processes import PortalProcess
from tests.support.spent_budget import Portal, play

PART = "after a ban of the execution budget"
BAN = 300.0
BUDGET = 240.0
"""The portal's; ours is the usual one, so that the portal has to refuse."""
SPEED, ITEMS, PATIENCE_SECONDS = 12.0, 1800, 120.0
QUICK = 60.0
RULE = "made-up time: tests/support/spent_budget.py"
LIMITS = (60.0, 120.0, 240.0, 410.0)
STARTS = (0.0, 17.0, 59.0, 1234.5)
DOUBLING = (60.0, 120.0, 300.0)
"""Seconds between probes that know nothing of the ban."""


class Doubling(OperatingBudget):
    """Asks again at intervals that grow."""

    def refused(self, now: float) -> None:
        """Wait for the next interval."""
        tries = self.refusals
        super().refused(now)
        self._shut_until = now + DOUBLING[min(tries, len(DOUBLING) - 1)]


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Let the process meet one ban, and the rule many."""
    wasted, refused = asyncio.run(_meet(rig, QUICK if quick else SPEED))
    say(f"{wasted:.1f} s of fresh budget wasted, {refused} refusals")
    command = f"{SERVICE.command}; time runs {QUICK if quick else SPEED:.0f} times as fast"
    aimed, doubled = _worst(lambda: OperatingBudget(limit=420.0)), _worst(lambda: Doubling(420.0))
    return [
        Figure(PART, "fresh budget wasted after one ban", wasted, "s", command, at_most(15)),
        Figure(PART, "refusals in it", float(refused), "calls", command),
        Figure(
            PART, "wasted after each ban, at most, the rule alone", aimed, "s", RULE, at_most(1)
        ),
        Figure(PART, "wasted after each ban, probing at 60, 180, 480 s", doubled, "s", RULE),
    ]


async def _meet(rig: Rig, speed: float) -> tuple[float, int]:
    """Return how long the open portal was not asked, in its seconds, and how often it refused."""
    about = {**limited_portal(speed), "operating_limit": BUDGET, "operating_ban_seconds": BAN}
    with rig.vhost() as url, PortalProcess(about) as portal:
        await events.fill(url, range(ITEMS))
        webhook = {"IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url}
        with rig.consumer(SERVICE, url, **webhook, **limited_settings(speed)) as consumer:
            await asyncio.to_thread(consumer.wait_ready)
            deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
            await until_done(portal, consumer, ITEMS, deadline)
        calls = [
            (each["at"], each["error"] == "OPERATION_TIME_LIMIT")
            for each in portal.ledger()["calls"]
            if each["method"] == IMPORT
        ]
    shut = next((at for at, refused in calls if refused), float("nan"))
    opened = next((at for at, refused in calls if at > shut and not refused), float("inf"))
    return (opened - shut) * speed - BAN, sum(refused for _, refused in calls)


def _worst(budget: Callable[[], OperatingBudget]) -> float:
    """Return the most that a history has wasted, for each ban in it."""
    wasted = []
    for limit in LIMITS:
        for start in STARTS:
            portal = Portal(limit, ban=BAN)
            play(portal, start, budget())
            wasted.append(portal.wasted / max(1, portal.bans))
    return max(wasted)
