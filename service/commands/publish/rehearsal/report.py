"""Shows what a rehearsal found: a table by finding, the lines in sum, the time of the import."""

import sys
from collections.abc import Iterator

from service.commands import terminal, text_layout
from service.commands.publish.records import Place
from service.commands.publish.rehearsal.tally import Group, Tally
from service.commands.publish.rehearsal.verdicts import WORDS, Finding, Level
from service.commands.terminal import Toned
from service.domain.forecast import ASSUMED, Forecast

_TONES = {
    Level.NOTE: "dim",
    Level.LOSS: "warn",
    Level.MAY_FAIL: "warn",
    Level.UNJUDGED: "bad",
    Level.FAIL: "bad",
}
_INDENT = " " * (max(len(each) for each in WORDS.values()) + 2)
_UNITS = (
    (86_400, "day", 3_600, "hour"),
    (3_600, "hour", 60, "minute"),
    (60, "minute", 1, "second"),
)


def tell(place: Place, finding: Finding) -> None:
    """Say on standard error what is wrong with a line, as it is met."""
    terminal.say(terminal.clean(f"{place} {WORDS[finding.level]}: {finding}"))


def show(tally: Tally) -> None:
    """Write the table: one finding after the other, the worst last."""
    width = terminal.columns_of(sys.stdout)
    for group in tally.groups():
        for first, text in _lines_of(group, width):
            terminal.line(first, text)


def _lines_of(group: Group, width: int | None) -> Iterator[tuple[Toned | str, str]]:
    finding = group.finding
    word = Toned(f"{WORDS[finding.level]:<{len(_INDENT)}}", _TONES[finding.level])
    yield word, group.lines
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
        return f"{text}, at the cost that the importer has learnt today"
    types = ", ".join(map(str, told.assumed))
    low, high = ASSUMED
    why = f"no importer answers at {nobody}" if nobody else "the importer has had none today"
    return (
        f"{text}, if an item of type {types} costs the portal between {low:g} and {high:g} s: "
        f"nobody has measured it ({why})"
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
        # From ten on, a second unit would pretend to know.
        left = round(left / size) * size if left >= 10 * size else left
        whole, rest = divmod(round(left / below) * below, size)
        text = terminal.many(whole, name)
        return f"{text} {terminal.many(rest // below, smaller)}" if rest else text
    return terminal.many(left, "second")
