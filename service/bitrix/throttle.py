"""Waits until the portal's limits let the next call leave: the one gate for all calls."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from service.domain.pacing import ItemCost, LeakyBucket, OperatingBudget
from service.telemetry.metrics import Metrics

BUDGETED = ("import", "list")


class Pace(NamedTuple):
    """How long until an import call may leave, and which limit it waits for."""

    seconds: float
    reason: str


class Throttle:
    """Paces by the request bucket, by each method's execution budget, and by learnt costs.

    Calls pass in order of arrival, those of one method behind each other.
    """

    def __init__(
        self,
        *,
        bucket: LeakyBucket,
        budgets: Mapping[str, OperatingBudget],
        metrics: Metrics,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Take the bucket (loop time) and the budgets by method label (wall-clock time)."""
        self._bucket = bucket
        self._budgets = budgets
        self._metrics = metrics
        self._wall = wall
        self._turn = asyncio.Lock()
        self._turns = {method: asyncio.Lock() for method in budgets}
        self._costs: dict[int, ItemCost] = {}
        metrics.rate_share.set(1)
        metrics.operating_limit.set(budgets["import"].limit)

    def pace(self) -> Pace:
        """Tell how long an import would wait if it were to leave now."""
        budget = self._budgets["import"].wait(self._wall())
        bucket = self._bucket.wait(_now())
        return Pace(budget, "budget") if budget > bucket else Pace(bucket, self._bucket_reason())

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
        cost = self._costs.setdefault(entity_type_id, ItemCost())
        if whole:
            cost.learn(items, seconds)
        else:
            cost.suffered(items, seconds)
        label = self._metrics.entity_type(entity_type_id)
        self._metrics.item_cost.labels(label).set(cost.seconds)

    def answered(self, method: str, total: float, reset_at: float | None) -> None:
        """Note the counters of a good answer."""
        budget = self._budgets.get(method)
        if budget is not None:
            budget.answered(total, reset_at, self._wall())
            self._metrics.operating.labels(method).set(total)
            self._metrics.operating_reset.labels(method).set(reset_at or 0)

    def over_budget(self, method: str) -> None:
        """Note that the portal finds a method's budget spent."""
        budget = self._budgets.get(method)
        if budget is not None:
            budget.refused(self._wall())

    def refused(self) -> None:
        """Note that the portal found its bucket full."""
        self._bucket.refused(_now())
        self._metrics.rate_share.set(self._bucket.share)

    def _bucket_reason(self) -> str:
        """Name a wait for the bucket: at its usual rate, or at one that refusals have lowered."""
        return "bucket" if self._bucket.share >= 1.0 else "backoff"

    async def _pass_bucket(self) -> None:
        async with self._turn:
            while (wait := self._bucket.wait(_now())) > 0:
                self._metrics.pacer_wait.labels(self._bucket_reason()).inc(wait)
                await asyncio.sleep(wait)
            self._bucket.take(_now())
            self._metrics.bucket_level.set(self._bucket.level)
            self._metrics.rate_share.set(self._bucket.share)


def _now() -> float:
    return asyncio.get_running_loop().time()
