"""Runs the importer as it is, but acknowledgements can be made late from outside, by SIGUSR1.

From then on they are held back until the line is cut. Otherwise a cut falls between an outcome
and its acknowledgement by chance only.
"""

import asyncio
import signal
import sys

from service.commands import cli
from service.rabbit.acks import AckBatcher

MOMENT_SECONDS = 0.02


def main() -> int:
    """Be the importer."""
    flush, late = AckBatcher.flush, asyncio.Event()

    async def flush_late(acks: AckBatcher) -> None:
        while late.is_set() and acks.live:  # noqa: ASYNC110 - nobody is told when a channel ends
            await asyncio.sleep(MOMENT_SECONDS)
        late.clear()
        await flush(acks)

    setattr(AckBatcher, "flush", flush_late)  # noqa: B010 - mypy allows no plain assignment
    signal.signal(signal.SIGUSR1, lambda *_: late.set())
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
