"""Runs the simulated portal as a program until it is asked to stop."""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from tests.sandbox import Fault, Portal, Settings, running_portal


def main() -> int:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on, 0 for any")
    parser.add_argument("--settings", default="{}", help="settings as JSON, or @FILE")
    parser.add_argument("--faults", default="[]", help="faults as a JSON list, or @FILE")
    options = parser.parse_args()
    try:
        settings = Settings().patched(_json(options.settings))
        faults = [Fault.parse(item) for item in _json(options.faults)]
    except (ValueError, TypeError, OSError) as mistake:
        parser.error(str(mistake))
    asyncio.run(_serve(Portal(settings, *faults), options.host, options.port))
    return 0


async def _serve(portal: Portal, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running_portal(portal, host=host, port=port) as address:
        sys.stdout.write(f"listening {address}\n")
        sys.stdout.flush()
        await stop.wait()


def _json(text: str) -> Any:  # noqa: ANN401 - checked by the reader of the settings or faults
    return json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)


if __name__ == "__main__":
    sys.exit(main())
