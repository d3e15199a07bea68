"""Judges a run by its log: what was lost, doubled, or said wrongly, and when it had healed."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.checker.log import Line, Log
from tests.checker.story import DEAD_LETTER, FAILED, SUCCEEDED, WAITING, Story

REFUSED = frozenset({"malformed", "rejected", "unsupported"})
MOST_ITEMS = 20
Place = tuple[int, int, int]
"""Connection, channel, and the number of a message there."""

RULES: Mapping[str, str] = {
    "damaged": "the log is whole",
    "broken": "the run came to its end",
    "lost": "every accepted event has a result; of a success the item was committed",
    "waiting": "nothing that has no result is still in a queue at the end",
    "doubled": "the portal never holds two items of one event",
    "wrong item": "a success names the item that the portal committed for that event",
    "wrong outcome": "an event ends as it may, and no two results contradict each other",
    "refused and there": "what was refused is not in the portal",
    "dead letter": "an event has dead letters of the kinds that it failed as, and no others",
    "result id": "repeats of a result carry one id",
    "early acknowledgement": "a message is acknowledged after its outcome was confirmed",
    "early dead letter": "a dead letter is sent after the failed result was confirmed",
    "batch": "a call has one entity type and at most 20 items",
    "left over": "nothing is left in the intake and in the queues for what waits",
    "late commit": "the portal commits within its settle time; else the run proves nothing",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Says which rule was broken, and by what."""

    rule: str
    event: str
    text: str

    def __str__(self) -> str:
        about = f"{self.event}: " if self.event else ""
        return f"{self.rule}: {about}{self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run. `heal`: seconds from the last fault's end to the last event's result."""

    run: Line
    events: int
    accepted: int
    ended: int
    heal: float
    findings: Sequence[Finding]

    def count(self, rule: str) -> int:
        """Count the findings of one rule."""
        return sum(finding.rule == rule for finding in self.findings)

    @property
    def void(self) -> bool:
        """Tell whether the portal or the log was at fault: then the run proves nothing."""
        return any(finding.rule in {"late commit", "damaged"} for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Tell whether no rule was broken."""
        return not self.findings


Rule = Callable[[Story], Iterator[Finding]]


def judge(log: Log) -> Verdict:
    """Judge one run."""
    story = Story(log)
    damage = [Finding("damaged", "", text) for text in log.damage]
    broke_off = any(True for _ in story.of("broken"))
    checks = [rule for rule in _CHECKS if not (broke_off and rule in _AT_THE_END)]
    found = [finding for rule in checks for finding in rule(story)]
    return Verdict(
        run=log.run,
        events=sum(1 for _ in story.expected()),
        accepted=sum(event.accepted for event in story.events.values()),
        ended=sum(bool(event.results) for event in story.events.values()),
        heal=_heal(story),
        findings=[*damage, *found],
    )


def _heal(story: Story) -> float:
    ends = [line["at"] for line in story.of("fault", "answer") if line.get("fault", True)]
    told = [event.told for _, event in story.expected() if event.told is not None]
    return max(0.0, max(told) - max(ends)) if ends and told else 0.0


def _broken(story: Story) -> Iterator[Finding]:
    return (Finding("broken", "", line["why"]) for line in story.of("broken"))


def _lost(story: Story) -> Iterator[Finding]:
    """Find accepted events without a result; those that a queue may still hold only wait."""
    accepted = ((name, event) for name, event in story.events.items() if event.accepted)
    missing = [name for name, event in accepted if not event.results]
    kept = sum(count for queue, count in story.left.items() if _holds_events(queue))
    rule = "waiting" if kept >= len(missing) else "lost"
    yield from (Finding(rule, name, "it has no result") for name in missing)
    for name, event in story.events.items():
        if SUCCEEDED in event.outcomes and not event.committed:
            yield Finding("lost", name, "it succeeded, and was never committed")


def _doubled(story: Story) -> Iterator[Finding]:
    for name, event in story.events.items():
        if event.most_at_once > 1 and name not in story.allowed["double"]:
            yield Finding("doubled", name, f"it was committed as items {event.committed}")


def _wrong_item(story: Story) -> Iterator[Finding]:
    for name, event in story.events.items():
        if wrong := event.items - set(event.committed):
            yield Finding("wrong item", name, f"said to be {wrong}, is {event.committed}")
        elif len(event.items) > 1 and not event.lost_items:
            yield Finding("wrong item", name, f"said to be each of {sorted(event.items)}")


def _wrong_outcome(story: Story) -> Iterator[Finding]:
    for name, event in story.events.items():
        if event.results and event.outcomes not in event.may_end:
            yield Finding("wrong outcome", name, " and ".join(sorted(event.outcomes)))


def _refused_and_there(story: Story) -> Iterator[Finding]:
    for name, event in story.events.items():
        if event.results and event.outcomes <= REFUSED and event.committed:
            yield Finding("refused and there", name, f"it is item {event.committed}")


def _dead_letter(story: Story) -> Iterator[Finding]:
    for name, event in story.events.items():
        failed, buried = event.outcomes - {SUCCEEDED}, frozenset(event.letters)
        if failed != buried:
            text = f"failed as {sorted(failed)}, has dead letters of {sorted(buried)}"
            yield Finding("dead letter", name, text)


def _result_id(story: Story) -> Iterator[Finding]:
    for name, event in story.events.items():
        if name in story.allowed["repeat"]:
            continue
        for succeeded in (True, False):
            ids = {
                line["id"] for line in event.results if (line["outcome"] == SUCCEEDED) is succeeded
            }
            if len(ids) > 1:
                yield Finding("result id", name, f"{len(ids)} ids of one outcome")


def _early_acknowledgement(story: Story) -> Iterator[Finding]:
    """Walk along the wire: what was confirmed for an event before its message is let go."""
    out: defaultdict[str, set[str]] = defaultdict(set)
    sent: dict[Place, Line] = {}
    held: dict[Place, str] = {}
    for line in story.of("deliver", "send", "confirm", "ack"):
        match line:
            case {"op": "deliver", "queue": queue, "event": name} if _holds_events(queue):
                held[_place(line, "tag")] = name
            case {"op": "ack"} if name := held.pop(_place(line, "tag"), ""):
                if not _over(out[name]):
                    yield Finding("early acknowledgement", name, f"confirmed: {sorted(out[name])}")
            case {"op": "send", "to": target, "event": name}:
                sent[_place(line, "number")] = line
                if target == DEAD_LETTER and FAILED not in out[name]:
                    yield Finding("early dead letter", name, "its result is not confirmed")
            case {"op": "confirm"} if done := sent.pop(_place(line, "number"), None):
                out[done["event"]].add(done["to"])


def _place(line: Line, number: str) -> Place:
    return line["line"], line["channel"], line[number]


def _over(out: set[str]) -> bool:
    """Tell whether a message may be let go, by what was confirmed for its event."""
    return bool(out & {SUCCEEDED, *WAITING}) or out >= {FAILED, DEAD_LETTER}


def _batch(story: Story) -> Iterator[Finding]:
    for line in story.of("call"):
        if line["method"] == "crm.item.batchimport" and len(line["events"]) > MOST_ITEMS:
            yield Finding("batch", "", f"call {line['call']} has {len(line['events'])} items")
    types: Counter[int] = Counter()
    for call, kind in {(line["call"], line["type"]) for line in story.of("commit")}:
        types[call] += bool(kind)
    for call, several in types.items():
        if several > 1:
            yield Finding("batch", "", f"call {call} made items of {several} entity types")


def _left_over(story: Story) -> Iterator[Finding]:
    for queue, count in story.left.items():
        if count and _holds_events(queue):
            yield Finding("left over", "", f"{count} messages in {queue}")


def _late_commit(story: Story) -> Iterator[Finding]:
    settle = story.log.run.get("settle")
    calls = {line["call"]: line["at"] for line in story.of("call")}
    for line in story.of("commit"):
        late = line["at"] - calls.get(line["call"], line["at"])
        if settle is not None and late > settle:
            yield Finding("late commit", line["event"], f"{late:.1f} s after its call")


def _holds_events(queue: str) -> bool:
    """Tell whether what lies in a queue has not ended yet."""
    return queue.endswith(".import") or ".parked." in queue


_CHECKS: Sequence[Rule] = (
    _broken,
    _lost,
    _doubled,
    _wrong_item,
    _wrong_outcome,
    _refused_and_there,
    _dead_letter,
    _result_id,
    _early_acknowledgement,
    _batch,
    _left_over,
    _late_commit,
)
_AT_THE_END: Sequence[Rule] = (_lost, _wrong_item, _dead_letter, _left_over)
"""What nobody can tell of a run that broke off: its queues and its portal were not read."""
