"""Takes the broker's frames out of what one read of a connection brings.

The client library reads each frame in three pieces, and looks up the kind of each of its members.
That costs a tenth of an event. Here one read brings many frames, and the two methods that come
with every event, delivery and confirm, are read at once. All others are left to the library.
"""

import asyncio
import struct
from typing import Final, NoReturn

import aiormq.connection
import pamqp.frame
from aiormq.connection import FrameReceiver, ReceivedFrame
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError, ProtocolSyntaxError
from pamqp import constants, decode
from pamqp.commands import Basic
from pamqp.exceptions import PAMQPException

from service.rabbit.channels import DirectChannel
from service.rabbit.wire import short_string, text, unmarshal

READ_BYTES: Final = 65_536
_HEAD: Final = struct.Struct(">BHI")
_METHOD: Final = struct.Struct(">BHII")
"""The same with the number of a method, which its members follow."""
_TAG: Final = struct.Struct(">QB")
"""A delivery tag, and the bits behind it."""
_SPOKEN: Final = b"AMQP"
"""What a broker says that wants another version, instead of a frame."""


class FrameReader(FrameReceiver):
    """Reads frames, as the library's own reader does; in its place by `read_everything`."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        """Read from a stream, from its beginning."""
        super().__init__(reader)
        self._came = b""
        self._at = 0

    async def get_frame(self) -> ReceivedFrame:
        """Return the next frame; raises AMQPError also where the line ends between two frames.

        The library's own reader ends its iteration there, which nobody expects amid a greeting.
        """
        while True:
            came, at = self._came, self._at
            if len(came) >= at + _HEAD.size:
                end = at + _HEAD.size + _HEAD.unpack_from(came, at)[2] + 1
                if len(came) >= end:
                    self._at = end
                    return read(came[at:end])
            await self._read_more()

    __anext__ = get_frame

    async def _read_more(self) -> None:
        """Wait for more bytes; raises AMQPError when none will come."""
        left = self._came[self._at :]
        try:
            more = await self.reader.read(READ_BYTES)
        except OSError as error:
            raise AMQPConnectionError(f"Server communication error: {error!r}") from error
        if not more:
            _cut_off(len(left))
        self._came, self._at = left + more, 0
        if not self.started and self._came.startswith(_SPOKEN):
            raise ProtocolSyntaxError("Unexpected AMQP protocol header")
        self.started = len(self._came) >= len(_SPOKEN)


def _cut_off(came: int) -> NoReturn:
    raise AMQPConnectionError(
        f"Server connection unexpectedly closed. Read {came} bytes of a frame"
    )


def read(data: bytes) -> ReceivedFrame:
    """Read one whole frame: its bytes, its channel, its content; raises InvalidFrameError."""
    try:
        if data[0] == constants.FRAME_METHOD and data[-1] == constants.FRAME_END:
            _, channel, _, index = _METHOD.unpack_from(data)
            if index == Basic.Deliver.index:
                return len(data), channel, _delivery(data)
            if index == Basic.Ack.index:
                tag, bits = _TAG.unpack_from(data, _METHOD.size)
                return len(data), channel, Basic.Ack(tag, bool(bits & 1))
        return unmarshal(data)
    except (PAMQPException, struct.error, IndexError) as error:
        raise InvalidFrameError(str(error)) from error


def _delivery(data: bytes) -> Basic.Deliver:
    """Read a delivery; its names may be any bytes."""
    frame = Basic.Deliver.__new__(Basic.Deliver)
    at = _METHOD.size
    end = at + 1 + data[at]
    frame.consumer_tag = text(data[at + 1 : end])
    frame.delivery_tag, bits = _TAG.unpack_from(data, end)
    frame.redelivered = bool(bits & 1)
    at = end + _TAG.size
    end = at + 1 + data[at]
    frame.exchange = text(data[at + 1 : end])
    frame.routing_key = text(data[end + 1 : end + 1 + data[end]])
    return frame


def read_everything() -> None:
    """Have the client library read frames this way, in this process, from now on."""
    setattr(aiormq.connection, "FrameReceiver", FrameReader)  # noqa: B010 - a class, to the type checker
    setattr(aiormq.connection, "Channel", DirectChannel)  # noqa: B010 - likewise
    setattr(pamqp.frame, "unmarshal", unmarshal)  # noqa: B010 - a function, to the type checker
    # Keys and names of exchanges come in other frames; so do words of the broker, cut anywhere.
    decode.METHODS["shortstr"] = short_string
