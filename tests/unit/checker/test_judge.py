"""Tests that the checker finds every planted fault, and nothing in a log without one."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import kept
from tests.checker.__main__ import main
from tests.checker.finding import RULES
from tests.checker.judge import judge
from tests.checker.log import FORMAT, MEMBERS, parse, read

Lines = list[dict[str, Any]]
SAMPLE = kept.FOLDER / "sample.jsonl"
GOOD, BAD = "good", "bad"
INTAKE, PARKED = "crm.items.import", "crm.items.parked.2"
HEALED = 3.0


def line(operation: str, at: float, **members: Any) -> dict[str, Any]:
    """Return a line of a log."""
    return {"at": at, "op": operation, **members}


def sent(at: float, number: int, to: str, event: str) -> Lines:
    """Return a publish of the importer and its confirm, half a second later."""
    place = {"line": 1, "channel": 1, "number": number}
    publish = line("send", at, **place, to=to, event=event, body=f"body of {event}")
    return [publish, line("confirm", at + 0.5, **place)]


def came(at: float, tag: int, event: str, queue: str = INTAKE, *, again: bool = False) -> Lines:
    """Return a delivery, and its acknowledgement a tenth of a second later."""
    place = {"line": 2, "channel": 1, "tag": tag}
    took = line("deliver", at, **place, queue=queue, event=event, redelivered=again)
    return [took, line("ack", at + 0.1, **place)]


def published(at: float, message: int, event: str, may_end: str) -> Lines:
    """Return a publish of upstream and its confirm."""
    said = {"message": message, "event": event, "type": 2, "body": f"body of {event}"}
    return [
        line("publish", at, **said, may_end=[[may_end]]),
        line("accept", at + 0.1, message=message, event=event),
    ]


def clean() -> Lines:
    """Return the log of a run in which one event was imported and one was refused."""
    run = dict.fromkeys(("fault", "seed", "broker", "nodes", "mix", "commit"), "x")
    lines = [line("run", 0.0, format=FORMAT, settle=1.0, **run)]
    for tag, (event, may_end) in enumerate({GOOD: "succeeded", BAD: "rejected"}.items()):
        took, let_go = came(0.3, tag, event)
        lines += [*published(0.1, tag, event, may_end), took, {**let_go, "at": 6.5}]
    call = {"call": 1, "method": "crm.item.batchimport", "type": 2, "events": [GOOD, BAD]}
    lines += [
        line("fault", 0.4, what="a cut", state="begin"),
        line("fault", 2.5, what="a cut", state="end"),
        line("call", 1.0, **call),
        line("commit", 1.5, call=1, item=7, type=2, event=GOOD),
        line("answer", 2.0, call=1, status=200, error=None, fault=None),
        *sent(3.0, 1, "succeeded", GOOD),
        *sent(5.0, 2, "failed", BAD),
        *sent(5.6, 3, "dead_letter", BAD),
        line("result", 7.0, event=GOOD, outcome="succeeded", item=7, id="r1"),
        line("result", 7.0, event=BAD, outcome="rejected", item=None, id="r2"),
        line("letter", 7.0, event=BAD, kind="rejected", body=f"body of {BAD}"),
        line("depth", 8.0, queue=INTAKE, ready=0, unacked=0),
    ]
    return lines


def text_of(lines: Sequence[Mapping[str, Any]]) -> str:
    """Write a log with its last line."""
    ended = [*lines, line("end", 9.0, lines=len(lines) + 1)]
    return "".join(json.dumps(one) + "\n" for one in ended)


def rules(text: str) -> list[str]:
    """Return the rules that were broken."""
    return sorted({finding.rule for finding in judge(parse(text)).findings})


def without(lines: Lines, operation: str, **members: Any) -> Lines:
    """Leave out the lines of an operation that have these members."""
    found = [one for one in lines if one["op"] == operation and members.items() <= one.items()]
    assert found
    return [one for one in lines if one not in found]


def changed(lines: Lines, operation: str, event: str | None = None, **members: Any) -> Lines:
    """Change members of the lines of an operation."""
    lines = copy.deepcopy(lines)
    found = [one for one in lines if one["op"] == operation and event in {None, one.get("event")}]
    assert found
    for one in found:
        one.update(members)
    return lines


AGAIN = line("commit", 1.6, call=1, item=8, type=2, event=GOOD)
AGAIN_SENT = sent(6.2, 9, "succeeded", GOOD)
PLANTED: Mapping[str, tuple[str, Callable[[Lines], Lines]]] = {
    "no result": ("lost", lambda lines: without(lines, "result", event=GOOD)),
    "a success that the portal never saw": ("lost", lambda lines: without(lines, "commit")),
    "a second item": ("doubled", lambda lines: [*lines, AGAIN]),
    "another item": ("wrong item", lambda lines: changed(lines, "result", GOOD, item=9)),
    "a refusal of what is there": (
        "refused and there",
        lambda lines: [*lines, {**AGAIN, "event": BAD}],
    ),
    "no dead letter": ("dead letter", lambda lines: without(lines, "letter")),
    "a dead letter of a success": (
        "dead letter",
        lambda lines: [*lines, line("letter", 7.0, event=GOOD, kind="ambiguous", body="x")],
    ),
    "a dead letter of another kind": (
        "dead letter",
        lambda lines: changed(lines, "letter", kind="ambiguous"),
    ),
    "another outcome than may be": (
        "wrong outcome",
        lambda lines: changed(lines, "result", BAD, outcome="ambiguous"),
    ),
    "two results that contradict each other": (
        "wrong outcome",
        lambda lines: [
            *lines,
            line("result", 7.1, event=GOOD, outcome="rejected", item=None, id="r3"),
        ],
    ),
    "two ids of one success": (
        "result id",
        lambda lines: [
            *lines,
            line("result", 7.1, event=GOOD, outcome="succeeded", item=7, id="r3"),
        ],
    ),
    "a message let go before its result is sent": (
        "early acknowledgement",
        lambda lines: changed(lines, "ack", at=0.9),
    ),
    "a message let go before its result is confirmed": (
        "early acknowledgement",
        lambda lines: without(lines, "confirm", number=1),
    ),
    "a failed message let go before its dead letter": (
        "early acknowledgement",
        lambda lines: without(lines, "confirm", number=3),
    ),
    "a dead letter before its result": (
        "early dead letter",
        lambda lines: changed(lines, "send", BAD, at=4.0),
    ),
    "21 items in a call": ("batch", lambda lines: changed(lines, "call", events=["e"] * 21)),
    "two types in a call": (
        "batch",
        lambda lines: [*lines, {**AGAIN, "event": "other", "type": 3}],
    ),
    "a message that stays": ("left over", lambda lines: changed(lines, "depth", ready=1)),
    "an event that still waits": (
        "waiting",
        lambda lines: changed(without(lines, "result", event=GOOD), "depth", unacked=1),
    ),
    "a commit after the settle time": (
        "late commit",
        lambda lines: changed(lines, "commit", at=2.1),
    ),
    "a run that broke": ("broken", lambda lines: [*lines, line("broken", 8.0, why="a bug")]),
    "a line without a member": ("damaged", lambda lines: [*lines, line("ack", 8.0)]),
    "an operation that nobody knows": ("damaged", lambda lines: [*lines, line("guess", 8.0)]),
    "a log without its run": ("damaged", lambda lines: lines[1:]),
    "another format": ("damaged", lambda lines: changed(lines, "run", format=3)),
    "a message that was let go without anything": (
        "early acknowledgement",
        lambda lines: [*lines, *published(7.5, 9, BAD, "rejected"), *came(7.7, 9, BAD)],
    ),
    "a repeat of a success that was let go without anything": (
        "early acknowledgement",
        lambda lines: [*lines, *published(7.5, 9, GOOD, "succeeded"), *came(7.7, 9, GOOD)],
    ),
    "an accepted message that nobody ever got": (
        "lost",
        lambda lines: [*lines, *published(7.5, 9, GOOD, "succeeded")],
    ),
    "a message that came again in vain, although it was acknowledged": (
        "lost",
        lambda lines: [*lines, came(7.5, 9, GOOD, again=True)[0]],
    ),
    "a parked copy that was let go before any result": (
        "early acknowledgement",
        lambda lines: [*lines, *sent(0.4, 9, "parked", GOOD), *came(1.2, 9, GOOD, PARKED)],
    ),
    "a delivery from nowhere": ("damaged", lambda lines: changed(lines, "deliver", queue="")),
    "one id for all results": ("result id", lambda lines: changed(lines, "result", id="r")),
    "a dead letter that nobody sent": (
        "damaged",
        lambda lines: [
            *lines,
            line("letter", 7.1, event=BAD, kind="rejected", body="body of bad"),
        ],
    ),
    "a result that nobody sent": (
        "damaged",
        lambda lines: [
            *lines,
            line("result", 7.1, event=GOOD, outcome="succeeded", item=7, id="r1"),
        ],
    ),
    "an outcome that was sent twice": ("repeated", lambda lines: [*lines, *AGAIN_SENT]),
    "a dead letter that was sent twice": (
        "repeated",
        lambda lines: [*lines, *sent(6.3, 9, "dead_letter", BAD)],
    ),
    "an item of nobody": ("stray", lambda lines: [*lines, {**AGAIN, "event": "ghost"}]),
    "an item of another type": ("stray", lambda lines: changed(lines, "commit", type=3)),
    "an item that is made while it is there": (
        "damaged",
        lambda lines: [*lines, {**AGAIN, "item": 7}],
    ),
    "an item of no call": ("damaged", lambda lines: changed(lines, "commit", call=9)),
    "a call of another type": ("batch", lambda lines: changed(lines, "call", type=3)),
    "an event twice in a call": ("batch", lambda lines: changed(lines, "call", events=[GOOD] * 2)),
    "a success before its item": (
        "early success",
        lambda lines: [*lines, *sent(1.1, 9, "succeeded", GOOD)],
    ),
    "a success that is told again when its item is gone": (
        "lost",
        lambda lines: [
            *lines,
            line("gone", 3.8, item=7),
            *came(6.1, 9, GOOD, again=True),
            *AGAIN_SENT,
        ],
    ),
    "another body in a dead letter": ("body", lambda lines: changed(lines, "letter", body="x")),
    "another body in a parked copy": (
        "body",
        lambda lines: [*lines, {**sent(6.2, 9, "parked", GOOD)[0], "body": "x"}],
    ),
    "a log without its wire": ("damaged", lambda lines: without(lines, "send")),
    "a log without the queues": ("damaged", lambda lines: without(lines, "depth")),
    "a log without calls": ("damaged", lambda lines: without(lines, "call")),
    "a log without events": ("damaged", lambda lines: [lines[0], lines[-1]]),
    "outcomes that are no list": (
        "damaged",
        lambda lines: changed(lines, "publish", may_end=None),
    ),
}


def test_a_log_of_a_good_run_has_no_findings() -> None:
    """And its figures are right."""
    verdict = judge(parse(text_of(clean())))
    assert [] == list(verdict.findings)
    assert (2, 2, 2) == (verdict.events, verdict.accepted, verdict.ended)
    assert verdict.heal == pytest.approx(HEALED)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    """By the rule that it breaks."""
    rule, plant = PLANTED[name]
    assert rule in rules(text_of(plant(clean())))


@pytest.mark.parametrize("operation", ["result", "commit", "letter"])
def test_a_run_that_broke_off_does_not_tell_what_was_lost(operation: str) -> None:
    """Nobody has read what came after it; what was seen before it still counts."""
    lines = [*without(clean(), operation), line("broken", 8.0, why="a bug")]
    assert ["broken"] == rules(text_of(lines))
    assert ["broken", "doubled"] == rules(text_of([*without(clean(), "letter"), AGAIN, lines[-1]]))


def test_every_rule_has_a_planted_fault() -> None:
    """And every planted fault a rule."""
    assert set(RULES) == {rule for rule, _ in PLANTED.values()}


def test_a_truncated_log_is_found_wherever_it_ends() -> None:
    """In the middle of a line, or between two."""
    whole = text_of(clean())
    for end in range(0, len(whole) - 1, 7):
        assert "damaged" in rules(whole[:end]), end


def test_a_missing_line_is_found_wherever_it_was() -> None:
    """The last line counts them."""
    whole = text_of(clean()).splitlines(keepends=True)
    for place in range(len(whole)):
        assert "damaged" in rules("".join([*whole[:place], *whole[place + 1 :]])), place


def test_what_the_operator_chose_is_no_fault() -> None:
    """A scenario allows it event by event, in the log."""
    again = line("result", 7.1, event=GOOD, outcome="succeeded", item=7, id="r3")
    double = line("allow", 0.1, event=GOOD, what="double")
    repeat = line("allow", 0.1, event=GOOD, what="repeat")
    redelivered = [*came(5.0, 9, GOOD, again=True), *AGAIN_SENT]
    assert [] == rules(text_of([*clean(), AGAIN, *redelivered, again, double, repeat]))


def test_an_item_that_a_portal_set_back_forgot_is_not_doubled_by_the_next() -> None:
    """It is, if it was forgotten only afterwards."""
    gone = line("gone", 1.55, item=7)
    assert [] == rules(text_of([*clean(), AGAIN, gone]))
    late = {**gone, "at": 1.7}
    assert ["doubled"] == rules(text_of([*clean(), AGAIN, late]))


def test_a_parked_copy_lets_a_message_go() -> None:
    """And its copy in the intake lets the parked one go."""
    place = {"line": 2, "channel": 1, "tag": 9}
    took = line("deliver", 0.8, **place, queue="crm.items.parked.2", event=GOOD, redelivered=False)
    early = changed(without(clean(), "ack", tag=0), "ack")
    parked = [*sent(0.4, 4, "parked", GOOD), line("ack", 0.95, line=2, channel=1, tag=0)]
    assert [] == rules(text_of([*early, *parked]))
    back = [*sent(1.0, 5, "intake", GOOD), took, line("ack", 1.6, **place)]
    assert [] == rules(text_of([*early, *parked, *back]))


def test_the_program_tells_good_logs_from_bad_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its exit code and in words."""
    good, bad, missing = (tmp_path / name for name in ("one", "bad", "missing"))
    good.write_text(text_of(clean()))
    bad.write_text(text_of([*clean(), AGAIN]))
    assert 0 == main([str(good)])
    assert "good" in capsys.readouterr().out
    assert 1 == main([str(good), str(bad)])
    printed = capsys.readouterr().out
    assert "BROKEN" in printed
    assert f"bad: doubled: {GOOD}: " in printed
    assert 2 == main([str(missing)])
    with pytest.raises(SystemExit) as without:
        main([])
    assert 2 == without.value.code


def test_the_help_teaches_what_is_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """A stranger learns the verdicts, the rules and an example."""
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert 0 == done.value.code
    told = capsys.readouterr().out
    assert [] == [name for name, meaning in RULES.items() if f"  {name}: {meaning}\n" not in told]
    assert {"good", "BROKEN", "void", "tests/chaos/sample.jsonl"} <= {*told.split()}


def test_the_sample_log_is_good_and_a_fault_planted_in_it_is_found() -> None:
    """A real run, one line left out."""
    verdict = judge(read(SAMPLE))
    assert verdict.clean
    assert verdict.accepted > 0
    written = SAMPLE.read_text().splitlines(keepends=True)
    for operation in ("result", "commit", "letter"):
        place = next(n for n, one in enumerate(written) if f'"op":"{operation}"' in one)
        assert rules("".join([*written[:place], *written[place + 1 :]]))


def test_the_sample_log_shows_nearly_every_operation() -> None:
    """The others are rare."""
    shown = {one["op"] for one in read(SAMPLE).lines}
    rare = {"broken", "allow", "gone", "give_back", "refuse", "hang_up"}
    assert set(MEMBERS) - rare <= shown
