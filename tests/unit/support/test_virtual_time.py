"""Made-up time: who never waits, or hardly ever, is found out at once."""

import asyncio

import pytest

from tests.virtual_time import Standstill, now, run


async def looks(every: float, times: int) -> float:
    """Look again and again; return how long that took."""
    began = now()
    for _ in range(times):
        await asyncio.sleep(every)
    return now() - began


@pytest.mark.parametrize("every", [0.0, 0.001])
def test_who_looks_again_and_again_stands_still(every: float) -> None:
    """A thousand looks a second are too many, also where time passes a little at each."""
    with pytest.raises(Standstill, match="hardly ever waits"):
        run(looks(every, 5_000), most_a_second=500)


def test_who_waits_between_looks_comes_to_the_end() -> None:
    """The bound counts each second for itself."""
    assert 50.0 == pytest.approx(run(looks(0.01, 5_000), most_a_second=500))


def test_who_waits_for_nothing_stands_still() -> None:
    """A task that nobody will wake is no history that ended."""
    with pytest.raises(Standstill, match="will not happen"):
        run(asyncio.Event().wait())
