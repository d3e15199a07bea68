"""Proves that the files themselves are sound, and need nothing from elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.static.manifests import COMPONENTS, KUBERNETES, ROOT

TOOLS = Path(sys.executable).parent
DEPLOY = ROOT / "deploy"
# Long lines are expressions and sentences; documents need no start where one file is one.
RULES = """\
extends: default
rules:
  document-start: disable
  line-length: disable
  truthy: {check-keys: false}
  comments: {min-spaces-from-content: 1}
  indentation: {spaces: 2, indent-sequences: consistent}
"""
FOLDERS = sorted(path.parent for path in KUBERNETES.rglob("kustomization.yaml"))


def test_yaml_is_read_by_everybody_alike() -> None:
    """No repeated key, no ambiguous word, no stray indentation."""
    assert "" == _output(TOOLS / "yamllint", "-d", RULES, "--strict", DEPLOY)


def test_the_dockerfile_is_without_fault() -> None:
    """Its linter finds nothing."""
    assert "" == _output(TOOLS / "hadolint", "--no-color", ROOT / "Dockerfile")


def test_the_linters_see_a_mistake(tmp_path: Path) -> None:
    """They run, and tell."""
    (tmp_path / "twice.yaml").write_text("a: 1\na: 2\n")
    (tmp_path / "Dockerfile").write_text("FROM debian:latest\nRUN cd /tmp\n")
    assert "key-duplicates" in _output(TOOLS / "yamllint", "-d", RULES, tmp_path / "twice.yaml")
    assert "DL3007" in _output(TOOLS / "hadolint", "--no-color", tmp_path / "Dockerfile")


@pytest.mark.parametrize("folder", FOLDERS, ids=[str(f.relative_to(KUBERNETES)) for f in FOLDERS])
def test_manifests_render_without_a_network(folder: Path) -> None:
    """Everything that a kustomization names is a file or folder beside it."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    named = [*kustomization.get("resources", []), *kustomization.get("components", [])]
    named += [patch["path"] for patch in kustomization.get("patches", []) if "path" in patch]
    assert [] == [each for each in named if not (folder / each).exists()]


@pytest.mark.parametrize("folder", FOLDERS, ids=[str(f.relative_to(KUBERNETES)) for f in FOLDERS])
def test_no_manifest_is_forgotten(folder: Path) -> None:
    """A file that no kustomization names is applied by nobody."""
    text = (folder / "kustomization.yaml").read_text()
    beside = {file.name for file in folder.iterdir() if file.is_file()} - {"kustomization.yaml"}
    assert set() == {name for name in beside if name not in text}


def test_every_component_is_offered() -> None:
    """The page lists each, and production names each: used, or ready to be switched on."""
    page = (KUBERNETES / "README.md").read_text()
    assert [] == [name for name in COMPONENTS if f"`{name}`" not in page]
    production = (KUBERNETES / "overlays/production/kustomization.yaml").read_text()
    assert [] == [name for name in COMPONENTS if f"components/{name}" not in production]


def _output(*command: str | Path) -> str:
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return run.stdout + run.stderr
