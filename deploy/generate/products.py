"""Names every derived file, and what makes its text."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.generate import rules
from deploy.generate.dashboard import DASHBOARD

DEPLOY = Path(__file__).parents[1]
ROOT = DEPLOY.parent
DASHBOARD_FILE = DEPLOY / "dashboards/importer.json"


def dashboard() -> str:
    """Return the dashboard as its file holds it."""
    return json.dumps(DASHBOARD.render(), indent=2) + "\n"


PRODUCTS: Mapping[Path, Callable[[], str]] = {
    DASHBOARD_FILE: dashboard,
    rules.TARGET: rules.render,
}
