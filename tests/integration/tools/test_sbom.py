"""Proves that the bill of materials is valid, and says what a policy of licences can read."""

import json
import os
import subprocess
import sys
from importlib.metadata import distribution, distributions
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.spdx import is_supported_id
from cyclonedx.validation.json import JsonStrictValidator

from tests.tools.locks import ROOT

DIGEST = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the bill of this very environment, in which pip is said to have installed two."""
    report = tmp_path_factory.mktemp("bill") / "report.json"
    archive = {"archive_info": {"hashes": {"sha256": DIGEST}}}
    installed = [
        {"metadata": {"name": name}, "download_info": archive}
        for name in ("httpx", "Typing_Ext.X")
    ]
    report.write_text(json.dumps({"install": installed}))
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/sbom.py", report],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert None is JsonStrictValidator(SchemaVersion.V1_6).validate_str(done.stdout)
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def component(bill: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what it says of a package."""
    [found] = [each for each in bill["components"] if each["name"] == name]
    return dict(found)


def test_it_names_every_package_and_the_interpreter(bill: dict[str, Any]) -> None:
    """With their versions."""
    assert len({each.metadata["Name"].lower() for each in distributions()}) + 1 == len(
        bill["components"]
    )
    version = ".".join(map(str, sys.version_info[:3]))
    assert version == component(bill, "python")["version"]
    assert distribution("httpx").version == component(bill, "httpx")["version"]


def test_what_was_installed_has_the_hash_of_its_file(bill: dict[str, Any]) -> None:
    """As pip has reported it; it is the same that the lock allowed."""
    assert [{"alg": "SHA-256", "content": DIGEST}] == component(bill, "httpx")["hashes"]
    assert "hashes" not in component(bill, "aio-pika")


def test_licences_of_what_is_deployed_are_ids(bill: dict[str, Any]) -> None:
    """A policy reads ids and expressions of ids; a free name would be `unknown` to it."""
    lock = (ROOT / "deploy/requirements-tracing.txt").read_text()
    deployed = {line.split("==")[0] for line in lock.splitlines() if "==" in line} | {"python"}
    free = []
    for each in bill["components"]:
        if each["name"] not in deployed:
            continue
        [licence] = each["licenses"]
        ids = licence.get("expression", licence.get("license", {}).get("id", "none")).split()
        free += [f"{each['name']}: {ids}" for id_ in ids[::2] if not is_supported_id(id_)]
    assert [] == free


def test_it_tells_who_needs_whom(bill: dict[str, Any]) -> None:
    """Not everything is ours: a policy, or a person, sees through what a package came."""
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    names = {each["bom-ref"]: each["name"] for each in bill["components"]}
    httpx = component(bill, "httpx")["bom-ref"]
    assert {"anyio", "certifi", "httpcore", "idna"} == {names[ref] for ref in needs[httpx]}
    assert component(bill, "httpcore")["bom-ref"] not in needs["crm-importer"]
    assert component(bill, "python")["bom-ref"] in needs["crm-importer"]


def test_two_runs_are_equal(bill: dict[str, Any]) -> None:
    """No time, no serial number."""
    assert {"serialNumber", "timestamp"}.isdisjoint({*bill, *bill["metadata"]})


def test_the_image_gives_it_the_report() -> None:
    """The Dockerfile has pip write it where the program reads it."""
    text = Path(ROOT / "Dockerfile").read_text()
    assert "--report /lock/report.json" in text
    assert "/lock/sbom.py /lock/report.json > /app/sbom.json" in text
