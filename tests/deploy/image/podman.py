"""Builds images and runs containers, in a storage that is ours alone."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

import pytest

from tests.deploy.tools import tool
from tests.support.patience import Deadline

ROOT = Path(__file__).parents[3]
INSTALLER = "tests/tools/containers.sh"
PROGRAMS = ("buildah", "podman", "runc", "catatonit", "iptables")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
HOME = CACHE / "crm-importer/containers"
CERTIFICATES = Path("/etc/ssl/certs")
BASE = "docker.io/library/python:3.13-slim-trixie"
IMPORTER = "localhost/crm-importer"
SANDBOX = "localhost/crm-importer-sandbox"
BUILD_SECONDS, RUN_SECONDS = 600.0, 120.0
POLL_SECONDS = 0.1


class ContainerError(AssertionError):
    """A container or an image was not what a test needs; its words are the message."""


@cache
def environment() -> dict[str, str]:
    """Return what the programs need to know; skip, or fail in CI, where they are missing."""
    for program in PROGRAMS:
        tool(program, INSTALLER)
    if os.geteuid() != 0 or not (HOME / "containers.conf").exists():
        tell = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        tell(f"containers are not prepared: run {INSTALLER} as root")
    return {
        "BUILDAH_ISOLATION": "chroot",
        "CONTAINERS_CONF": str(HOME / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(HOME / "storage.conf"),
        "HOME": str(Path.home()),
        "PATH": os.environ["PATH"],
    }


def run(
    *command: str | Path,
    timeout: float = RUN_SECONDS,
    stdin: str | None = None,
    expected: int | None = 0,
) -> subprocess.CompletedProcess[str]:
    """Run one command of podman or buildah; any code will do where none is expected."""
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=environment(),
        # Whose memory runs out leaves a file where podman was called.
        cwd=HOME,
    )
    if expected is not None and done.returncode != expected:
        words = (done.stdout + done.stderr)[-3000:]
        raise ContainerError(f"{' '.join(map(str, command))}: {done.returncode}\n{words}")
    return done


def podman(*arguments: str | Path, **more: Any) -> str:
    """Run podman and return what it printed."""
    return run("podman", *arguments, **more).stdout.strip()


@cache
def build(image: str, *options: str) -> str:
    """Build a stage of the Dockerfile, once, and return the image's name."""
    wheres: list[str] = []
    if CERTIFICATES.is_dir():
        # A package index may be signed by an authority that only this machine trusts.
        wheres += ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
    if (own := _pip_settings()) is not None:
        wheres += ["--volume", f"{own}:/etc/pip.conf:ro"]
    # The stand-in has the name of the base image, and another digest.
    wheres += ["--build-arg", f"PYTHON_IMAGE={BASE}"]
    where = ("--pull-never", "--network", "host", *wheres)
    run("buildah", "bud", *where, *options, "--tag", image, ROOT, timeout=BUILD_SECONDS)
    # What had that name before.
    podman("image", "prune", "--force")
    return image


def _pip_settings() -> Path | None:
    """Write down this machine's own package index, if it has one."""
    said = subprocess.run(
        [tool("python3"), "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode or not said.stdout.startswith("http"):
        return None
    path = HOME / "pip.conf"
    path.write_text(f"[global]\nindex-url = {said.stdout}")
    return path


def inspect(image: str) -> dict[str, Any]:
    """Return what podman knows of an image."""
    (found,) = json.loads(podman("image", "inspect", image))
    return dict(found)


def address(container: str) -> str:
    """Return a container's address in the one network that it is in."""
    (found,) = json.loads(podman("container", "inspect", container))
    ((_, network),) = found["NetworkSettings"]["Networks"].items()
    return str(network["IPAddress"])


def logs(container: str) -> str:
    """Return everything that a container wrote."""
    done = run("podman", "logs", container)
    return done.stdout + done.stderr


class Container:
    """Runs one container until the `with` block ends."""

    def __init__(self, image: str, *command: str, options: Sequence[str] = ()) -> None:
        self.name = f"crm-importer-test-{uuid.uuid4().hex[:8]}"
        self._command = ["run", "--detach", "--name", self.name, *options, image, *command]

    def __enter__(self) -> Self:
        """Start it."""
        podman(*self._command)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it, running or not."""
        podman("rm", "--force", "--time", "0", "--volumes", self.name, expected=None)

    @property
    def state(self) -> dict[str, Any]:
        """Return whether it runs, as which process, and how it ended."""
        (found,) = json.loads(podman("container", "inspect", self.name))
        return dict(found["State"])

    @property
    def pid(self) -> int:
        """Return the id of its first process, as this machine counts."""
        return int(self.state["Pid"])

    @property
    def address(self) -> str:
        """Return its address in the one network that it is in."""
        return address(self.name)

    def logs(self) -> str:
        """Return everything that it wrote."""
        return logs(self.name)

    def execute(self, *command: str, expected: int | None = 0) -> str:
        """Run another command in it."""
        return podman("exec", self.name, *command, expected=expected)

    def ask(self, path: str) -> tuple[int, str]:
        """Ask its port from inside: status and body."""
        code, _, body = self.execute("python", "-c", ASK, path).partition(" ")
        return int(code), body

    def wait_until_answers(self, path: str, wanted: int, timeout: float = 30.0) -> str:
        """Wait until a path answers as wanted; return the body."""
        deadline = Deadline(timeout)
        while (answer := self.ask(path))[0] != wanted:
            if deadline.passed:
                raise ContainerError(f"{path}: {answer}\n{self.logs()[-3000:]}")
            time.sleep(POLL_SECONDS)
        return answer[1]

    def stop(self, grace: int) -> tuple[int, float]:
        """Stop it as a kubelet does: SIGTERM, the grace, SIGKILL; return exit code and seconds."""
        started = time.monotonic()
        podman("stop", "--time", str(grace), self.name, timeout=grace + RUN_SECONDS)
        return int(self.state["ExitCode"]), time.monotonic() - started


ASK = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen("http://127.0.0.1:8080" + sys.argv[1], timeout=3)
except urllib.error.HTTPError as error:
    answer = error
except OSError:
    sys.exit(print(0, end=" "))
print(answer.status, answer.read().decode(), end="")
"""
