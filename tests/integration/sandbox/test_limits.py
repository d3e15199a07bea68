"""Limits: pure arithmetic on a time that the tests make up."""

from tests.sandbox.limits import LeakyBucket, OperatingGauge


def test_bucket_takes_a_burst_and_then_one_request_per_drained_place() -> None:
    """Admit 50 at once, none more, and two a second from then on."""
    bucket = LeakyBucket(rate=2, burst=50)
    assert 50 == sum(bucket.admits(10.0) for _ in range(60))
    assert [False, True, False] == [bucket.admits(at) for at in (10.4, 10.5, 10.6)]
    assert [True, True, False] == [bucket.admits(11.6) for _ in range(3)]


def test_refused_request_does_not_fill_the_bucket() -> None:
    """Leave the level alone when refusing."""
    bucket = LeakyBucket(rate=1, burst=1)
    assert bucket.admits(0.0)
    assert not any(bucket.admits(0.5) for _ in range(100))
    assert bucket.admits(1.0)


def test_gauge_is_a_running_total_that_drops_minute_by_minute() -> None:
    """Forget a bucket ten minutes after its minute began."""
    gauge = OperatingGauge()
    gauge.add(30.0, 100.0)
    gauge.add(59.0, 20.0)
    gauge.add(61.0, 5.0)
    assert 125.0 == gauge.total(599.0)
    assert 600.0 == gauge.reset_at(599.0)
    assert 5.0 == gauge.total(600.0)
    assert 660.0 == gauge.reset_at(600.0)
    assert 0.0 == gauge.total(660.0)


def test_gauge_ignores_calls_of_a_tenth_of_a_second_and_less() -> None:
    """Count only calls that took longer than 0.1 s."""
    gauge = OperatingGauge()
    gauge.add(0.0, 0.1)
    assert 0.0 == gauge.total(0.0)
    gauge.add(0.0, 0.11)
    assert 0.11 == gauge.total(0.0)


def test_gauge_refuses_only_beyond_the_limit_and_until_enough_has_left() -> None:
    """Let the call that reaches the limit through and refuse the next one."""
    gauge = OperatingGauge()
    gauge.add(0.0, 420.0)
    assert not gauge.refuses(1.0, 420.0)
    gauge.add(2.0, 1.0)
    assert gauge.refuses(3.0, 420.0)
    assert not gauge.refuses(600.0, 420.0)


def test_ban_clears_the_buckets_and_lasts_its_time() -> None:
    """Refuse for 300 s, then start from nothing, as newer portals do."""
    gauge = OperatingGauge()
    gauge.add(0.0, 500.0)
    assert gauge.refuses(1.0, 420.0, 300.0)
    assert 0.0 == gauge.total(1.0)
    assert gauge.refuses(300.9, 420.0, 300.0)
    assert not gauge.refuses(301.0, 420.0, 300.0)
