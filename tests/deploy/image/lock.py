"""Reads what a lock installs on the image's interpreter."""

import re

from packaging.requirements import Requirement

from tests.deploy.image.podman import ROOT

PYTHON = {"python_version": "3.13", "python_full_version": "3.13.5"}
PINNED = re.compile(r"^(?P<requirement>\S+==[^\\\n]+)", re.MULTILINE)


def locked(name: str) -> dict[str, str]:
    """Return the version of every package that a lock of deploy/ names for this platform."""
    found = PINNED.findall((ROOT / "deploy" / name).read_text())
    requirements = [Requirement(each.strip()) for each in found]
    return {
        each.name: str(each.specifier).removeprefix("==")
        for each in requirements
        if each.marker is None or each.marker.evaluate(PYTHON)
    }
