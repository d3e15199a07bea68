"""Proves that the interpreter for .venv can be chosen as the set-up says."""

import os
import subprocess

import pytest

from tests.tools.locks import ROOT

TARGETS = ("demo", "run", "unit", "bench", "audit")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("how", ["argument", "environment"])
def test_a_chosen_interpreter_makes_the_environment_and_nothing_else(
    target: str, how: str
) -> None:
    """What runs afterwards is the environment's own, whichever made it."""
    chosen = "PYTHON=/opt/python/bin/python3"
    told = subprocess.run(
        ["make", "--dry-run", "--always-make", target, *([chosen] if how == "argument" else [])],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | (dict([chosen.split("=")]) if how == "environment" else {}),
    ).stdout
    assert "tests/tools/setup.sh" in told
    assert ".venv/bin/python -m " in told
    assert "/opt/python" not in told
