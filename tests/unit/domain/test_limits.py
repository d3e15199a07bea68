"""Tests how the load of the pipeline is told."""

from service.domain.limits import Load


def test_a_load_tells_what_is_in_flight_first() -> None:
    """What waits comes second."""
    assert (2, 3) == Load(in_flight=2, waiting=3)
