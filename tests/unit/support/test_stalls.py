"""Proves that a stalled task goes on later, and can be ended meanwhile."""

import asyncio
import random

import pytest

from service.rabbit.memory_reading import within
from tests.stalls import Stalls
from tests.virtual_time import START, now, run


@pytest.mark.parametrize(("share", "late"), [(0.0, False), (1.0, True)])
@pytest.mark.parametrize("ends", [True, False])
def test_a_stalled_task_goes_on_later(share: float, *, late: bool, ends: bool) -> None:
    """A task of the service, wherever it waits; what ends it in a stall ends it at once."""

    async def story() -> float:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        stalls = Stalls(random.Random(1), share=share, longest=0.5, until=START + 60.0)
        stalls.at_tasks_of(loop)
        task = asyncio.create_task(within(50.0, event))
        await asyncio.sleep(0.9)
        loop.call_soon(event.set)
        if not ends:
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        else:
            assert await task
        return now() - START

    took = run(story())
    assert (took > 0.9) is (late and ends)
    assert took < 2.0
