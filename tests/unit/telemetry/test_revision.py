"""Revision: what the image was built from, or a word that says nobody knows."""

from pathlib import Path

import pytest

from service.telemetry.metrics import Metrics
from service.telemetry.revision import revision


@pytest.mark.parametrize(("text", "expected"), [("ab0d43a\n", "ab0d43a"), ("\n", "unknown")])
def test_revision_is_what_the_build_wrote(tmp_path: Path, text: str, expected: str) -> None:
    """Read one line."""
    (tmp_path / "REVISION").write_text(text)
    assert expected == revision(tmp_path / "REVISION")


def test_checkout_has_no_revision(tmp_path: Path) -> None:
    """Start without the file."""
    assert "unknown" == revision(tmp_path / "REVISION")


def test_build_names_version_revision_and_python() -> None:
    """Tell which of two pods runs what."""
    (build,) = (f for f in Metrics().registry.collect() if f.name == "importer_build")
    (sample,) = build.samples
    assert {"version", "revision", "python"} == set(sample.labels)
