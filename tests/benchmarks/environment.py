"""Makes .venv-bench, where the peers live: never with the product, never with its tests."""

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.contestants import PEERS_PYTHON

LOCK = Path(__file__).with_name("requirements.txt")
STAMP = PEERS_PYTHON.parents[1] / ".stamp"


def ensure() -> None:
    """Install the locked packages, every file checked against its hash; quick when it is done."""
    wanted = f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()} {sys.version}"
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    print("environment: building .venv-bench for the peers", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(STAMP.parent)], check=True)
    command = [str(PEERS_PYTHON), "-m", "pip", "install", "--quiet", "--no-input"]
    options = ["--disable-pip-version-check", "--require-hashes", "--requirement", str(LOCK)]
    done = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"environment: the peers could not be installed:\n{done.stderr}")
    STAMP.write_text(wanted)
