# ruff: noqa: INP001 - a program, never imported
"""Prints the bill of materials of the interpreter that runs it, as CycloneDX 1.6 JSON.

Run while the image is built. Nothing in it changes from build to build: no time, no serial number.
"""

import json
import re
import sys
from importlib.metadata import Distribution, distributions

from service import __version__

OSI = "License :: OSI Approved :: "
LONGEST_NAME = 64
"""Of a licence; longer ones are its whole text."""


def main() -> None:
    """Print it."""
    components = sorted(map(_component, distributions()), key=lambda each: str(each["name"]))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "crm-importer",
                "name": "crm-importer",
                "version": __version__,
                "licenses": [{"license": {"id": "MIT"}}],
            },
        },
        "components": components,
        "dependencies": [
            {"ref": "crm-importer", "dependsOn": [each["bom-ref"] for each in components]}
        ],
    }
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _component(found: Distribution) -> dict[str, object]:
    name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
    address = f"pkg:pypi/{name}@{found.version}"
    component: dict[str, object] = {
        "type": "library",
        "bom-ref": address,
        "name": name,
        "version": found.version,
        "purl": address,
    }
    if licence := _licence(found):
        component["licenses"] = [licence]
    return component


def _licence(found: Distribution) -> dict[str, object] | None:
    """Return what the package says itself: an expression, a name, or what it is filed under."""
    if expression := _said(found, "License-Expression"):
        return {"expression": expression[0]}
    named = [each for each in _said(found, "License") if 0 < len(each) < LONGEST_NAME]
    filed = [each.removeprefix(OSI) for each in _said(found, "Classifier") if OSI in each]
    name = ", ".join(named or filed)
    return {"license": {"name": name}} if name else None


def _said(found: Distribution, header: str) -> list[str]:
    return found.metadata.get_all(header) or []


if __name__ == "__main__":
    main()
