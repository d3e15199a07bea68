"""Sorts the lines of a log by the event that they speak of."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from tests.checker.log import Line, Log

SUCCEEDED, FAILED, DEAD_LETTER = "succeeded", "failed", "dead_letter"
RESULTS = frozenset({SUCCEEDED, FAILED})
WAITING = ("intake", "parked")
"""Kinds of queues whose messages have not ended."""
UNDELIVERED = "undelivered"
"""The kind of a dead letter that the broker made by itself."""
Place = tuple[int, int, int]
"""Connection, channel, and the number of a message there."""


@dataclass(slots=True)
class Event:
    """Everything that a log tells of one event.

    `accepted`: how many messages of it; `read_once`, `letters_once`: results and the importer's
    dead letters without those that were delivered to our consumer again; `gone_at`: since when the
    portal has no item of it any more; `told`: when its first outcome was out.
    """

    may_end: list[frozenset[str]] = field(default_factory=list)
    types: set[int] = field(default_factory=set)
    bodies: set[str | None] = field(default_factory=set)
    accepted: int = 0
    results: list[Line] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    read_once: int = 0
    letters_once: int = 0
    committed: list[int] = field(default_factory=list)
    alive: int = 0
    most_at_once: int = 0
    lost_items: bool = False
    gone_at: float | None = None
    told: float | None = None

    @property
    def outcomes(self) -> frozenset[str]:
        """Return what its results say: `succeeded`, or the kind of the failure."""
        return frozenset(line["outcome"] for line in self.results)

    @property
    def items(self) -> set[int]:
        """Return the items that its results name."""
        return {line["item"] for line in self.results if line["outcome"] == SUCCEEDED}


class Story:
    """Holds one run, event by event."""

    def __init__(self, log: Log) -> None:
        """Read the log once, in the order of time."""
        self.log = log
        self.events: defaultdict[str, Event] = defaultdict(Event)
        self.allowed: defaultdict[str, set[str]] = defaultdict(set)
        self.left: dict[str, int] = {}
        self.made_again: list[tuple[str, int]] = []
        """Events and their items that were committed although the portal had them."""
        self._living: dict[int, str] = {}
        for line in log.lines:
            if (take := getattr(self, f"_{line['op']}", None)) is not None:
                take(line)
        for sent, confirm in confirmed(log.lines, RESULTS):
            event = self.events[sent["event"]]
            event.told = min(confirm["at"], event.told or confirm["at"])

    def of(self, *operations: str) -> Iterator[Line]:
        """Yield the lines of some operations."""
        return (line for line in self.log.lines if line["op"] in operations)

    def expected(self) -> Iterator[tuple[str, Event]]:
        """Yield the events that upstream published."""
        return ((name, event) for name, event in self.events.items() if event.may_end)

    def _publish(self, line: Line) -> None:
        event = self.events[line["event"]]
        event.bodies.add(line.get("body"))
        event.may_end = [frozenset(one) for one in line["may_end"]]
        if line["type"] is not None:
            event.types.add(line["type"])

    def _accept(self, line: Line) -> None:
        self.events[line["event"]].accepted += 1

    def _allow(self, line: Line) -> None:
        self.allowed[line["what"]].add(line["event"])

    def _commit(self, line: Line) -> None:
        event = self.events[line["event"]]
        event.committed.append(line["item"])
        if self._living.get(line["item"]) is not None:
            self.made_again.append((line["event"], line["item"]))
        self._living[line["item"]] = line["event"]
        event.alive += 1
        event.gone_at = None
        event.most_at_once = max(event.most_at_once, event.alive)

    def _gone(self, line: Line) -> None:
        owner = self._living.pop(line["item"], None)
        if owner is not None:
            event = self.events[owner]
            event.alive -= 1
            event.lost_items = True
            event.gone_at = event.gone_at if event.alive else line["at"]

    def _result(self, line: Line) -> None:
        event = self.events[line["event"]]
        event.results.append(line)
        event.read_once += not line.get("redelivered", False)
        event.told = line["at"] if event.told is None else event.told

    def _letter(self, line: Line) -> None:
        event = self.events[line["event"]]
        event.letters.append(line["kind"])
        event.letters_once += line["kind"] != UNDELIVERED and not line.get("redelivered", False)

    def _depth(self, line: Line) -> None:
        self.left[line["queue"]] = line["ready"] + line["unacked"]


def place_of(line: Line, number: str) -> Place:
    """Return where a message is under way."""
    return line["line"], line["channel"], line[number]


def confirmed(lines: Iterable[Line], to: Collection[str]) -> Iterator[tuple[Line, Line]]:
    """Yield what was sent to certain targets, and its confirm."""
    under_way: dict[Place, Line] = {}
    for line in lines:
        if line["op"] == "send" and line["to"] in to:
            under_way[place_of(line, "number")] = line
        elif line["op"] == "confirm" and (sent := under_way.pop(place_of(line, "number"), None)):
            yield sent, line
