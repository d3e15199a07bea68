"""Missing programs: said aloud here, a failure in CI."""

from pathlib import Path

import pytest

from tests.deploy.tools import INSTALLER, tool

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("ci", "outcome"), [("true", "fail"), ("", "skip")])
def test_missing_program_never_turns_green_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, outcome: str
) -> None:
    """Fail there, skip here, and name the script that installs it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    kind = {"fail": pytest.fail.Exception, "skip": pytest.skip.Exception}[outcome]
    with pytest.raises(kind, match=f"promtool is missing: {INSTALLER} installs it"):
        tool("promtool")
    assert (ROOT / INSTALLER).exists()
