"""Makes the container of a rendered pod as a plain process: its variables, its mounted files."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath

from tests.deploy.static.environment import variables
from tests.deploy.static.manifests import render
from tests.support.child_process import Scratch
from tests.support.environment import QUICK, Environment
from tests.support.processes import ServiceProcess


class Container(ServiceProcess):
    """Runs the importer, or a module that runs it."""

    def __init__(
        self, settings: Mapping[str, str], module: str = "service", args: Sequence[str] = ("run",)
    ) -> None:
        super().__init__(settings)
        self._command = [sys.executable, "-m", module, *args]


@contextmanager
def container(
    environment: Environment, module: str = "service", env: Mapping[str, str] | None = None
) -> Iterator[Container]:
    """Lend one with production's variables and files, for this environment and its short times."""
    with Scratch.make("mount") as mounted:
        files = {
            "rabbit_url": environment.broker.url(environment.vhost),
            "webhook_url": environment.portal.webhook_url,
        }
        for name, text in files.items():
            (mounted.path / name).write_text(text + "\n")
        given = {
            name: str(mounted.path / PurePosixPath(value).name) if is_file(name) else value
            for name, value in variables(render("production"))
        }
        # Of the manifest, only what concerns the machine: every test has a port of its own.
        own = {name: value for name, value in given.items() if name != "IMPORTER_HTTP__PORT"}
        process = Container({**own, **QUICK, **(env or {})}, module)
        try:
            yield process
        finally:
            process.close()


def is_file(name: str) -> bool:
    """Tell whether a variable names a mounted file."""
    return name.endswith("_FILE")
