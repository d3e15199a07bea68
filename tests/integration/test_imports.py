"""Imports: loading any module does nothing but load it."""

import json
import subprocess
import sys

import pytest

PROGRAM = r"""
import json, os, pkgutil, sys, threading

seen = {"reads": [], "writes": [], "sockets": [], "children": []}
ready = False


def watch(event, arguments):
    if not ready:
        return
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen["writes"].append(str(arguments[0]))
    elif event in {"socket.bind", "socket.connect", "socket.getaddrinfo"}:
        seen["sockets"].append(event)
    elif event in {"subprocess.Popen", "os.fork", "os.system"}:
        seen["children"].append(event)


def reader():
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__") in {"os", "_collections_abc"}:
        frame = frame.f_back
    return frame.f_globals.get("__name__", "")


class Environment(os._Environ):
    def __getitem__(self, name):
        if ready and reader().startswith(("service", "pydantic_settings")):
            seen["reads"].append(name)
        return super().__getitem__(name)


os.environ.__class__ = Environment
os.environ["IMPORTER_BATCH__SLOTS"] = "not a number"
sys.dont_write_bytecode = True
sys.addaudithook(watch)
import service

ready = True
names = [
    each.name
    for each in pkgutil.walk_packages(service.__path__, "service.")
    if not each.name.endswith("__main__")
]
for name in names:
    __import__(name)
ready = False
seen["threads"] = [each.name for each in threading.enumerate()][1:]
seen["modules"] = len(names)
print(json.dumps(seen))
"""


@pytest.mark.no_cover  # measuring has effects of its own
def test_importing_any_module_has_no_effect() -> None:
    """Read no setting, write no file, open no socket, start no thread and no process."""
    done = subprocess.run(  # the program above is ours
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    seen = json.loads(done.stdout)
    assert 20 < seen.pop("modules")
    assert {"reads": [], "writes": [], "sockets": [], "children": [], "threads": []} == seen
    assert "" == done.stderr


SPARED = """
import sys
from service.commands.cli import spare_memory

spare_memory()
import service.app, service.telemetry.logs
print({"rich", "pygments", "click"} & sys.modules.keys() or "none", "structlog" in sys.modules)
import rich.console
"""


def test_what_nobody_uses_takes_no_memory() -> None:
    """A running service has read no module that is only for people at a terminal."""
    done = subprocess.run(  # the program above is ours
        [sys.executable, "-c", SPARED], capture_output=True, text=True, check=True, timeout=60
    )
    assert "none True\n" == done.stdout
