"""Judges what reached the portal: which events a call had, and whose items it made."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.checker.finding import Finding
from tests.checker.story import SUCCEEDED, Story

IMPORT = "crm.item.batchimport"
MOST_ITEMS = 20
UNAWARE_SECONDS = 2.0
"""A message may have been delivered while its call was answered, before the portal lost all."""
CLOCK_SECONDS = 0.05
"""The portal tells its times by another clock; both are compared once in a run."""


def batch(story: Story) -> Iterator[Finding]:
    """Find calls with too many events, with one twice, or with events of several types."""
    for line in story.of("call"):
        if line["method"] != IMPORT:
            continue
        call, events = f"call {line['call']}", line["events"]
        if len(events) > MOST_ITEMS:
            yield Finding("batch", "", f"{call} has {len(events)} items")
        counts: Counter[str] = Counter(events)
        for name, times in counts.items():
            event = story.events.get(name)
            if event is None or not event.types:
                continue
            if times > 1:
                yield Finding("batch", name, f"it is {times} times in {call}")
            if line["type"] not in event.types:
                yield Finding("batch", name, f"{call} is of type {line['type']}")


def stray(story: Story) -> Iterator[Finding]:
    """Find items of nobody, or of another type than the event was published with."""
    types: defaultdict[int, set[int]] = defaultdict(set)
    for line in story.of("commit"):
        types[line["call"]].add(line["type"])
        event = story.events.get(line["event"])
        if event is None or not event.may_end:
            yield Finding("stray", line["event"], f"nobody has published it; item {line['item']}")
        elif event.types and line["type"] not in event.types:
            yield Finding("stray", line["event"], f"item {line['item']} is of type {line['type']}")
    for call, several in types.items():
        if len(several) > 1:
            yield Finding("batch", "", f"call {call} made items of {len(several)} entity types")


def unknown_calls(story: Story) -> Iterator[Finding]:
    """Find items that no call has made, and items that were made twice: the log is not whole."""
    calls = {line["call"] for line in story.of("call")}
    for line in story.of("commit"):
        if line["call"] not in calls:
            yield Finding("damaged", line["event"], f"item {line['item']} is of no call")
    for name, item in story.made_again:
        yield Finding("damaged", name, f"item {item} was made although it was there")


def early_success(story: Story) -> Iterator[Finding]:
    """Find events whose success was sent before any item of them was there."""
    first: dict[str, float] = {}
    for line in story.of("commit"):
        first.setdefault(line["event"], line["at"])
    told: set[str] = set()
    for line in story.of("send"):
        name = line["event"]
        if line["to"] != SUCCEEDED or name in told:
            continue
        told.add(name)
        early = first.get(name, line["at"]) - line["at"]
        if early > CLOCK_SECONDS:
            yield Finding("early success", name, f"sent {early:.2f} s before")


def told_when_gone(story: Story) -> Iterator[Finding]:
    """Find events that came long after their item was gone and were told as imported."""
    came: dict[str, float] = {}
    told: dict[str, float] = {}
    for line in story.of("deliver", "send"):
        if line["op"] == "deliver":
            came[line["event"]] = line["at"]
        elif line["to"] == SUCCEEDED:
            told[line["event"]] = came.get(line["event"], 0.0)
    for name, event in story.events.items():
        late = told.get(name, 0.0) - (event.gone_at or float("inf"))
        if late > UNAWARE_SECONDS:
            text = f"it came {late:.1f} s after its item was gone, and was told as there"
            yield Finding("lost", name, text)


def late_commit(story: Story) -> Iterator[Finding]:
    """Find items that the portal made later than it may."""
    settle = story.log.run.get("settle")
    calls = {line["call"]: line["at"] for line in story.of("call")}
    for line in story.of("commit"):
        late = line["at"] - calls.get(line["call"], line["at"])
        if settle is not None and late > settle:
            yield Finding("late commit", line["event"], f"{late:.1f} s after its call")
