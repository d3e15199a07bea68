"""Makes the PrometheusRule of the operator from the plain rule files."""

from pathlib import Path

import yaml

DEPLOY = Path(__file__).parents[1]
FILES = (DEPLOY / "alerts/importer.rules.yml", DEPLOY / "alerts/broker.rules.yml")
TARGET = DEPLOY / "kubernetes/components/monitoring-rules/prometheusrule.yaml"
LABELS = {"app.kubernetes.io/name": "crm-importer", "app.kubernetes.io/component": "importer"}
HEAD = "# Made from deploy/alerts/*.rules.yml by `python -m deploy.generate`.\n"


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
