"""Makes .venv-bench, where the peers live: never with the product, never with its tests."""

import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.contestants import PEERS_PYTHON

SETUP = Path(__file__).parents[1] / "tools/setup.sh"
LOCK = Path(__file__).with_name("requirements.txt")


def ensure() -> None:
    """Install the locked packages, every file checked against its hash; quick when it is done."""
    command = [str(SETUP), str(LOCK), str(PEERS_PYTHON.parents[1])]
    environment = os.environ | {"PYTHON": sys.executable}
    if subprocess.run(command, check=False, env=environment).returncode:
        raise SystemExit(1)
