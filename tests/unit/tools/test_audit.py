"""Proves that an audit which audited nothing fails."""

import pytest

from tests.tools.audit import findings

GOOD = {"name": "a", "version": "1.0", "vulns": []}
WEAK = {
    "name": "b",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": [], "description": "x"}],
}
SKIPPED = {"name": "c", "skip_reason": "not found, and could not be audited"}


@pytest.mark.parametrize(
    ("report", "wanted", "told"),
    [
        ({"dependencies": [GOOD]}, ["a"], []),
        ({"dependencies": [GOOD, WEAK]}, ["a", "b"], ["b 1.0: PYSEC-1 (mended in: 1.1)"]),
        ({"dependencies": [SKIPPED]}, ["c"], [f"c was not audited: {SKIPPED['skip_reason']}"]),
        ({"dependencies": [GOOD]}, ["a", "b"], ["b was not audited: not in the report"]),
        ({}, ["a"], ["a was not audited: not in the report"]),
    ],
)
def test_every_package_needs_an_answer(
    report: dict[str, object], wanted: list[str], told: list[str]
) -> None:
    """A weakness is found; so is a package of which nobody knew anything."""
    assert told == findings(report, wanted)
