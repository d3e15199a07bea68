"""Tests the one throttle that every call to the portal passes, on a made-up clock."""

import asyncio
import math

import pytest

from service.bitrix.throttle import MAX_COSTS, Throttle
from service.domain.outcomes import CallFailed, CallKind
from service.domain.pacing import LeakyBucket, OperatingBudget
from service.telemetry.metrics import Metrics
from tests.virtual_time import now

WALL = 1_700_000_000.0 // 60 * 60
"""The wall clock at loop time 0: the start of a minute."""


class Bench:
    """One throttle with its limits, made inside the running loop."""

    def __init__(
        self,
        *,
        rate: float = 2.0,
        burst: float = 50.0,
        limit: float = 420.0,
        patience: float = math.inf,
    ) -> None:
        """Set the limits; the budget is that of imports and of look-ups each."""
        self.metrics = Metrics()
        self.started = now()
        self.throttle = Throttle(
            bucket=LeakyBucket(rate=rate, burst=burst),
            budgets={method: OperatingBudget(limit) for method in ("import", "list")},
            metrics=self.metrics,
            wall=lambda: WALL + now() - self.started,
            patience=patience,
        )

    async def call(
        self, method: str = "import", *, seconds: float = 0.0, cost: float = 0
    ) -> float:
        """Make a call that lasts so long; return when it left, counted from the start."""
        async with self.throttle.call(method, cost=cost):
            left = now() - self.started
            await asyncio.sleep(seconds)
        return left

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of a metric."""
        return self.metrics.registry.get_sample_value(f"importer_{name}", labels)


async def test_a_burst_passes_and_the_rest_follows_at_the_rate() -> None:
    """Each as soon as it fits, and what it waited is counted."""
    bench = Bench(rate=2.0, burst=3.0)
    left = [await bench.call("probe") for _ in range(5)]
    assert [0.0, 0.0, 0.0, 0.5, 1.0] == pytest.approx(left, abs=1e-3)
    waited = bench.value("pacer_wait_seconds_total", reason="bucket")
    assert 1.0 == pytest.approx(waited, abs=1e-3)


async def test_a_look_up_without_execution_time_leaves_its_slot() -> None:
    """Whoever asks waits elsewhere, and is told how long; imports have a time of their own."""
    bench = Bench(patience=2.0)
    bench.throttle.over_budget("list")
    with pytest.raises(CallFailed) as caught:
        await bench.call("list")
    fault = caught.value.fault
    assert (CallKind.OVER_BUDGET, 0.0) == (fault.kind, await bench.call("import"))
    assert fault.retry_after is not None
    await asyncio.sleep(fault.retry_after - 1.0)
    assert bench.started + fault.retry_after == pytest.approx(
        bench.started + await bench.call("list"), abs=0.1
    )


async def test_callers_pass_in_order_of_arrival() -> None:
    """Nobody is overtaken."""
    bench = Bench(rate=2.0, burst=1.0)
    passed: list[int] = []

    async def call(number: int) -> None:
        await bench.call("probe")
        passed.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(call(number))
    assert [0, 1, 2, 3, 4] == passed


async def test_a_refusal_makes_the_next_call_wait() -> None:
    """Somebody else drinks from the portal's bucket: we take half."""
    bench = Bench(rate=2.0, burst=50.0)
    bench.throttle.refused()
    assert (1.0, "backoff") == bench.throttle.pace()
    assert 1.0 == pytest.approx(await bench.call("probe"), abs=1e-3)


async def test_who_gives_up_waiting_takes_nothing_and_blocks_nobody() -> None:
    """A cancelled caller leaves the limits as they were."""
    bench = Bench(rate=2.0, burst=1.0)
    await bench.call(cost=10.0)
    first = asyncio.create_task(bench.call(cost=10.0))
    second = asyncio.create_task(bench.call(cost=10.0))
    await asyncio.sleep(0.1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert 0.5 == pytest.approx(await second, abs=1e-3)
    assert (0.0, "bucket") == (bench.throttle.pace()[0] // 1, bench.throttle.pace()[1])


async def test_a_spent_budget_stops_its_own_method_only() -> None:
    """Look-ups and probes go on."""
    bench = Bench(limit=100.0)
    bench.throttle.answered("import", 101.0, None)
    assert (600.0, "budget") == bench.throttle.pace()
    assert [0.0, 0.0] == [await bench.call("list"), await bench.call("probe")]
    assert 600.0 == pytest.approx(await bench.call("import"), abs=1e-3)
    waited = bench.value("pacer_wait_seconds_total", reason="budget")
    assert 600.0 == pytest.approx(waited, abs=1e-3)


async def test_what_is_in_flight_counts_by_its_expected_cost() -> None:
    """Two that together exceed the budget do not fly together."""
    bench = Bench(limit=100.0)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(bench.call(seconds=5.0, cost=101.0))
        second = tasks.create_task(bench.call(cost=101.0))
    assert (0.0, 5.0) == pytest.approx((first.result(), second.result()), abs=0.1)


async def test_after_a_refusal_one_call_at_a_time_probes_the_budget() -> None:
    """A minute later, and the others only when it has ended."""
    bench = Bench(limit=420.0)
    bench.throttle.over_budget("import")
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(bench.call(seconds=5.0))
        second = tasks.create_task(bench.call())
    assert (60.0, 65.0) == pytest.approx((first.result(), second.result()), abs=0.1)


async def test_the_size_of_a_call_follows_the_learnt_cost() -> None:
    """Unknown types are trusted; what lasts long is split."""
    bench = Bench()
    assert (20, 0.0) == (bench.throttle.most(2, 20), bench.throttle.expected(2, 20))
    bench.throttle.learn(2, 10, 30.0, whole=True)
    assert (12, 60.0) == (bench.throttle.most(2, 20), bench.throttle.expected(2, 20))
    bench.throttle.learn(2, 12, 60.0, whole=False)
    assert (7, 20) == (bench.throttle.most(2, 20), bench.throttle.most(3, 20))


async def test_what_is_not_budgeted_is_ignored() -> None:
    """A probe has counters too; nobody paces by them."""
    bench = Bench()
    bench.throttle.answered("probe", 1000.0, None)
    bench.throttle.over_budget("probe")
    assert 0.0 == await bench.call("probe")


async def test_no_call_leaves_while_the_portal_wants_to_be_left_alone() -> None:
    """Whatever it is for, and the wait is counted."""
    bench = Bench()
    bench.throttle.hold(20.0)
    assert (20.0, "backoff") == bench.throttle.pace()
    methods = ["import", "list", "fields", "probe", "repeat"]
    left = await asyncio.gather(*map(bench.call, methods))
    assert [20.0] * 5 == pytest.approx(left, abs=1e-3)
    waited = bench.value("pacer_wait_seconds_total", reason="backoff")
    assert 20.0 == pytest.approx(waited, abs=1e-3)


async def test_a_call_that_would_wait_long_leaves_its_slot() -> None:
    """It was not sent, and says when it may be; nobody is barred afterwards."""
    bench = Bench()
    bench.throttle.hold(600.0)
    for method in ("import", "list", "probe", "repeat"):
        with pytest.raises(CallFailed) as failed:
            await bench.call(method, cost=1.0)
        fault = failed.value.fault
        assert (CallKind.UNAVAILABLE, 600.0) == (fault.kind, fault.retry_after)
    await asyncio.sleep(600.0)
    assert 600.0 == pytest.approx(await bench.call(cost=1.0), abs=1e-3)


async def test_the_portals_word_is_told_once_with_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A longer one is told again; nobody need act."""
    bench = Bench()
    for seconds in (10.0, 9.0, 3600.0 * 24):
        bench.throttle.hold(seconds)
    told = [(each.__dict__["seconds"], each.__dict__["until"]) for each in caplog.records]
    assert [(10.0, "2023-11-14T22:13:10+00:00"), (3600.0, "2023-11-14T23:13:00+00:00")] == told


async def test_it_is_told_for_how_long_no_call_can_help() -> None:
    """A spent import budget counts only where a pause is for it."""
    bench = Bench()
    bench.throttle.over_budget("import")
    told = [bench.throttle.shut_for(budget=each) for each in (True, False)]
    bench.throttle.hold(90.0)
    assert [60.0, 0.0] == pytest.approx(told)
    assert 90.0 == pytest.approx(bench.throttle.shut_for(budget=True))


async def test_a_portal_whose_clock_is_wrong_is_read_by_our_clock() -> None:
    """An hour ahead: the budget opens when the portal forgets, not an hour later."""
    bench, ahead = Bench(limit=100.0), 3600.0
    bench.throttle.answered("import", 101.0, WALL + ahead + 60, portal_now=WALL + ahead)
    assert WALL + 60 == bench.value("operating_reset_timestamp_seconds", method="import")
    assert 60.0 == pytest.approx(bench.throttle.pace().seconds, abs=2)


async def test_the_limits_are_shown() -> None:
    """What the portal counts, as it said it last."""
    bench = Bench(limit=420.0)
    bench.throttle.answered("import", 37.5, WALL + 60)
    assert 37.5 == bench.value("operating_seconds", method="import")


async def test_a_clock_that_is_set_holds_up_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back by an hour, what was spent would count for that hour; forward, for no time."""
    for step in (-3600.0, 3600.0):
        # Undone before the made-up clock ends: it sets the wall clock itself.
        with monkeypatch.context() as patched:
            patched.setattr("service.bitrix.throttle.awake", now)
            patched.setattr("time.time", lambda: WALL)
            throttle = Throttle(
                bucket=LeakyBucket(rate=2.0, burst=50.0),
                budgets={"import": OperatingBudget(420.0)},
                metrics=Metrics(),
            )
            throttle.answered("import", 500.0, None)
            patched.setattr("time.time", lambda step=step: WALL + step)
            assert 540.0 <= throttle.pace().seconds <= 600.0
            await asyncio.sleep(601.0)
            assert 0.0 == throttle.pace().seconds


async def test_any_number_of_types_and_any_time_that_an_answer_tells_take_no_more() -> None:
    """No memory, and no slower calls for ever."""
    throttle = Bench().throttle
    for kind in range(3 * MAX_COSTS):
        throttle.learn(kind, 1, 1e11, whole=True)
    costs = throttle.overview()["item_cost_seconds"]
    assert isinstance(costs, dict)
    assert (MAX_COSTS, 600.0) == (len(costs), max(costs.values()))
