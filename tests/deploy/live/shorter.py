"""Shortens the times of the rules, so that a fault of hours is told within seconds.

Every window and every `for` is divided: usually by 60 (a minute is a second), by more where a rule
waits for hours, by less where the play needs its time. Nothing else is changed, but for the two
ages that are named here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deploy.rules.rulebook import WINDOW, document, seconds

USUAL = 60.0
FACTORS: Mapping[str, float] = {
    "ImporterAmbiguousUnresolved": 80,
    "ImporterBatchesUnderfilled": 100,
    "ImporterBrokerMetricsMissing": 100,
    "ImporterDeadLettersWaiting": 4800,
    "ImporterErrorBudgetSlowBurn": 240,
    "ImporterErrorsLogged": 20,
    "ImporterFreshnessSlowBurn": 240,
    "ImporterLinkFlapping": 10,
    "ImporterMemoryUnwritten": 240,
    "ImporterParkedStuck": 100,
    "ImporterParkedTooLong": 1440,
    "ImporterPausedLong": 360,
    "ImporterPublishFailing": 20,
    "ImporterReplicaMissing": 100,
    "ImporterRestarting": 5,
    "ImporterResultsUnread": 240,
}
"""By how much the times of an alert are divided, where that is not the usual."""
AGES = {"ImporterMemoryUnwritten": " > 3600", "ImporterParkedTooLong": " > 6 * 3600"}
"""Ages in seconds that an alert compares with: they are divided as well."""
LEAST_SECONDS = 6.0
"""The shortest window: on a busy machine several scrapes in a row are missed."""


def shorter(path: Path) -> dict[str, Any]:
    """Return a rule file with its times shortened."""
    made = document(path)
    for rule in (rule for group in made["groups"] for rule in group["rules"]):
        name = rule.get("alert", "")
        factor = FACTORS.get(name, USUAL)
        expr = _shorter_windows(str(rule["expr"]), factor)
        if age := AGES.get(name):
            assert age in expr
            number = 6 * 3600 if "*" in age else 3600
            expr = expr.replace(age, f" > {number / factor:g}")
        rule["expr"] = expr
        if "for" in rule:
            rule["for"] = _milliseconds(seconds(rule["for"]) / factor)
    return made


def _shorter_windows(expr: str, factor: float) -> str:
    return WINDOW.sub(
        lambda found: _milliseconds(max(LEAST_SECONDS, seconds(found[0]) / factor)), expr
    )


def _milliseconds(length: float) -> str:
    return f"{max(1, round(length * 1000))}ms"
