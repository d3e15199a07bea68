"""Reads an operation log, and finds out whether it is whole."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT = 2
FORMATS = (1, 2)
"""The first had no `body`, so nothing is said of bodies there."""
Line = Mapping[str, Any]

MEMBERS: Mapping[str, Sequence[str]] = {
    "run": ("format", "fault", "seed", "broker", "nodes", "mix", "commit", "settle"),
    "publish": ("message", "event", "type", "may_end"),
    "accept": ("message", "event"),
    "allow": ("event", "what"),
    "fault": ("what", "state"),
    "deliver": ("line", "channel", "tag", "queue", "event", "redelivered"),
    "ack": ("line", "channel", "tag"),
    "give_back": ("line", "channel", "tag"),
    "send": ("line", "channel", "number", "to", "event"),
    "confirm": ("line", "channel", "number"),
    "refuse": ("line", "channel", "number"),
    "hang_up": ("line",),
    "call": ("call", "method", "type", "events"),
    "commit": ("call", "item", "type", "event"),
    "answer": ("call", "status", "error", "fault"),
    "gone": ("item",),
    "result": ("event", "outcome", "item", "id"),
    "letter": ("event", "kind"),
    "depth": ("queue", "ready", "unacked"),
    "broken": ("why",),
    "end": ("lines",),
}
"""Every operation, and what its line must have besides `op` and `at`."""


@dataclass(frozen=True, slots=True)
class Log:
    """Holds the lines in order of time, and what is wrong with the log itself."""

    lines: Sequence[Line]
    damage: Sequence[str]

    @property
    def run(self) -> Line:
        """Return the first line, which says what was run; empty if it is missing."""
        return self.lines[0] if self.lines and self.lines[0]["op"] == "run" else {}


def read(path: Path) -> Log:
    """Read a log from a file."""
    return parse(path.read_text(errors="replace"))


def parse(text: str) -> Log:
    """Read a log; what is wrong with a line is damage, and that line is left out."""
    lines: list[Line] = []
    damage: list[str] = []
    written = text.splitlines()
    for number, one in enumerate(written, start=1):
        try:
            line = json.loads(one)
        except ValueError:
            damage.append(f"line {number} is no JSON")
            continue
        if wrong := _wrong(line):
            damage.append(f"line {number}: {wrong}")
        else:
            lines.append(line)
    damage += _gaps(lines, len(written))
    return Log(sorted(lines, key=lambda line: line["at"]), damage)


def _wrong(line: object) -> str:
    if not isinstance(line, dict) or not isinstance(line.get("at"), int | float):
        return "no object with a time"
    members = MEMBERS.get(line.get("op", ""))
    if members is None:
        return f"unknown operation {line.get('op')!r}"
    missing = [name for name in members if name not in line]
    if missing:
        return f"{line['op']} without {', '.join(missing)}"
    ends = line.get("may_end", [])
    lists = isinstance(ends, list) and all(isinstance(each, list) for each in ends)
    return "" if lists else f"may_end {ends!r} is no list of lists"


def _gaps(lines: Sequence[Line], written: int) -> list[str]:
    """Compare the first and the last line with what lies between them."""
    if not lines or lines[0]["op"] != "run":
        return ["the log does not begin with its run"]
    found = []
    if lines[0]["format"] not in FORMATS:
        found.append(f"format {lines[0]['format']!r} is not known")
    if lines[-1]["op"] != "end":
        found.append("the log does not come to its end")
    elif lines[-1]["lines"] != written:
        found.append(f"{written} lines of {lines[-1]['lines']} are there")
    return found
