"""Proves without a network that every lock is complete."""

import re
import tomllib
from collections.abc import Sequence
from importlib.metadata import distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tools.locks import (
    ROOT,
    Environment,
    Lock,
    environments,
    gaps,
    locks,
    pinned,
    pins,
    record,
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SUPPORTED = [
    found[1]
    for each in PROJECT["classifiers"]
    if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each))
]
EVERYWHERE = list(environments(SUPPORTED))
HERE = EVERYWHERE[0]


def where(environment: Environment) -> str:
    """Name an environment."""
    return f"{environment['python_version']}-{environment['sys_platform']}"


def gaps_anywhere(pins: Sequence[Requirement], roots: Sequence[str]) -> dict[str, list[str]]:
    """Return what is missing on any interpreter and system that we are for."""
    told = {where(each): gaps(pinned(pins, each), roots, record(), each) for each in EVERYWHERE}
    return {name: missing for name, missing in told.items() if missing}


@pytest.mark.parametrize("lock", locks(), ids=lambda lock: str(lock.path))
def test_a_lock_is_complete(lock: Lock) -> None:
    """Whatever a locked package requires is in the lock, in a version that it accepts."""
    assert {} == gaps_anywhere(lock.pins(), lock.roots)


def test_the_part_for_the_sandbox_is_complete() -> None:
    """The image takes the web server and what it needs out of the lock of the tests."""
    named = re.search(r"keep = /\^\(([a-z|-]+)\)==/", (ROOT / "Dockerfile").read_text())
    assert named
    lock = pins((ROOT / "tests/requirements.txt").read_text())
    kept = [pin for pin in lock if canonicalize_name(pin.name) in named[1].split("|")]
    assert {} == gaps_anywhere(kept, ["aiohttp"])


def test_the_record_is_of_what_is_locked() -> None:
    """A lock that was changed by hand, or a record that was not made anew, is found."""
    locked = {
        f"{canonicalize_name(pin.name)}{pin.specifier}" for lock in locks() for pin in lock.pins()
    }
    assert locked == record().keys()


def test_the_record_says_what_installed_packages_say() -> None:
    """What is installed here is the judge of what was written down."""
    installed = {
        f"{canonicalize_name(each.metadata['Name'])}=={each.version}": each.requires or []
        for each in distributions()
    }
    both = record().keys() & installed.keys()
    assert 60 < len(both)
    written = {name: sorted(record()[name]) for name in both}
    assert {name: sorted(installed[name]) for name in both} == written


@pytest.mark.parametrize(
    ("lock", "told"),
    [
        ("a==1 b==1 c==1", []),
        ("a==1 b==1", ['b==1 requires c>=1; extra == "more", and the lock has none']),
        ("a==1 c==1", ["a==1 requires b[more]<2, and the lock has none"]),
        ("b==1 c==1", ["the project requires a, and the lock has none"]),
        ("a==1 b==2 c==1", ["a==1 requires b[more]<2, and the lock has 2"]),
    ],
)
def test_a_gap_is_found(lock: str, told: list[str]) -> None:
    """A missing package, one that only an extra needs, a version that is not accepted."""
    requires = {
        "a==1": ["b[more]<2", "w ; sys_platform == 'win32'"],
        "b==1": ["c>=1 ; extra == 'more'", "e ; extra == 'less'"],
        "c==1": [],
    }
    versions = pinned(map(Requirement, lock.split()), HERE)
    assert told == gaps(versions, ["a"], requires, HERE)
