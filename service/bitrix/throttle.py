"""Waits until the portal's limits let the next call leave: the one place that all calls pass."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from service.bitrix.errors import budget_spent, left_alone
from service.domain.outcomes import CallFailed
from service.domain.pacing import ItemCost, LeakyBucket, OperatingBudget
from service.telemetry.clock import awake
from service.telemetry.metrics import Metrics

MAX_COSTS = 500
"""Entity types whose cost is remembered."""
PATIENCE = 30.0
"""Longest wait of a call in its slot, in seconds, while the portal wants to be left alone."""

log = logging.getLogger(__name__)


class Pace(NamedTuple):
    """How long until an import call may leave, and which limit it waits for."""

    seconds: float
    reason: str


class Throttle:
    """Paces by the request bucket, by each method's execution budget, and by learnt costs.

    Calls pass in order of arrival, those of one method behind each other. While the portal wants
    to be left alone for long, a call does not wait in its slot: it raises CallFailed.
    """

    def __init__(
        self,
        *,
        bucket: LeakyBucket,
        budgets: Mapping[str, OperatingBudget],
        metrics: Metrics,
        wall: Callable[[], float] | None = None,
        patience: float = math.inf,
    ) -> None:
        """Take the bucket (loop time) and the budgets by method label (wall-clock time).

        `wall`: by default a clock that nobody sets; else one that is set back by an hour would
        have what was spent count for that hour. `patience`: longest wait, in seconds, of a look-up
        for its budget; who is in a slot must not keep it from imports, which have their own.
        """
        self._bucket = bucket
        self._budgets = budgets
        self._metrics = metrics
        self._wall = wall or _steady_clock()
        self._patience = {"list": patience}
        self._turn = asyncio.Lock()
        self._turns = {method: asyncio.Lock() for method in budgets}
        self._costs: dict[int, ItemCost] = {}
        metrics.rate_share.set(1)
        for method, budget in budgets.items():
            metrics.operating_limit.labels(method).set(budget.limit)

    def pace(self) -> Pace:
        """Tell how long an import would wait if it were to leave now."""
        budget = self._budgets["import"].wait(self._wall())
        bucket = self._bucket.wait(_now())
        return Pace(budget, "budget") if budget > bucket else Pace(bucket, self._bucket_reason())

    def overview(self) -> dict[str, object]:
        """Return how full bucket and budgets are, and the learnt cost of an item by type."""
        wall, wait = self._wall(), self._bucket.wait(_now())
        return {
            "bucket": {
                "limit": self._bucket.burst,
                "level": round(self._bucket.level, 1),
                "share": round(self._bucket.share, 2),
                "wait_seconds": round(wait, 1),
            },
            "budget": {
                method: {
                    "limit_seconds": budget.limit,
                    "used_seconds": round(budget.used(wall), 1),
                    "wait_seconds": round(budget.wait(wall), 1),
                }
                for method, budget in self._budgets.items()
            },
            "item_cost_seconds": {
                str(kind): round(cost.seconds, 4) for kind, cost in sorted(self._costs.items())
            },
        }

    def most(self, entity_type_id: int, most: int) -> int:
        """Return how many items of a type one call may carry, at most `most`."""
        cost = self._costs.get(entity_type_id)
        return cost.batch(most) if cost is not None else most

    @asynccontextmanager
    async def call(self, method: str, *, cost: float = 0.0) -> AsyncIterator[None]:
        """Wait for the limits, then hold the call's expected cost until it has ended."""
        budget = self._budgets.get(method)
        if budget is None:
            await self._pass_bucket()
            yield
            return
        async with self._turns[method]:
            while (wait := budget.wait(self._wall())) > 0:
                if wait > self._patience.get(method, math.inf):
                    raise CallFailed(budget_spent(wait))
                self._metrics.pacer_wait.labels("budget").inc(wait)
                await asyncio.sleep(wait)
            budget.reserve(cost)
        try:
            await self._pass_bucket()
            yield
        finally:
            budget.release(cost)

    def expected(self, entity_type_id: int, items: int) -> float:
        """Return the execution seconds that a call is expected to cost."""
        cost = self._costs.get(entity_type_id)
        return cost.seconds * items if cost is not None else 0.0

    def learn(self, entity_type_id: int, items: int, seconds: float, *, whole: bool) -> None:
        """Note how long an import took; not `whole`: it did not end in that time."""
        if entity_type_id not in self._costs and len(self._costs) >= MAX_COSTS:
            del self._costs[next(iter(self._costs))]
        cost = self._costs.setdefault(entity_type_id, ItemCost())
        if whole:
            cost.learn(items, seconds)
        else:
            cost.suffered(items, seconds)
        label = self._metrics.entity_type(entity_type_id)
        self._metrics.item_cost.labels(label).set(cost.seconds)

    def answered(
        self, method: str, total: float, reset_at: float | None, portal_now: float | None = None
    ) -> None:
        """Note the counters of a good answer.

        `reset_at` is of the portal's clock; where `portal_now` tells what that clock shows, it is
        moved to ours: the two may be hours apart.
        """
        budget = self._budgets.get(method)
        if budget is not None:
            if reset_at is not None and portal_now is not None:
                reset_at += self._wall() - portal_now
            budget.answered(total, reset_at, self._wall())
            self._metrics.operating.labels(method).set(total)
            self._metrics.operating_reset.labels(method).set(reset_at or 0)

    def over_budget(self, method: str) -> None:
        """Note that the portal finds a method's budget spent."""
        budget = self._budgets.get(method)
        if budget is not None:
            budget.refused(self._wall())

    def hold(self, seconds: float) -> None:
        """Let no call leave for so long: the portal asked for it (`Retry-After`)."""
        before = self._bucket.held(_now())
        self._bucket.hold(seconds, _now())
        held = self._bucket.held(_now())
        if held > before + 1.0:
            until = datetime.fromtimestamp(self._wall() + held, UTC).isoformat(timespec="seconds")
            log.warning(
                "the portal asks to be left alone",
                extra={"until": until, "seconds": round(held, 1), "who_acts": "nobody"},
            )

    def shut_for(self, *, budget: bool) -> float:
        """Return for how many seconds the portal refuses every call, or imports (`budget`)."""
        spent = self._budgets["import"].shut(self._wall()) if budget else 0.0
        return max(self._bucket.held(_now()), spent)

    async def rest(self, patience: float = PATIENCE) -> None:
        """Wait while the portal wants to be left alone; raises CallFailed if that is long."""
        while (held := self._bucket.held(_now())) > 0:
            if held > patience:
                raise CallFailed(left_alone(held))
            self._metrics.pacer_wait.labels("backoff").inc(held)
            await asyncio.sleep(held)

    def refused(self) -> None:
        """Note that the portal found its bucket full."""
        self._bucket.refused(_now())
        self._metrics.rate_share.set(self._bucket.share)

    def _bucket_reason(self) -> str:
        """Name a wait for the bucket: at its usual rate, or because the portal refused."""
        usual = self._bucket.share >= 1.0 and not self._bucket.held(_now())
        return "bucket" if usual else "backoff"

    async def _pass_bucket(self) -> None:
        async with self._turn:
            while (wait := self._bucket.wait(_now())) > 0:
                if self._bucket.held(_now()):
                    await self.rest()
                    continue
                self._metrics.pacer_wait.labels(self._bucket_reason()).inc(wait)
                await asyncio.sleep(wait)
            self._bucket.take(_now())
            self._metrics.bucket_level.set(self._bucket.level)
            self._metrics.rate_share.set(self._bucket.share)


def _steady_clock() -> Callable[[], float]:
    """Return a wall clock that goes on while suspended and that nobody can set."""
    began = time.time() - awake()
    return lambda: began + awake()


def _now() -> float:
    return asyncio.get_running_loop().time()
