"""Judges a run by its log: what was lost, doubled, or said wrongly, and when it had healed."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.checker import portal, wire
from tests.checker.finding import Finding, Rule
from tests.checker.log import Line, Log
from tests.checker.story import SUCCEEDED, Story

REFUSED = frozenset({"malformed", "rejected", "unsupported"})
VOID = frozenset({"late commit", "damaged"})


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
        """Tell whether the run proves nothing: the portal or the log was at fault."""
        return any(finding.rule in VOID for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Tell whether no rule was broken."""
        return not self.findings


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
        accepted=sum(bool(event.accepted) for event in story.events.values()),
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
    kept = sum(count for queue, count in story.left.items() if wire.holds_events(queue))
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
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for name, event in story.events.items():
        for succeeded in (True, False):
            ids = {
                line["id"] for line in event.results if (line["outcome"] == SUCCEEDED) is succeeded
            }
            for each in ids:
                owners[each].add(name)
            if len(ids) > 1 and name not in story.allowed["repeat"]:
                yield Finding("result id", name, f"{len(ids)} ids of one outcome")
    for each, names in owners.items():
        if len(names) > 1:
            yield Finding("result id", min(names), f"its id {each} is that of {len(names)} events")


def _nothing_done(story: Story) -> Iterator[Finding]:
    if not any(event.accepted for event in story.events.values()):
        yield Finding("damaged", "", "no event was accepted")


def _left_over(story: Story) -> Iterator[Finding]:
    for queue, count in story.left.items():
        if count and wire.holds_events(queue):
            yield Finding("left over", "", f"{count} messages in {queue}")


_CHECKS: Sequence[Rule] = (
    _broken,
    _lost,
    _doubled,
    _wrong_item,
    _wrong_outcome,
    _refused_and_there,
    _dead_letter,
    _result_id,
    _left_over,
    _nothing_done,
    wire.along_the_wire,
    wire.repeated,
    wire.unacknowledged,
    wire.unseen,
    wire.changed_bodies,
    portal.batch,
    portal.stray,
    portal.unknown_calls,
    portal.early_success,
    portal.told_when_gone,
    portal.late_commit,
)
_AT_THE_END: Sequence[Rule] = (
    _lost,
    _wrong_item,
    _dead_letter,
    _left_over,
    wire.unacknowledged,
    wire.unseen,
    portal.early_success,
    portal.told_when_gone,
)
"""What nobody can tell of a run that broke off: its queues and its portal were not read."""
