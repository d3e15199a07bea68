"""Reads the locks, and tells what a lock lacks on any interpreter and system it is for.

`python -m tests.tools.locks` asks the index once more what every locked package requires and
writes it to requires.json: so a test without a network can hold every lock complete.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).with_name("requires.json")
PINNED = re.compile(r"^(?P<requirement>\S+==[^\\\n]+)", re.MULTILINE)
SYSTEMS = (("linux", "Linux", "posix"), ("darwin", "Darwin", "posix"), ("win32", "Windows", "nt"))

Requires = Mapping[str, Sequence[str]]
"""What each package, named as `name==version`, says that it requires."""
Environment = dict[str, str]


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock and the requirements that it was made for."""

    path: str
    roots: Sequence[str]

    def pins(self) -> list[Requirement]:
        """Return every package it names."""
        return pins((ROOT / self.path).read_text())


def locks() -> list[Lock]:
    """Return every lock of the project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    image = [*project["project"]["dependencies"], *extras["console"]]
    tracing = [*image, *extras["tracing"]]
    return [
        Lock("deploy/requirements.txt", image),
        Lock("deploy/requirements-tracing.txt", tracing),
        Lock("tests/requirements.txt", [*tracing, *project["dependency-groups"]["dev"]]),
        Lock("tests/benchmarks/requirements.txt", _listed("tests/benchmarks/requirements.in")),
        Lock("tests/audit/requirements.txt", _listed("tests/audit/requirements.in")),
    ]


def _listed(path: str) -> list[str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / path).read_text().splitlines()]
    return [line for line in lines if line]


def environments(versions: Iterable[str]) -> Iterator[Environment]:
    """Yield what markers are judged by, for each of these Pythons on each system."""
    for version in versions:
        for platform, system, name in SYSTEMS:
            yield {key: str(value) for key, value in default_environment().items()} | {
                "python_version": version,
                "python_full_version": f"{version}.0",
                "sys_platform": platform,
                "platform_system": system,
                "os_name": name,
            }


def pins(lock: str) -> list[Requirement]:
    """Return every package that the text of a lock names."""
    return [required(found.strip()) for found in PINNED.findall(lock)]


@cache
def required(text: str) -> Requirement:
    """Read a requirement; many packages name the same."""
    return Requirement(text)


def pinned(pins: Iterable[Requirement], environment: Environment) -> dict[str, str]:
    """Return the version of each package that is installed in an environment."""
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(environment)
    }


def gaps(
    versions: Mapping[str, str],
    roots: Sequence[str],
    requires: Requires,
    environment: Environment,
) -> list[str]:
    """Return what is required and not there, each by whom.

    `versions` is what a lock installs in the environment, `roots` what it was made for. Extras
    count as soon as anybody asks for them.
    """
    found: list[str] = []
    asked = [("the project", Requirement(root), "") for root in roots]
    seen = set()
    while asked:
        by, requirement, extra = asked.pop()
        name = canonicalize_name(requirement.name)
        marker, key = requirement.marker, (by, str(requirement), extra)
        if key in seen or (marker and not marker.evaluate(environment | {"extra": extra})):
            continue
        seen.add(key)
        version = versions.get(name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            found.append(f"{by} requires {requirement}, and the lock has {version or 'none'}")
            continue
        own = f"{name}=={version}"
        for each in ("", *requirement.extras):
            asked += [(own, required(text), each) for text in requires[own]]
    return found


@cache
def record() -> dict[str, list[str]]:
    """Return what was written down of every locked package."""
    written: dict[str, list[str]] = json.loads(RECORD.read_text())
    return written


def main() -> None:
    """Write the record anew."""
    requires: dict[str, list[str]] = {}
    for lock in locks():
        named = {f"{canonicalize_name(pin.name)}{pin.specifier}" for pin in lock.pins()}
        requires |= _asked(sorted(named - requires.keys()))
    RECORD.write_text(json.dumps(requires, indent=1, sort_keys=True) + "\n")


def _asked(wanted: Sequence[str]) -> dict[str, list[str]]:
    """Ask the index what releases require; nothing is installed."""
    with tempfile.TemporaryDirectory() as folder:
        listed, report = Path(folder, "wanted.txt"), Path(folder, "report.json")
        listed.write_text("\n".join(wanted))
        command = [sys.executable, "-m", "pip", "install", "-qq", "--dry-run", "--no-deps"]
        options = ["--ignore-installed", "--report", str(report), "--requirement", str(listed)]
        subprocess.run([*command, *options], check=True)
        told = [each["metadata"] for each in json.loads(report.read_text())["install"]]
    return {
        f"{canonicalize_name(each['name'])}=={each['version']}": each.get("requires_dist", [])
        for each in told
    }


if __name__ == "__main__":
    main()
