"""Finds the programs that the tests of the deployment need."""

import os
import shutil

import pytest

INSTALLER = "tests/tools/prometheus.sh"


def tool(name: str, installer: str = INSTALLER) -> str:
    """Return the path of a program; without it, skip here and fail in CI."""
    if found := shutil.which(name):
        return found
    text = f"{name} is missing: {installer} installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
