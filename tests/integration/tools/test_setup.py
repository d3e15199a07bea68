"""Proves that the environment is what the lock lists, whatever the index has on offer."""

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import ROOT

SETUP = ROOT / "tests/tools/setup.sh"
SYSTEM = Path("/usr/bin/python3")
UNREACHABLE = "http://127.0.0.1:1/simple"


def can_make_environments(python: Path) -> bool:
    """Tell whether an interpreter is one that we support, with its own pip."""
    asked = "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))"
    return python.exists() and not subprocess.run([python, "-c", asked], check=False).returncode


PYTHONS = [Path(sys.executable), *([SYSTEM] if can_make_environments(SYSTEM) else [])]
"""The pip of Debian 12's interpreter is the oldest that is supported; each brings its own."""


@dataclass
class Index:
    """A package index in a folder, and a lock for it."""

    folder: Path

    def offer(self, name: str, version: str, *requires: str, extra: str = "") -> str:
        """Add a wheel; return the line of a lock that pins it."""
        packed = self.folder / "simple" / name / f"{name}-{version}-py3-none-any.whl"
        packed.parent.mkdir(parents=True, exist_ok=True)
        about = f"{name}-{version}.dist-info"
        headers = [f"Requires-Dist: {each}\n" for each in requires]
        if extra:
            headers.append(f"Provides-Extra: {extra}\n")
        files = {
            f"{name}.py": f"version = '{version}'\n",
            f"{about}/METADATA": "".join(
                [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", *headers]
            ),
            f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        listed = [f"{path},{_digest(text)},{len(text)}\n" for path, text in files.items()]
        files[f"{about}/RECORD"] = "".join(listed)
        with zipfile.ZipFile(packed, "w") as wheel:
            for path, text in files.items():
                wheel.writestr(path, text)
        links = [f'<a href="{each.name}">{each.name}</a>' for each in packed.parent.glob("*.whl")]
        (packed.parent / "index.html").write_text("\n".join(links))
        found = hashlib.sha256(packed.read_bytes()).hexdigest()
        return f"{name}=={version} --hash=sha256:{found}\n"

    @property
    def address(self) -> str:
        """Where pip finds it."""
        return (self.folder / "simple").as_uri()


Setup = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Lend an empty index."""
    return Index(tmp_path / "index")


@pytest.fixture
def setup(tmp_path: Path, index: Index) -> Setup:
    """Run the script against the index, for a lock of these lines."""

    def run(
        *lines: str, python: Path = PYTHONS[0], address: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        lock = tmp_path / "lock.txt"
        lock.write_text("".join(lines))
        clean = {name: text for name, text in os.environ.items() if not name.startswith("PIP_")}
        environment = clean | {
            "PYTHON": str(python),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": address or index.address,
            "PIP_RETRIES": "1",
            "PIP_USER": "1",  # as some have it set for all they do
        }
        return subprocess.run(
            [SETUP, str(lock), str(tmp_path / "made")],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )

    return run


@pytest.mark.parametrize("python", PYTHONS, ids=str)
def test_a_newer_release_of_a_locked_package_changes_nothing(
    python: Path, index: Index, setup: Setup, tmp_path: Path
) -> None:
    """Old pips would take it where an extra is asked for, and then refuse it for its hash."""
    lock = (
        index.offer("alpha", "1.0", "beta[more]>=1"),
        index.offer("beta", "1.0", "gamma>=1 ; extra == 'more'", extra="more"),
        index.offer("gamma", "1.0"),
    )
    index.offer("beta", "2.0", "gamma>=1 ; extra == 'more'", extra="more")
    index.offer("gamma", "2.0")
    done = setup(*lock, python=python)
    assert 0 == done.returncode, done.stdout + done.stderr
    asked = "import alpha, beta, gamma; print(alpha.version, beta.version, gamma.version)"
    told = subprocess.run(
        [tmp_path / "made/bin/python", "-c", asked], check=True, capture_output=True, text=True
    )
    assert "1.0 1.0 1.0" == told.stdout.strip()
    assert "" == setup(*lock, python=python).stdout, "built once more though nothing changed"


def test_a_lock_that_lacks_a_package_is_refused_and_says_which(index: Index, setup: Setup) -> None:
    """Nothing is added that the lock does not list."""
    lock = index.offer("alpha", "1.0", "beta>=1")
    index.offer("beta", "1.0")
    done = setup(lock)
    assert 1 == done.returncode
    assert "alpha 1.0 requires beta, which is not installed." in done.stderr
    assert done.stderr.endswith(
        "the lock is not complete (above): make it anew with 'make lock'\n"
    )


def test_an_exchanged_file_is_the_first_thing_said(index: Index, setup: Setup) -> None:
    """The reason stands first, and no warning hides it."""
    lock = index.offer("alpha", "1.0")
    index.offer("alpha", "1.0", "other>=1")
    done = setup(lock)
    assert 1 == done.returncode
    assert done.stderr.startswith("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES")
    assert "alpha==1.0 from " in done.stderr
    assert "WARNING" not in done.stderr


def test_an_index_that_cannot_be_reached_is_named_with_its_reason(
    index: Index, setup: Setup
) -> None:
    """Its `no matching distribution` alone would send people after the wrong thing."""
    done = setup(index.offer("alpha", "1.0"), address=UNREACHABLE)
    assert 1 == done.returncode
    lines = done.stderr.splitlines()
    assert lines[0].startswith("ERROR: Could not find a version that satisfies")
    assert "Connection refused" in lines[-2]
    assert lines[-1].startswith("environment: the packages could not be installed; pip's reason")


def test_a_package_that_the_index_lacks_is_named(index: Index, setup: Setup) -> None:
    """An old mirror: the error comes first."""
    lock = index.offer("alpha", "1.0").replace("1.0", "3.0")
    done = setup(lock)
    assert 1 == done.returncode
    assert "alpha==3.0" in done.stderr.splitlines()[0]


def _digest(text: str) -> str:
    found = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
    return f"sha256={found.decode()}"
