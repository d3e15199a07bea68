"""Reads the schemas of custom resources, strictly: a member they do not name is a mistake."""

import os
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema
import yaml

from tests.deploy.static.manifests import ROOT, Manifest

Schema: TypeAlias = dict[str, Any]

# The schemas belong to other projects and are not carried here.
FOLDER = Path(os.environ.get("CRD_SCHEMAS") or ROOT.parent / "shared/crds")


def faults(manifest: Manifest, schema: Schema) -> list[str]:
    """Return what a manifest has that its schema does not allow, or lacks."""
    found = jsonschema.Draft7Validator(schema).iter_errors(manifest)
    return [f"{'.'.join(str(step) for step in fault.path)}: {fault.message}" for fault in found]


@cache
def schemas() -> dict[tuple[str, str], Schema]:
    """Return the schema of each version of each kind, by apiVersion and kind."""
    return dict(_read())


def _read() -> Iterator[tuple[tuple[str, str], Schema]]:
    for file in sorted(FOLDER.glob("*.y*ml")):
        for document in yaml.load_all(file.read_text(), yaml.CSafeLoader):
            if document and document.get("kind") == "CustomResourceDefinition":
                yield from _versions(document["spec"])


def _versions(spec: Manifest) -> Iterator[tuple[tuple[str, str], Schema]]:
    for version in spec["versions"]:
        schema = strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        yield (f"{spec['group']}/{version['name']}", spec["names"]["kind"]), schema


def strict(schema: Schema) -> Schema:
    """Return a schema of Kubernetes as one of JSON: closed, without the API's own notions."""
    closed = {key: _strict(value) for key, value in deepcopy(schema).items()}
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    if schema.get("nullable") and "type" in closed:
        closed["type"] = [closed["type"], "null"]
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def _strict(value: object) -> object:
    """Follow what may hold schemas: objects by name, and lists."""
    if isinstance(value, dict):
        return strict(value) if _is_schema(value) else {k: _strict(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_strict(each) for each in value]
    return value


def _is_schema(value: Schema) -> bool:
    """Tell a schema from a map of schemas: its type is a word, not a schema of its own."""
    return isinstance(value.get("type"), str) or "x-kubernetes-int-or-string" in value
