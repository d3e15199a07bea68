"""Keeps the rendered production overlay in the repository, so that a change shows its effect."""

from pathlib import Path

import yaml

from tests.deploy.static.manifests import Manifest, render

FILE = Path(__file__).parent / "production.yaml"
HEAD = """\
# What overlays/production renders.
# Made anew by `python -m tests.deploy.static`; the difference belongs into the review.
"""


def manifests() -> list[Manifest]:
    """Return what is kept."""
    return render("production").manifests


def kept() -> list[Manifest]:
    """Return what stands in the file."""
    return list(yaml.safe_load_all(FILE.read_text()))


def write() -> None:
    """Write the file anew."""
    FILE.write_text(HEAD + yaml.safe_dump_all(manifests(), explicit_start=True))
