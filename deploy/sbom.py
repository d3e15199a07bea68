# ruff: noqa: INP001 - a program, never imported
"""Prints the bill of materials of the interpreter that runs it, as CycloneDX 1.6 JSON.

    sbom.py [REPORT]    REPORT: what `pip install --report` wrote, which tells each file's hash

Run while the image is built. Nothing in it changes from build to build: no time, no serial number.
"""

import json
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

from service import __version__

APPLICATION = "crm-importer"
INTERPRETER = f"pkg:generic/python@{platform.python_version()}"
OSI = "License :: OSI Approved :: "
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""Ids of names that packages give to their licences."""
IDS = {*SPDX.values(), "BSD-2-Clause", "ISC", "Python-2.0"}
JOINED = re.compile(r" (?:AND|OR|WITH) ")
MAX_NAME = 64
"""Of a licence; longer ones are its whole text."""
EXTRA = re.compile(r"\bextra\s*==")
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def main() -> None:
    """Print it."""
    report = json.loads(Path(sys.argv[1]).read_text()) if sys.argv[1:] else {"install": []}
    hashes = {
        _plain(each["metadata"]["name"]): each["download_info"]["archive_info"]["hashes"]["sha256"]
        for each in report["install"]
    }
    json.dump(document(sorted(distributions(), key=_name), hashes), sys.stdout, indent=2)
    sys.stdout.write("\n")


def document(found: Sequence[Distribution], hashes: Mapping[str, str]) -> dict[str, object]:
    """Return the bill of materials of installed packages and of the interpreter."""
    places = {_name(each): f"pkg:pypi/{_name(each)}@{each.version}" for each in found}
    needs = {
        name: sorted({places[need] for need in _needs(each) if need in places})
        for name, each in zip(places, found, strict=True)
    }
    needed = {place for each in needs.values() for place in each}
    ours = {"bom-ref": APPLICATION, "name": APPLICATION, "version": __version__}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", **ours, "licenses": _licences("MIT")}},
        "components": [
            {
                "type": "platform",
                "bom-ref": INTERPRETER,
                "name": "python",
                "version": platform.python_version(),
                "purl": INTERPRETER,
                "licenses": _licences("Python-2.0"),
            },
            *(_component(each, places[_name(each)], hashes.get(_name(each))) for each in found),
        ],
        "dependencies": [
            # What no other package needs is there for us.
            {"ref": APPLICATION, "dependsOn": [INTERPRETER, *sorted({*places.values()} - needed)]},
            *({"ref": places[name], "dependsOn": each} for name, each in needs.items()),
        ],
    }


def _component(found: Distribution, place: str, digest: str | None) -> dict[str, object]:
    component: dict[str, object] = {
        "type": "library",
        "bom-ref": place,
        "name": _name(found),
        "version": found.version,
        "purl": place,
    }
    if digest:
        component["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if licences := _licences_of(found):
        component["licenses"] = licences
    return component


def _licences_of(found: Distribution) -> list[dict[str, object]]:
    """Return what a package says: an expression, else a name, else what it is filed under."""
    if said := _said(found, "License-Expression"):
        return _licences(said[0])
    filed = [each.removeprefix(OSI) for each in _said(found, "Classifier") if OSI in each]
    names = [each for each in _said(found, "License") if 0 < len(each) < MAX_NAME]
    name = SPDX.get(names[0], names[0]) if names else ""
    if name and IDS.issuperset(JOINED.split(name)):
        return _licences(name)
    ids = [SPDX[each] for each in filed if each in SPDX]
    if ids:
        return _licences(" OR ".join(ids))
    return [{"license": {"name": name or filed[0]}}] if name or filed else []


def _licences(name: str) -> list[dict[str, object]]:
    """Return a licence by its id, or as an expression of ids."""
    return [{"expression": name}] if " " in name else [{"license": {"id": name}}]


def _needs(found: Distribution) -> list[str]:
    """Return the names that a package requires, but for those that only an extra would need."""
    required = [each for each in found.requires or [] if not EXTRA.search(each)]
    return [_plain(match[0]) for each in required if (match := NAME.match(each))]


def _name(found: Distribution) -> str:
    return _plain(found.metadata["Name"])


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _said(found: Distribution, header: str) -> list[str]:
    return found.metadata.get_all(header) or []


if __name__ == "__main__":
    main()
