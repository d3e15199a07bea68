"""Describes what an alert must do, and lets promtool see whether it does."""

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.rules.rulebook import Alert, needed, seconds
from tests.deploy.rules.variants import Series, beside, gapped, labelled, neighbour, seen, shifted

EXTERNAL = {"docs_url": "https://docs.example/", "grafana_url": "https://grafana.example"}
FIELD = re.compile(r"\{\{ \$(labels|externalLabels)\.(\w+) \}\}")
VALUE = re.compile(r"\{\{ \$value[^}]*\}\}")
TARGET = {"job": "importer"}
HOUR = 3600
BY_THE_CLOCK = "ImporterCertificateExpires"
"""It means a day and a time: an hour is an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A history in which one alert waits, fires and resolves, and others in which it is silent.

    Series are in promtool's notation; a silent history replaces some of them. `value` is how
    the description must show the value.
    """

    alert: str
    severity: str
    series: Series
    fires: str
    resolves: str
    silent: Mapping[str, Series]
    waits: str | None = None
    value: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: TARGET)
    step: str = "1m"
    alone: bool = False
    """The alert is about no target at all: no labels of a target, no second portal."""

    told: str = ""
    """How the story was changed, for the name of its group."""

    def sample(self, at: str) -> int:
        """Return the number of the sample at a time."""
        return round(seconds(at) / seconds(self.step))

    @property
    def key(self) -> tuple[str, str]:
        """Return whose story it is."""
        return self.alert, self.severity

    @property
    def name(self) -> str:
        """Return how a test of it is called."""
        return f"{self.alert}-{self.severity}"


def write(
    story: Story,
    rule: Alert,
    folder: Path,
    file: Path | None = None,
    told: Iterable[Story] | None = None,
) -> Path:
    """Write promtool's file for a story, or for variants of it: loud first, then each silent one.

    Only the rules that the alert rests on are played, word for word: that saves minutes.
    """
    if file is None:
        file = folder / "rules.yml"
        group = {"name": "played", "rules": needed(story.alert)}
        file.write_text(yaml.safe_dump({"groups": [group]}))
    path = folder / f"{story.name}.test.yml"
    document = {
        "rule_files": [str(file)],
        "evaluation_interval": story.step,
        "tests": [group for each in told or [story] for group in _groups(each, rule)],
    }
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def variants(story: Story) -> Iterator[Story]:
    """Yield the story as other places would see it; what it says of its alert stays true."""

    def missed(series: Series) -> Series:
        return gapped(series, story.sample(story.fires))

    if story.alone:
        yield _changed(story, "with a gap", missed)
        return
    if shifted(story.series, HOUR) != story.series and story.alert != BY_THE_CLOCK:
        for by in (HOUR, -HOUR):
            change = partial(shifted, by=by)
            yield _changed(story, f"with a clock that is {by:+g} s off", change)
    well, paused = (
        neighbour("importer-other", "other", paused=each, long=story.sample(story.resolves) + 5)
        for each in (False, True)
    )
    yield replace(
        _changed(
            story,
            "with a gap, foreign labels, beside a portal that is well",
            lambda series: labelled(beside(well, missed(series))),
        ),
        labels=seen(story.labels),
    )
    if not story.alert.startswith("ImporterPaused"):
        yield _changed(story, "beside a portal that is paused", partial(beside, paused))


def _changed(story: Story, told: str, change: Callable[[Series], Series]) -> Story:
    silent = {why: change({**story.series, **each}) for why, each in story.silent.items()}
    return replace(story, told=f", {told}", series=change(story.series), silent=silent)


def _groups(story: Story, rule: Alert) -> Iterator[dict[str, Any]]:
    loud = _group(story, story.series, f"{story.alert} fires and resolves{story.told}")
    quiet = [] if story.waits is None else [(story.waits, False)]
    loud["alert_rule_test"] = [
        _expectation(story, rule, at, on=on)
        for at, on in [*quiet, (story.fires, True), (story.resolves, False)]
    ]
    yield loud
    for reason, changes in story.silent.items():
        name = f"{story.alert} is silent: {reason}{story.told}"
        group = _group(story, {**story.series, **changes}, name)
        moments = (story.fires, story.resolves)
        group["alert_rule_test"] = [_expectation(story, rule, at, on=False) for at in moments]
        yield group


def run(promtool: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Let promtool judge a file."""
    command = [promtool, "test", "rules", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def _group(story: Story, series: Series, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "interval": story.step,
        "external_labels": EXTERNAL,
        "input_series": [
            {"series": each, "values": values} for each, values in series.items() if values
        ],
    }


def _expectation(story: Story, rule: Alert, at: str, *, on: bool) -> dict[str, Any]:
    expected: dict[str, Any] = {"eval_time": at, "alertname": story.alert, "exp_alerts": []}
    if on:
        alert = {
            "exp_labels": {**rule.labels, **story.labels},
            "exp_annotations": dict(_annotations(story, rule)),
        }
        expected["exp_alerts"] = [alert]
    return expected


def _annotations(story: Story, rule: Alert) -> Iterator[tuple[str, str]]:
    """Fill in the templates by hand, as plainly as they can be."""
    known = {"labels": story.labels, "externalLabels": EXTERNAL}
    for name, text in rule.annotations.items():
        shown = FIELD.sub(lambda found: known[found[1]].get(found[2], ""), text)
        yield name, VALUE.sub(story.value, shown)
