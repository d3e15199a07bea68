"""Runs checks in forks of a process that has read the libraries already, which take most of it.

Nothing of the service nor of its tests is read before the fork: a check reads these with the
defect that is in them by then. One JSON object a line: `command` and `output` come, `code` goes.
"""

import importlib
import json
import os
import runpy
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

LIBRARIES = (
    *("pytest", "pytest_asyncio.plugin", "xdist.plugin", "pytest_cov.plugin", "pytest_timeout"),
    *("hypothesis.strategies", "_hypothesis_pytestplugin", "anyio.pytest_plugin", "pygments"),
    *("aio_pika", "aiormq", "httpx", "jiter", "msgspec", "pamqp.commands", "prometheus_client"),
    *("pydantic", "pydantic_settings", "rich.console", "structlog", "uvloop", "yarl", "uuid"),
)
LOOK_SECONDS = 0.02
NO_END = -1


def main() -> None:
    """Run what comes, one after another, until nothing comes any more."""
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            _run(asked["command"], Path(asked["output"]))
        print(json.dumps({"code": _code_of(child, asked["seconds"])}), flush=True)


def _run(command: list[str], output: Path) -> NoReturn:
    """Be `python -m` with these arguments, and end."""
    os.setsid()
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code: object = 0
    try:
        sys.argv = [*command]
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException as error:  # noqa: BLE001 - as Python does with what nobody catches
        sys.stderr.write(f"{error!r}\n")
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _code_of(child: int, seconds: float) -> int:
    """Return the exit code of a check; it is ended where it lasts too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(LOOK_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return NO_END


if __name__ == "__main__":
    main()
