"""Counts what was found: by finding, with its lines, and lines by the worst that was found."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from service.commands.publish.records import Place
from service.commands.publish.rehearsal.verdicts import Finding, Level, worst

MAX_GROUPS = 200
"""Different findings that are told apart; of more of a level only the number is told."""
MAX_RANGES = 12
"""Ranges of lines that are shown with a finding."""
SHOWN_EACH = 20
"""Lines with the same finding that are shown with their reason as they are met."""
_DIGITS = re.compile(r"[0-9]+")
_REST = "findings of other kinds"


@dataclass(slots=True, eq=False)
class Group:
    """Lines with the same finding; `ranges` are the first of them.

    `differs`: numbers or names in it are those of the first line.
    """

    finding: Finding
    count: int = 0
    differs: bool = False
    ranges: list[list[int]] = field(default_factory=list)
    is_cut: bool = False
    is_list: bool = False
    _next: int = 0

    def add(self, place: Place) -> None:
        """Count a line, or an item of a list."""
        at = place.item or place.first
        self.is_list = place.item is not None
        self.count += 1
        if self.ranges and not self.is_cut and self.ranges[-1][1] <= at <= self._next:
            self.ranges[-1][1] = at
        elif len(self.ranges) < MAX_RANGES:
            self.ranges.append([at, at])
        else:
            self.is_cut = True
        self._next = (place.item or place.last) + 1

    @property
    def first(self) -> str:
        """The line whose finding stands for all."""
        return f"{'item' if self.is_list else 'line'} {self.ranges[0][0]}"

    @property
    def lines(self) -> str:
        """The lines for people: `21 lines: 2, 5-9 …`."""
        parts = (f"{first}" if first == last else f"{first}-{last}" for first, last in self.ranges)
        shown = ", ".join(parts) + (" …" if self.is_cut else "")
        what = "item" if self.is_list else "line"
        return f"{what} {shown}" if self.count == 1 else f"{self.count:,} {what}s: {shown}"


@dataclass(slots=True, eq=False)
class Tally:
    """Everything that was found; `tell` is called for lines that would fail, or may.

    `lines` counts them by the worst finding.
    """

    tell: Callable[[Place, Finding], None]
    lines: Counter[Level] = field(default_factory=Counter)
    _levels: bytearray = field(default_factory=bytearray)
    _groups: dict[tuple[Level, str, str], Group] = field(default_factory=dict)

    def line(self, place: Place, findings: Sequence[Finding]) -> int:
        """Count a line with all that was found of it; return its number here."""
        level = worst(findings)
        self.lines[level] += 1
        self._levels.append(level)
        for each in sorted(findings, key=lambda one: -one.level):
            self._add(place, each)
        return len(self._levels) - 1

    def late(self, place: Place, number: int, finding: Finding) -> None:
        """Add a finding to a line that was counted already, by its number here."""
        level = Level(self._levels[number])
        if finding.level > level:
            self.lines[level] -= 1
            self.lines[finding.level] += 1
            self._levels[number] = finding.level
        self._add(place, finding)

    def groups(self) -> Iterator[Group]:
        """Yield what was found, the worst last, of one level the rarest first."""
        yield from sorted(self._groups.values(), key=lambda each: (each.finding.level, each.count))

    def _add(self, place: Place, finding: Finding) -> None:
        text = finding.alike or _DIGITS.sub("0", f"{finding.text} {finding.remedy}")
        key = finding.level, finding.code, text
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                key, finding = (finding.level, "", _REST), Finding(finding.level, "", _REST)
            group = self._groups.setdefault(key, Group(finding))
        group.add(place)
        group.differs = group.differs or group.finding != finding
        if finding.level >= Level.MAY_FAIL and group.count <= SHOWN_EACH:
            self.tell(place, finding)
