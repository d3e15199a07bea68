"""Runs the importer as it is, but its main loop can be blocked from outside by SIGUSR1.

The handler runs in the main thread, between two steps of the loop, and sleeps there, as careless
synchronous code would. The health port's thread goes on, and must tell.
"""

import os
import signal
import sys
import time

from service import health
from service.commands import cli

BLOCK, STALE = "TEST_BLOCK_SECONDS", "TEST_STALE_SECONDS"


def main() -> int:
    """Take the test's two numbers, then be the importer."""
    block = float(os.environ[BLOCK])
    health.STALE_SECONDS = float(os.environ[STALE])
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep(block))
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
