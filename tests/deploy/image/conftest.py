"""Lends the images, built once from this checkout, and what a pod may do."""

import pytest

from tests.deploy.image.podman import IMPORTER, build
from tests.deploy.static.manifests import render

REVISION = "0123abc"


@pytest.fixture(scope="session")
def image() -> str:
    """Return the importer's image."""
    built = ("--build-arg", f"REVISION={REVISION}", "--build-arg", "VERSION=test")
    return build(f"{IMPORTER}:local", *built)


@pytest.fixture(scope="session")
def tracing_image() -> str:
    """Return the image with the extra for traces."""
    return build(f"{IMPORTER}:tracing", "--build-arg", "LOCK=requirements-tracing.txt")


@pytest.fixture(scope="session")
def memory_limit() -> int:
    """Return the bytes that the manifest allows."""
    limit = render("production").container["resources"]["limits"]["memory"]
    assert limit.endswith("Mi")
    return int(limit.removesuffix("Mi")) * 2**20


@pytest.fixture(scope="session")
def restricted(memory_limit: int) -> list[str]:
    """Return the options that make podman as strict as the manifest makes a cluster."""
    return [
        "--read-only",
        "--read-only-tmpfs=false",
        "--tmpfs=/tmp:size=16m",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
        f"--memory={memory_limit}",
        "--network=none",
    ]
