"""What the tests of containers do where containers cannot be had."""

from pathlib import Path

import pytest

from tests.deploy.image import podman


@pytest.mark.parametrize(("ci", "outcome"), [("true", "fail"), ("", "skip")])
def test_unprepared_machine_never_turns_green_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, outcome: str
) -> None:
    """Fail there, skip here, and name the script that prepares it."""
    monkeypatch.setattr(podman, "HOME", tmp_path)
    monkeypatch.setenv("CI", ci)
    kind = {"fail": pytest.fail.Exception, "skip": pytest.skip.Exception}[outcome]
    with pytest.raises(kind, match=podman.INSTALLER):
        podman.environment.__wrapped__()


def test_failing_command_says_why() -> None:
    """The program's own words are in the error."""
    with pytest.raises(podman.ContainerError, match="never-built: image not known"):
        podman.podman("run", "--pull=never", "localhost/crm-importer:never-built")
