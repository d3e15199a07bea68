"""Writes the PrometheusRule of the operator from the plain rule files.

`python -m tests.deploy.rules.operator` replaces the committed file.
"""

import sys

import yaml

from tests.deploy.rules.rulebook import FILES, ROOT

TARGET = ROOT / "deploy/kubernetes/components/monitoring-operator/prometheusrule.yaml"
LABELS = {"app.kubernetes.io/name": "crm-importer", "app.kubernetes.io/component": "importer"}
HEAD = "# Made from deploy/alerts/*.rules.yml by `python -m tests.deploy.rules.operator`.\n"


class _Readable(yaml.SafeDumper):
    """Writes text of several lines as such."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Readable.add_representer(str, _text)


def render() -> str:
    """Return one PrometheusRule with the groups of every rule file."""
    groups = [group for path in FILES for group in yaml.safe_load(path.read_text())["groups"]]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "crm-importer", "labels": LABELS},
        "spec": {"groups": groups},
    }
    return HEAD + yaml.dump(resource, Dumper=_Readable, sort_keys=False, width=99)


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(render())
    sys.stdout.write(f"written: {TARGET.relative_to(ROOT)}\n")
