"""Runs the importer as it is, but frozen by SIGSTOP when its first import is about to be sent.

Its last check is behind it then: what the process does next, whenever it goes on, is to send.
"""

import asyncio
import os
import signal
import sys
from typing import cast

from anyio._backends import _asyncio as backend

from service.commands import cli

CALL = b"crm.item.batchImport"


class Freezing:
    """Hands everything on to a transport, but stands still before the body of an import."""

    frozen = False

    def __init__(self, transport: asyncio.Transport) -> None:
        """Stand in for a transport."""
        self._transport = transport
        self._begun = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write; the body of the first import only after somebody has sent SIGCONT."""
        if self._begun and not Freezing.frozen:
            Freezing.frozen = True
            os.kill(os.getpid(), signal.SIGSTOP)
        self._begun = CALL in data
        self._transport.write(data)


def main() -> int:
    """Be the importer."""
    make = backend.SocketStream.__init__

    def wrapped(
        stream: backend.SocketStream,
        transport: asyncio.Transport,
        protocol: backend.StreamProtocol,
    ) -> None:
        make(stream, cast("asyncio.Transport", Freezing(transport)), protocol)

    setattr(backend.SocketStream, "__init__", wrapped)  # noqa: B010 - mypy allows no plain assignment
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
