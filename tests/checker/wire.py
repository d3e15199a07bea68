"""Judges what importer and broker said to each other: what was let go, sent, and sent again."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.checker.finding import Finding
from tests.checker.log import Line
from tests.checker.story import (
    DEAD_LETTER,
    FAILED,
    RESULTS,
    SUCCEEDED,
    UNDELIVERED,
    WAITING,
    Place,
    Story,
    confirmed,
    place_of,
)

GRACE_SECONDS = 1.0
"""A message that comes this soon after an outcome may have met it: the importer reads from two
connections, and one of them may be ahead."""


def holds_events(queue: str) -> bool:
    """Tell whether what lies in a queue has not ended yet."""
    return queue.endswith(".import") or ".parked." in queue


@dataclass(frozen=True, slots=True)
class _Stay:
    """One delivery of a message: of which event, when, and whether it was never there before."""

    event: str
    at: float
    parked: bool
    first: bool


@dataclass(slots=True)
class _Walk:
    """What is under way at one moment of the run."""

    out: defaultdict[str, list[tuple[str, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    sent: dict[Place, Line] = field(default_factory=dict)
    held: dict[Place, _Stay] = field(default_factory=dict)
    returned: set[str] = field(default_factory=set)
    """Events with a copy that was sent back into the intake: it is delivered as if it were new."""

    def take(self, line: Line) -> Iterator[Finding]:
        """Go one line further."""
        match line:
            case {"op": "deliver", "queue": queue, "event": name} if holds_events(queue):
                parked, first = ".parked." in queue, not line["redelivered"]
                self.held[place_of(line, "tag")] = _Stay(name, line["at"], parked, first)
            case {"op": "ack"} if stay := self.held.pop(place_of(line, "tag"), None):
                if not self._is_over(stay):
                    out = sorted({to for to, _ in self.out[stay.event]})
                    yield Finding("early acknowledgement", stay.event, f"confirmed before: {out}")
            case {"op": "send", "to": target, "event": name}:
                self.sent[place_of(line, "number")] = line
                if target == "intake":
                    self.returned.add(name)
                if target == DEAD_LETTER and FAILED not in self._out(name):
                    yield Finding("early dead letter", name, "its result is not confirmed")
            case {"op": "confirm"} if done := self.sent.pop(place_of(line, "number"), None):
                self.out[done["event"]].append((done["to"], line["at"]))

    def _out(self, event: str, since: float = float("-inf")) -> set[str]:
        return {to for to, at in self.out[event] if at >= since}

    def _is_over(self, stay: _Stay) -> bool:
        """Tell whether a message may be let go, by what was confirmed for its event."""
        ever = self._out(stay.event)
        new = stay.first and not stay.parked and stay.event not in self.returned
        since = self._out(stay.event, stay.at - GRACE_SECONDS) if new else ever
        elsewhere = self._out(stay.event, stay.at) if stay.parked else since
        ended = SUCCEEDED in since or (DEAD_LETTER in since and FAILED in ever)
        return ended or bool(elsewhere & {*WAITING})


def along_the_wire(story: Story) -> Iterator[Finding]:
    """Find what was let go, or buried, before what has to come first was confirmed."""
    walk = _Walk()
    for line in story.of("deliver", "send", "confirm", "ack"):
        yield from walk.take(line)


def repeated(story: Story) -> Iterator[Finding]:
    """Find outcomes that were sent again although they had been confirmed."""
    deliveries = Counter(
        line["event"] for line in story.of("deliver") if holds_events(line["queue"])
    )
    ended = {line["line"] for line in story.of("hang_up")}
    last_sent = {line["line"]: line["at"] for line in story.of("send")}
    done: Counter[tuple[str, str]] = Counter()
    for sent, confirm in confirmed(story.log.lines, {*RESULTS, DEAD_LETTER}):
        # What the broker said last on a line that ended, the importer may not have heard.
        place, at = confirm["line"], confirm["at"]
        what = "result" if sent["to"] in RESULTS else DEAD_LETTER
        done[sent["event"], what] += place not in ended or last_sent[place] > at
    for (name, what), times in done.items():
        if times > deliveries[name]:
            text = f"{times} times a {what} was confirmed, of {deliveries[name]} deliveries"
            yield Finding("repeated", name, text)


def unacknowledged(story: Story) -> Iterator[Finding]:
    """Find messages of ended events that are gone although nobody has acknowledged them."""
    let_go = _let_go(story)
    for name, event in story.events.items():
        gone = let_go[name] + event.letters.count(UNDELIVERED)
        if event.results and gone < event.accepted and name not in story.allowed["purged"]:
            text = f"{event.accepted} messages were accepted, {gone} acknowledged"
            yield Finding("lost", name, text)


def _let_go(story: Story) -> Counter[str]:
    """Count the messages of the intake that were acknowledged, by event.

    One that is delivered again was not acknowledged before, whatever was sent to the broker.
    """
    let_go: Counter[str] = Counter()
    out: Counter[str] = Counter()
    held: dict[Place, str] = {}
    for line in story.of("deliver", "ack"):
        place = place_of(line, "tag")
        if line["op"] == "ack":
            if name := held.pop(place, ""):
                out[name] -= 1
                let_go[name] += 1
        elif line["queue"].endswith(".import"):
            name = held[place] = line["event"]
            if line["redelivered"] and not out[name]:
                # Its first delivery may have been cut off before it was seen here.
                let_go[name] -= let_go[name] >= story.events[name].accepted
            out[name] += not (line["redelivered"] and out[name])
    return let_go


def unseen(story: Story) -> Iterator[Finding]:
    """Find what ends in the log without having passed the wire: then the log is not whole."""
    if not any(queue.endswith(".import") for queue in story.left):
        yield Finding("damaged", "", "nobody has looked into the intake at the end")
    if not all(line["queue"] for line in story.of("deliver")):
        yield Finding("damaged", "", "a delivery from a queue without a name")
    sends: Counter[tuple[str, str]] = Counter()
    for line in story.of("send"):
        sends[line["event"], "result" if line["to"] in RESULTS else line["to"]] += 1
    for name, event in story.events.items():
        for what, read in (("result", event.read_once), (DEAD_LETTER, event.letters_once)):
            if read > sends[name, what] and name not in story.allowed["aside"]:
                text = f"{read} times a {what} was read, {sends[name, what]} were sent"
                yield Finding("damaged", name, text)


def changed_bodies(story: Story) -> Iterator[Finding]:
    """Find copies and dead letters that do not hold what upstream published."""
    if story.log.run.get("format") == 1:
        return
    for line in story.of("send", "letter"):
        if line["op"] == "send" and line["to"] not in {DEAD_LETTER, *WAITING}:
            continue
        if line.get("body") not in story.events[line["event"]].bodies:
            what = line.get("to", "letter").replace("_", " ")
            yield Finding("body", line["event"], f"a {what} has another body")
