"""Keeps the committed dashboard the one that the code makes."""

import json
from pathlib import Path

from tests.deploy.dashboard.rows import DASHBOARD

ROOT = Path(__file__).parents[3]
TARGET = ROOT / "deploy/dashboards/importer.json"


def text() -> str:
    """Return the dashboard as its file holds it."""
    return json.dumps(DASHBOARD.render(), indent=2) + "\n"
