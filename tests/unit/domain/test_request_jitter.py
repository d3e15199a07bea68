"""Tests that requests which reach the portal out of step find its bucket full never."""

from dataclasses import dataclass

import pytest

from service.domain.pacing import JITTER_SECONDS, LeakyBucket

SECONDS = 400.0
PLANS = [(2.0, 50.0), (5.0, 250.0)]
"""What the portal's two plans allow: requests per second, and at once."""


@dataclass
class Portal:
    """Refuses the request that finds its bucket full, without counting it."""

    rate: float
    burst: float
    level: float = 0.0
    at: float = 0.0

    def admits(self, now: float) -> bool:
        """Take a request in, or refuse it."""
        self.level = max(0.0, self.level - (now - self.at) * self.rate)
        self.at = now
        if self.level + 1 > self.burst + 1e-9:
            return False
        self.level += 1
        return True


def departures(bucket: LeakyBucket) -> list[float]:
    """Let requests leave for some time as the bucket allows."""
    now, left = 1000.0, list[float]()
    while now < 1000.0 + SECONDS:
        while (wait := bucket.wait(now)) > 0:
            now += max(wait, 1e-9)
        bucket.take(now)
        left.append(now)
    return left


def refused(rate: float, burst: float, arrivals: list[float]) -> int:
    """Count what a portal refuses."""
    portal = Portal(rate, burst, at=min(arrivals))
    return sum(not portal.admits(each) for each in sorted(arrivals))


@pytest.mark.parametrize(("rate", "burst"), PLANS)
@pytest.mark.parametrize("turn", [1000.0 + second for second in (5, 25, 48, 100, 250)])
def test_the_worst_jitter_costs_no_refusal(rate: float, burst: float, turn: float) -> None:
    """All that left before a moment arrives a second late, all that left after it early."""
    left = departures(LeakyBucket.with_reserve(rate, burst))
    late, early = JITTER_SECONDS, -JITTER_SECONDS
    assert 0 == refused(rate, burst, [each + (late if each < turn else early) for each in left])


@pytest.mark.parametrize(("rate", "burst"), PLANS)
def test_without_a_reserve_the_same_jitter_is_refused(rate: float, burst: float) -> None:
    """So these tests can fail."""
    left = departures(LeakyBucket(rate, burst - 1))
    turn = left[int(burst) + 20]
    assert 0 < refused(rate, burst, [each + (1.0 if each < turn else -1.0) for each in left])


@pytest.mark.parametrize(("rate", "burst"), PLANS)
def test_the_reserve_costs_no_throughput(rate: float, burst: float) -> None:
    """Once the first burst is out, requests leave at the portal's whole rate."""
    left = departures(LeakyBucket.with_reserve(rate, burst))
    steady = [each for each in left if each >= 1100.0]
    assert rate == pytest.approx((len(steady) - 1) / (steady[-1] - steady[0]), rel=0.001)


def test_a_tiny_bucket_still_lets_one_request_through() -> None:
    """No portal has such a bucket; the rate is never touched."""
    bucket = LeakyBucket.with_reserve(2.0, 3.0)
    assert (2.0, 1.0) == (bucket.rate, bucket.burst)


def test_the_portals_word_holds_every_request_until_its_time_is_over() -> None:
    """However empty the bucket is; a shorter word afterwards shortens nothing."""
    bucket = LeakyBucket(rate=2.0, burst=50.0)
    bucket.hold(30.0, 100.0)
    bucket.hold(5.0, 101.0)
    assert [30.0, 10.0, 0.0] == [bucket.wait(at) for at in (100.0, 120.0, 130.0)]


def test_at_most_an_hour_of_rest_is_believed() -> None:
    """Also when our clock jumps back."""
    bucket = LeakyBucket(rate=2.0, burst=50.0)
    bucket.hold(1e9, 100.0)
    assert [3600.0, 3600.0] == [bucket.held(at) for at in (100.0, -1e6)]
