"""Writes the dashboard: `python -m tests.deploy.dashboard`."""

import sys

from tests.deploy.dashboard.file import ROOT, TARGET, text

TARGET.write_text(text())
sys.stdout.write(f"written: {TARGET.relative_to(ROOT)}\n")
