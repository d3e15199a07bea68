"""Proves that what the public workflows do is pinned, has few rights, and watches every lock."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tools.locks import ROOT, locks

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
WRITING = {"id-token": "write", "packages": "write"}


def read(path: Path) -> dict[str, Any]:
    """Return a workflow."""
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.stem))
def test_every_action_is_pinned_by_its_commit(path: Path) -> None:
    """A tag can be moved; what is our own needs no pin."""
    used = [line.strip() for line in path.read_text().splitlines() if "uses: " in line]
    foreign = [line.removeprefix("- ") for line in used if "uses: ./" not in line]
    assert [] == [line for line in foreign if not PINNED.fullmatch(line)]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.stem))
def test_jobs_have_only_the_rights_they_name(path: Path) -> None:
    """Nothing as a rule; only a release may write, and only what it publishes."""
    workflow = read(path)
    assert {} == workflow["permissions"]
    for name, job in workflow["jobs"].items():
        expected = {"contents": "read"}
        if (path.stem, name) == ("release", "image"):
            expected |= WRITING
        assert expected == job["permissions"]
        assert "timeout-minutes" in job or "uses" in job
        for step in job.get("steps", ()):
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.stem))
def test_no_script_is_made_of_what_a_stranger_can_write(path: Path) -> None:
    """Names of branches and tags come in by the environment, never in the text of a script."""
    for job in read(path)["jobs"].values():
        assert [] == [step for step in job.get("steps", ()) if "${{ github" in step.get("run", "")]


def test_dependabot_watches_every_lock_and_the_images() -> None:
    """Actions, packages, the base image, and the images of the compose file."""
    updates = read(ROOT / ".github/dependabot.yml")["updates"]
    kinds = {each["package-ecosystem"]: each for each in updates}
    assert {"github-actions", "pip", "docker", "docker-compose"} == kinds.keys()
    folders = {f"/{Path(lock.path).parent}" for lock in locks()}
    assert folders == set(kinds["pip"]["directories"])


def test_the_base_image_is_one_and_named_by_its_digest() -> None:
    """Every stage but our own begins with it; the weekly run reads it from the same line."""
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(
        r"^ARG PYTHON_IMAGE=python:3\.13-slim-trixie@sha256:[0-9a-f]{64}$", text, re.MULTILINE
    )
    assert {"${PYTHON_IMAGE}", "build"} == set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))


def test_a_release_is_tested_signed_and_verified_as_the_page_says() -> None:
    """The identity that the operator's page trusts is the workflow's own."""
    release = read(ROOT / ".github/workflows/release.yml")
    assert "ci" == release["jobs"]["image"]["needs"]
    scripts = "".join(step.get("run", "") for step in release["jobs"]["image"]["steps"])
    for part in ("--provenance mode=max", "--sbom true", "cosign sign --yes", "cosign verify"):
        assert part in scripts
    page = (ROOT / "deploy/install.md").read_text()
    assert r"\.github/workflows/release\.yml@refs/tags/v" in page
    assert "https://token.actions.githubusercontent.com" in page
