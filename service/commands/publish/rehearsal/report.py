"""Shows what a rehearsal found: a table by finding, the lines in sum, the time of the import."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from service.commands import terminal, text_layout
from service.commands.publish.records import Place
from service.commands.publish.rehearsal.tally import Group, Tally
from service.commands.publish.rehearsal.verdicts import WORDS, Finding, Level
from service.commands.terminal import Toned
from service.domain.forecast import ASSUMED, Forecast
from service.domain.outcomes import Fault

_TONES = {
    Level.NOTE: "dim",
    Level.LOSS: "warn",
    Level.MAY_FAIL: "warn",
    Level.UNJUDGED: "bad",
    Level.FAIL: "bad",
}
LEVELS = {Level.GOOD: "good", **WORDS}
_INDENT = " " * (max(len(each) for each in WORDS.values()) + 2)
_UNITS = (
    (86_400, "day", 3_600, "hour"),
    (3_600, "hour", 60, "minute"),
    (60, "minute", 1, "second"),
)


def tell(place: Place, finding: Finding) -> None:
    """Say on standard error what is wrong with a line, as it is met."""
    terminal.say(terminal.clean(f"{place} {WORDS[finding.level]}: {finding}"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that a rehearsal has found.

    `events`: those that will be imported; `gone`: why the portal could not be asked any more;
    `stopped`: somebody ended it; `nobody`: where no importer answers that could tell costs.
    """

    tally: Tally
    forecast: Forecast
    events: int
    gone: Fault | None
    stopped: bool
    nobody: str

    @property
    def code(self) -> int:
        """The exit code: 0 where every line was judged, and none would fail."""
        lines = self.tally.lines
        bad = lines[Level.FAIL] + lines[Level.UNJUDGED]
        return 1 if bad or self.stopped or self.gone is not None else 0


def show(outcome: Outcome) -> None:
    """Write the table, one finding after the other, the worst last; then all in sum."""
    width = terminal.columns_of(sys.stdout)
    tally, gone = outcome.tally, outcome.gone
    for group in tally.groups():
        for first, text in _lines_of(group, width):
            terminal.line(first, text)
    if tally.lines.total():
        terminal.paragraph(summary(tally))
        told = time(outcome.forecast, outcome.events, nobody=outcome.nobody)
        terminal.paragraph(terminal.clean(told))
    if gone is not None:
        lines = terminal.many(tally.lines[Level.UNJUDGED], "line")
        what = "fields, links, and what is in the CRM already were not"
        told = f"the shape of every line was judged; {what}, for {lines}"
        terminal.say(terminal.clean(f"error: {gone.cause}: {gone.remedy.rstrip('.')} - {told}"))
    if outcome.stopped:
        terminal.say("ended early: the lines below were not rehearsed")


def show_json(outcome: Outcome) -> None:
    """Write the same for programs."""
    tally, told, gone = outcome.tally, outcome.forecast, outcome.gone
    terminal.show_json(
        {
            "lines": tally.lines.total(),
            "byWorst": {word: tally.lines[level] for level, word in LEVELS.items()},
            "findings": [_document(group) for group in reversed(list(tally.groups()))],
            "forecast": {
                "items": outcome.events,
                "calls": told.calls,
                "secondsLow": round(told.low),
                "secondsHigh": round(told.high),
                "assumedTypes": list(told.assumed),
            },
            "portal": gone and {"cause": gone.cause, "remedy": gone.remedy},
            "endedEarly": outcome.stopped,
        }
    )


def _document(group: Group) -> dict[str, object]:
    finding = group.finding
    return {
        "level": WORDS[finding.level],
        "code": finding.code or None,
        "text": finding.text,
        "remedy": finding.remedy or None,
        "count": group.count,
        "of": "items" if group.is_list else "lines",
        "first": group.ranges,
        "more": group.is_cut,
    }


def _lines_of(group: Group, width: int | None) -> Iterator[tuple[Toned | str, str]]:
    finding = group.finding
    word = Toned(f"{WORDS[finding.level]:<{len(_INDENT)}}", _TONES[finding.level])
    yield word, group.lines + (f"; of {group.first}:" if group.differs else "")
    what = ": ".join(each for each in (finding.code, finding.text) if each)
    texts = [(what, "", "")] + ([(finding.remedy, "-> ", "   ")] if finding.remedy else [])
    for text, first, rest in texts:
        for each in text_layout.wrapped(
            terminal.clean(text), width and width - len(_INDENT), first=first, rest=rest
        ):
            yield _INDENT, each


def summary(tally: Tally) -> str:
    """Return the lines in sum."""
    count = tally.lines
    good = count[Level.GOOD] + count[Level.NOTE] + count[Level.LOSS]
    parts = [f"{terminal.many(count.total(), 'line')} rehearsed: {good:,} good"]
    if count[Level.LOSS]:
        parts[0] += f" ({count[Level.LOSS]:,} of them with a loss)"
    for level in (Level.MAY_FAIL, Level.UNJUDGED, Level.FAIL):
        parts += [f"{count[level]:,} {WORDS[level]}"] if count[level] else []
    return ", ".join(parts) + "; nothing was published, nothing was imported"


def time(told: Forecast, events: int, *, nobody: str) -> str:
    """Return how long the import will take; `nobody`: where no importer answers, if so."""
    if not events:
        return "time: there is nothing to import"
    what = f"{terminal.many(events, 'item')} in {terminal.many(told.calls, 'call')}"
    text = f"time: {span(told.low, told.high)} for {what}, under the portal's limits"
    if not told.assumed:
        return f"{text}, at the speed that the importer measured today"
    types = ", ".join(map(str, told.assumed))
    low, high = ASSUMED
    why = f"no importer answers at {nobody}" if nobody else "the importer has had none today"
    return (
        f"{text}, if an item of type {types} costs the portal between {low:g} and {high:g} s: "
        f"not measured yet ({why})"
    )


def span(low: float, high: float) -> str:
    """Return a span of seconds for people."""
    first, last = duration(low), duration(high)
    return f"about {last}" if first == last else f"between {first} and {last}"


def duration(seconds: float) -> str:
    """Return a time for people, in one unit or two."""
    left = max(1, round(seconds))
    for size, name, below, smaller in _UNITS:
        if left < size:
            continue
        # From ten on, a second unit would be too exact.
        left = round(left / size) * size if left >= 10 * size else left
        whole, rest = divmod(round(left / below) * below, size)
        text = terminal.many(whole, name)
        return f"{text} {terminal.many(rest // below, smaller)}" if rest else text
    return terminal.many(left, "second")
