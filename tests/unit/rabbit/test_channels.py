"""Proves that frames wait where there is no room, and come out as they came in."""

import asyncio

from service.rabbit.channels import Frames


async def test_frames_come_out_in_order_whoever_is_first() -> None:
    """The reader may wait for a frame, the connection for room; both go on."""
    frames, taken = Frames(2), []

    async def read() -> None:
        for _ in range(5):
            taken.append(await frames.get())
            frames.task_done()

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    for number in range(5):
        await frames.put(number)
    await reader
    assert [0, 1, 2, 3, 4] == taken


async def test_what_has_no_room_waits() -> None:
    """A slow reader holds the connection back, as with the library's own queue."""
    frames = Frames(1)
    await frames.put("first")
    waits = asyncio.create_task(frames.put("second"))
    await asyncio.sleep(0)
    assert (False, True) == (waits.done(), frames.full())
    assert "first" == await frames.get()
    await waits
    assert "second" == await frames.get()
    assert frames.empty()
