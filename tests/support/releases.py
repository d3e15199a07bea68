"""Lends the importer of an earlier release, from the history of this repository."""

import subprocess
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.processes import ROOT

COMMITS: Mapping[str, str] = {"0.1.0": "5a391df2ca05cfd2b17686817a441c10c8dd81f8"}


def unpacked(version: str, folder: Path) -> Path:
    """Write the program of a release into a folder; skip the test where there is no history."""
    archive = ["git", "-C", str(ROOT), "archive", COMMITS[version], "service"]
    done = subprocess.run(archive, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"release {version} is not in the history of this checkout (a shallow clone?)")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as found:
        found.extractall(folder, filter="data")
    return folder
