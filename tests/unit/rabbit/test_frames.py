"""Frames: however their bytes come, each is read once and as the client library reads it."""

import asyncio

import pamqp.frame
import pytest
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError, ProtocolSyntaxError
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel, Connection
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from service.rabbit.frames import FrameReader, read
from service.rabbit.wire import Escaped

LIBRARY = pamqp.frame.unmarshal
FRAMES: list[FrameTypes] = [
    Basic.Deliver("ctag", 2**62, redelivered=True, exchange="crm.items", routing_key="item.2"),
    Basic.Deliver("c" * 255, 1, redelivered=False, exchange="", routing_key=""),
    ContentHeader(body_size=3, properties=Basic.Properties(message_id="m", priority=3)),
    ContentBody(b"{}\xce"),
    Basic.Ack(7, multiple=True),
    Basic.Ack(2**62, multiple=False),
    Basic.Nack(8, multiple=False, requeue=True),
    Heartbeat(),
    Channel.Close(404, "not there", 60, 10),
    Connection.Blocked("memory"),
]
WRITTEN = [pamqp.frame.marshal(each, 3) for each in FRAMES]


def members(frame: FrameTypes) -> dict[str, object]:
    """Return what a frame says."""
    names = [*getattr(frame, "__slots__", ()), *getattr(frame, "__dict__", ())]
    return {name: getattr(frame, name) for name in names}


async def frames_of(*pieces: bytes) -> list[tuple[int, int, FrameTypes]]:
    """Read all frames of a connection that brings its bytes in pieces, and then ends."""
    stream = asyncio.StreamReader()
    found: list[tuple[int, int, FrameTypes]] = []

    async def bring() -> None:
        for piece in pieces:
            stream.feed_data(piece)
            await asyncio.sleep(0)
        stream.feed_eof()

    bringing = asyncio.create_task(bring())
    reader = FrameReader(stream)
    try:
        while len(found) < len(FRAMES):
            found.append(await anext(reader))
    finally:
        await bringing
    return found


@pytest.mark.parametrize("size", [1, 2, 7, 8, 13, 100, 10_000])
async def test_frames_are_read_as_the_library_reads_them(size: int) -> None:
    """In whatever pieces they come."""
    written = b"".join(WRITTEN)
    found = await frames_of(*(written[at : at + size] for at in range(0, len(written), size)))
    assert len(FRAMES) == len(found)
    for ours, theirs in zip(found, map(LIBRARY, WRITTEN), strict=True):
        assert theirs[:2] == ours[:2]
        assert type(theirs[2]) is type(ours[2])
        if isinstance(theirs[2], ContentHeader):
            continue  # tests/unit/rabbit/test_wire.py
        assert members(theirs[2]) == members(ours[2])


@pytest.mark.parametrize("left", [1, 6, 7, 12])
async def test_a_connection_that_ends_within_a_frame_is_an_error(left: int) -> None:
    """Also where it ends while a frame is waited for: the library expects no end."""
    with pytest.raises(AMQPConnectionError, match=f"Read {left} bytes of a frame"):
        await frames_of(WRITTEN[0], WRITTEN[0][:left])
    with pytest.raises(AMQPConnectionError, match="Read 0 bytes"):
        await frames_of(WRITTEN[0])


async def test_a_line_that_has_ended_already_is_an_error() -> None:
    """Its end comes together with the last frame."""
    stream = asyncio.StreamReader()
    stream.feed_data(WRITTEN[0])
    stream.feed_eof()
    reader = FrameReader(stream)
    await reader.get_frame()
    with pytest.raises(AMQPConnectionError, match="Read 0 bytes"):
        await reader.get_frame()


async def test_a_broker_that_wants_another_version_is_told_apart() -> None:
    """It says so instead of the first frame."""
    with pytest.raises(ProtocolSyntaxError):
        await frames_of(b"AM", b"QP\x00\x01\x00\x00")


def test_names_that_are_not_utf_8_are_read_all_the_same() -> None:
    """Of a delivery, as of all other frames."""
    written = pamqp.frame.marshal(Basic.Deliver("c", 1, False, "x", "item.2"), 1)  # noqa: FBT003
    _, _, frame = read(written.replace(b"item.2", b"item\xff2"))
    assert isinstance(frame, Basic.Deliver)
    assert Escaped("item\\xff2") == frame.routing_key
    assert isinstance(frame.routing_key, Escaped)


@pytest.mark.parametrize(
    "written",
    [
        WRITTEN[0][:-1] + b"x",
        b"\1\0\3\0\0\0\2\0<\xce",
        b"\1\0\3\0\0\0\4\0<\0<\xce",
        b"\1\0\3\0\0\0\4\0<\0P\xce",
        b"\1\0\3\0\0\0\4\0\xff\0\xff\xce",
        b"\7\0\3\0\0\0\1x\xce",
    ],
)
def test_a_broken_frame_is_an_error_of_the_protocol(written: bytes) -> None:
    """As the library's, so that the connection is made again."""
    with pytest.raises(InvalidFrameError):
        read(written)
