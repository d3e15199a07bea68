"""Reads the rule files, and scales their times for a short run."""

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deploy.generate import rules as products

ROOT = Path(__file__).parents[3]
FILES = products.FILES
IMPORTER, BROKER = FILES
RUNBOOKS = ROOT / "deploy/runbooks/README.md"

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
WINDOW = re.compile(r"(?<=\[)\d+(?:ms|s|m|h|d)(?=\])|(?<=offset )\d+(?:ms|s|m|h|d)\b")
"""The times in an expression: windows, and how far back they are moved."""
DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
METRIC = re.compile(r"(?<![\w:$])((?:job:)?[a-zA-Z_][\w:]*)\s*(\{[^}]*\})?")
MATCHER = re.compile(r"""(\w+)\s*(=~|!~|!=|=)\s*["']([^"']*)["']""")
OURS = re.compile(r"^(importer_|process_|rabbitmq_|python_|job:|importer:|up$)")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert rule as it stands in its file."""

    file: Path
    name: str
    expr: str
    wait: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def key(self) -> tuple[str, str]:
        """Return what tells two rules of one name apart."""
        return self.name, self.labels["severity"]


@dataclass(frozen=True, slots=True)
class Use:
    """A series that an expression asks for, and what it demands of its labels."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...] = field(default=())


def document(path: Path) -> dict[str, Any]:
    """Return what a rule file holds; a copy that a test may change."""
    return deepcopy(_read(path))


@cache
def _read(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.load(path.read_text(), yaml.CSafeLoader)
    return read


def rules(path: Path) -> list[dict[str, Any]]:
    """Return every rule of a file."""
    return [rule for group in document(path)["groups"] for rule in group["rules"]]


def alerts() -> list[Alert]:
    """Return every alert of every file."""
    return [
        Alert(
            path,
            rule["alert"],
            rule["expr"],
            rule.get("for", "0s"),
            rule["labels"],
            rule["annotations"],
        )
        for path in FILES
        for rule in rules(path)
        if "alert" in rule
    ]


@cache
def recorded() -> set[str]:
    """Return the names of the recording rules."""
    return {rule["record"] for path in FILES for rule in rules(path) if "record" in rule}


def uses(expr: str) -> Iterator[Use]:
    """Yield the series that a PromQL expression asks for, by our naming conventions."""
    for name, braces in METRIC.findall(expr):
        if OURS.match(name):
            yield Use(name, tuple(MATCHER.findall(braces)))


def needed(alert: str) -> list[dict[str, Any]]:
    """Return an alert's rules as they stand in their files, after the records they rest on."""
    every = [rule for path in FILES for rule in rules(path)]
    wanted = [rule for rule in every if rule.get("alert") == alert]
    names = {use.metric for rule in wanted for use in uses(str(rule["expr"]))}
    while True:
        records = [rule for rule in every if rule.get("record") in names]
        more = {use.metric for rule in records for use in uses(str(rule["expr"]))}
        if more <= names:
            return [*records, *wanted]
        names |= more


def seconds(duration: str) -> float:
    """Return a duration of one or several units in seconds."""
    return sum(int(number) * UNITS[unit] for number, unit in DURATION.findall(duration))


def scaled(path: Path, factor: float) -> dict[str, Any]:
    """Return a rule file with every window and every `for` divided; nothing else is changed."""

    def shorter(duration: str) -> str:
        return f"{max(1, round(seconds(duration) * 1000 / factor))}ms"

    made = document(path)
    for rule in (rule for group in made["groups"] for rule in group["rules"]):
        rule["expr"] = WINDOW.sub(lambda found: shorter(found[0]), str(rule["expr"]))
        if "for" in rule:
            rule["for"] = shorter(rule["for"])
    return made
