"""Runs the importer as it is, but with a bug, and as if its container had little memory.

The bug strikes at each message that contains the word; the limit is in HURT_MEMORY_BYTES.
"""

import os
import sys

from service.commands import cli
from service.domain.events import ItemEvent, Malformed
from service.rabbit.decoding import Decoder, Incoming
from service.telemetry import metrics

WORD = b"a bug strikes here"
LIMIT = "HURT_MEMORY_BYTES"


def main() -> int:
    """Be the importer."""
    decode = Decoder.decode

    def stumble(decoder: Decoder, message: Incoming) -> ItemEvent | Malformed:
        if WORD in message.body:
            raise KeyError("a bug")
        return decode(decoder, message)

    setattr(Decoder, "decode", stumble)  # noqa: B010 - mypy allows no plain assignment
    setattr(metrics, "memory_limit", lambda: int(os.environ[LIMIT]))  # noqa: B010 - as above
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
