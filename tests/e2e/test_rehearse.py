"""Proves `publish --rehearse`: it judges as importer and portal do, and changes nothing."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.amqp import Upstream, next_of
from tests.support.broker import Broker
from tests.support.commands import Commands, Done
from tests.support.environment import FAILED, QUICK, SUCCEEDED, Environment
from tests.support.patience import Deadline, patient
from tests.support.processes import PortalProcess
from tests.support.rehearsal_cases import PORTAL, lines

RESULT_SECONDS = 120.0
LONG = 10_000

SAID = re.compile(
    r"^line (?P<line>\d+) (?P<level>would fail|may fail|not judged): (?P<what>.*)$", re.MULTILINE
)
CODE = re.compile(r"(?P<code>[A-Z0-9_]+): ")
FIRST = b'{"entityTypeId":2,"id":"first","fields":{"title":"so that no line begins a list"}}'
OURS = {
    "WRONG_SHAPE",
    "VALIDATION_FAILED",
    "MESSAGE_TOO_LARGE",
    "LINK_NOT_FOUND",
    "LINK_NOT_POSSIBLE",
}
NOWHERE = "amqp://guest:guest@127.0.0.1:1/"


def rehearsing(portal: PortalProcess, **settings: str) -> Commands:
    """Return the command line of somebody who has a portal and no broker."""
    more = {f"IMPORTER_{name}": value for name, value in settings.items()}
    url = {"IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url}
    return Commands(NOWHERE, {**QUICK, **url, **more})


def said(done: Done) -> dict[int, tuple[str, str]]:
    """Return what was said of each bad line: how bad, and why; the worst comes first."""
    found: dict[int, tuple[str, str]] = {}
    for each in SAID.finditer(done.err):
        found.setdefault(int(each["line"]), (each["level"], each["what"]))
    return found


async def rehearsed(commands: Commands, bodies: Sequence[bytes]) -> list[tuple[str, str]]:
    """Return what is said of every line; no reason is that of so many that some are not named."""
    done = await commands.run("publish", "--rehearse", stdin=b"\n".join([FIRST, *bodies]))
    bad = said(done)
    assert (1 if any(each[0] != "may fail" for each in bad.values()) else 0) == done.code
    return [bad.get(at, ("good", "")) for at in range(2, len(bodies) + 2)]


async def imported(environment: Environment, bodies: Sequence[bytes]) -> list[Mapping[str, Any]]:
    """Return the importer's result for every line, found by the correlation of its message."""
    names = [f"message-{at}" for at in range(len(bodies))]
    told: dict[str, Mapping[str, Any]] = {}
    async with Upstream(environment.broker.url(environment.vhost)) as upstream:
        for name, body in zip(names, bodies, strict=True):
            await upstream.publish(body, message_id=name, correlation_id=name)
        queues = [await upstream.queue(each) for each in (SUCCEEDED, FAILED)]
        deadline = Deadline(RESULT_SECONDS)
        while len(told) < len(names):
            assert not deadline.passed, f"no results: {sorted(set(names) - set(told))[:5]}"
            for queue in queues:
                while (message := await next_of(queue)) is not None:
                    told[str(message.correlation_id)] = json.loads(message.body)["data"]
                    await message.ack()
            await asyncio.sleep(0.1)
    return [told[name] for name in names]


def disagreement(judged: tuple[str, str], result: Mapping[str, Any]) -> str | None:
    """Return how a rehearsal and an import of one line differ; None where they agree.

    What may fail may do either. A code is the same; so are the words, where they are ours.
    """
    level, what = judged
    error = result.get("error")
    if level in {"may fail", "not judged"}:
        return None
    if level == "good":
        return None if error is None else f"good, and fails with {error['code']}"
    if error is None:
        return f"{what}, and is imported"
    code = CODE.match(what)
    if code is None or code["code"] != error["code"]:
        return f"{what}, and fails with {error['code']}: {error['message']}"
    words = what[code.end() :]
    ours = error["code"] in OURS
    return (
        f"{words} is not in {error['message']}" if ours and words not in error["message"] else None
    )


@pytest.mark.parametrize(
    ("settings", "admin"),
    [({}, True), ({}, False), ({"VALIDATION": "reject"}, True)],
    ids=["warn", "no-administrator", "reject"],
)
async def test_rehearsal_and_import_agree_on_every_line(
    broker: Broker, vhost: str, settings: dict[str, str], *, admin: bool
) -> None:
    """What it calls good is imported; what it calls bad fails, with the same code and words."""
    bodies = lines()
    async with Environment(broker, vhost, portal={**PORTAL, "admin": admin}) as environment:
        judged = await rehearsed(rehearsing(environment.portal, **settings), bodies)
        assert {"crm.item.fields", "crm.item.list", "profile"} >= {
            call["method"] for call in environment.portal.ledger()["calls"]
        }
        # Items that the brake counts as refused are this test's own doing.
        await environment.start_service(BRAKE__SHARE="0", **settings)
        results = await imported(environment, bodies)
    found = {
        body.decode(errors="replace")[:120]: wrong
        for body, said_of, result in zip(bodies, judged, results, strict=True)
        if (wrong := disagreement(said_of, result)) is not None
    }
    assert {} == found
    levels = Counter(level for level, _ in judged)
    assert len(bodies) / 3 < levels["good"] + levels["would fail"]
    assert len(bodies) / 10 > levels["may fail"] + levels["not judged"]


def linked(event_id: str, kind: int = 2, **links: Any) -> bytes:
    """Return the line of an event that refers to others."""
    event = {"entityTypeId": kind, "id": event_id, "fields": {"comments": "x"}, "links": links}
    return json.dumps(event).encode()


def to(event_id: str, kind: int = 3, **more: str) -> dict[str, Any]:
    """Return a reference."""
    return {"entityTypeId": kind, "id": event_id, **more}


def plain(event_id: str, kind: int = 3, **fields: Any) -> bytes:
    """Return the line of an event that refers to nothing."""
    fields = {"name" if kind == 3 else "comments": "x", **fields}
    return json.dumps({"entityTypeId": kind, "id": event_id, "fields": fields}).encode()


LINKED = (
    plain("first"),
    linked("to-a-later-line", contactId=to("later")),
    linked("to-several", contactIds=[to("first"), to("later")]),
    linked("to-the-crm", contactId=to("there")),
    linked("to-nobody", contactId=to("nobody")),
    linked("to-nobody-among-others", contactIds=[to("first"), to("nobody"), to("later")]),
    linked("behind-one-that-fails", parentId2=to("to-nobody", 2)),
    linked("to-a-bad-line", contactId=to("nameless")),
    plain("nameless", name=""),
    linked("circle-1", parentId2=to("circle-2", 2)),
    linked("circle-2", parentId2=to("circle-1", 2)),
    linked("behind-a-circle", parentId2=to("circle-1", 2)),
    linked("to-an-estimate", quoteId=to("estimate", 7)),
    plain("estimate", 7),
    linked("to-no-type", parentId999=to("x", 999)),
    linked("to-a-bad-type-of-the-file", parentId999=to("of-no-type", 999)),
    plain("of-no-type", 999),
    linked("to-itself", parentId2=to("to-itself", 2)),
    linked("to-theirs", contactId=to("77", originatorId="shop")),
    plain("theirs", originId="77", originatorId="shop"),
    linked("to-a-stranger", contactId=to("77", originatorId="other")),
    linked("sound-behind-sound", parentId2=to("to-a-later-line", 2)),
    linked("odd", contactId="later"),
    linked("empty", contactIds=[]),
    linked("twice", comments=to("later")),
    linked("lossy", contactNr=to("later")),
    plain("later"),
)
LINKS_WAIT_SECONDS = 3.0
"""Long enough on an idle machine for the file's last line to be imported."""


async def test_rehearsal_and_import_agree_on_links(broker: Broker, vhost: str) -> None:
    """To other lines, to the CRM, to nothing, in circles, to what cannot be referred to."""
    wait = f"{patient(LINKS_WAIT_SECONDS):g}"
    settings = {"LINKS__WAIT_SECONDS": wait, "PAUSE__PROBE_SECONDS": "0.5"}
    async with Environment(broker, vhost, portal=PORTAL) as environment:
        await environment.start_service(BRAKE__SHARE="0", **settings)
        await environment.publish([plain("there")])
        await environment.settle(["there"])
        done = await rehearsing(environment.portal, **settings).run(
            "publish", "--rehearse", stdin=b"\n".join(LINKED)
        )
        bad = said(done)
        results = await imported(environment, LINKED)
    wrong = {
        result["eventId"]: told
        for at, result in enumerate(results, start=1)
        if (told := disagreement(bad.get(at, ("good", "")), result)) is not None
    }
    assert {} == wrong
    assert {"would fail"} == {level for level, _ in bad.values()}
    circle = next(what for _, what in bad.values() if "→" in what)
    assert "2/circle-1 → 2/circle-2 → 2/circle-1" in circle


def deals(count: int, start: int = 0) -> bytes:
    """Return good lines of deals."""
    return b"".join(
        json.dumps({"entityTypeId": 2, "id": f"d{n}", "fields": {"title": "x"}}).encode() + b"\n"
        for n in range(start, start + count)
    )


async def test_a_good_file_says_how_long_it_will_take() -> None:
    """Exit 0; nothing is sent to the portal but questions, and no broker is needed."""
    with PortalProcess() as portal:
        done = await rehearsing(portal).run("publish", "--rehearse", stdin=deals(250))
        assert (0, "") == (done.code, done.err)
        assert "250 lines rehearsed: 250 good; nothing was published" in done.out
        assert re.search(r"time: between .* for 250 items in 13 calls, under", done.out)
        assert [] == portal.ledger()["items"]


async def test_a_rehearsal_as_json_is_for_programs() -> None:
    """The same findings, with their lines as ranges, the worst first."""
    flawed = b'{"entityTypeId":2,"id":"f","fields":{"titel":"x"}}\n'
    with PortalProcess() as portal:
        file = b"{}\n" + deals(2) + flawed + b"{}\n{}\n"
        done = await rehearsing(portal).run("publish", "--rehearse", "--json", stdin=file)
    document = json.loads(done.out)
    assert (1, 6) == (done.code, document["lines"])
    worst = {"good": 2, "note": 0, "loss": 1, "may fail": 0, "not judged": 0, "would fail": 3}
    assert worst == document["byWorst"]
    bad, loss = document["findings"]
    assert ("would fail", "WRONG_SHAPE", 3, [[1, 1], [5, 6]]) == tuple(
        bad[name] for name in ("level", "code", "count", "first")
    )
    assert ("loss", None, "did you mean title?") == (loss["level"], loss["code"], loss["remedy"])
    assert (3, 1, [2]) == tuple(
        document["forecast"][name] for name in ("items", "calls", "assumedTypes")
    )
    assert (None, False) == (document["portal"], document["endedEarly"])


async def test_a_rehearsal_goes_on_after_nothing() -> None:
    """What an option cannot mean is said, and nothing is done."""
    url = {"IMPORTER_BITRIX__WEBHOOK_URL": "http://127.0.0.1:1/rest/1/secret/"}
    commands = Commands(NOWHERE, url)
    done = await commands.run("publish", "--rehearse", "--after", "a", stdin=deals(1))
    assert (1, "") == (done.code, done.out)
    assert "--after continues a publish" in done.err


async def test_ids_that_are_in_the_crm_are_named(broker: Broker, vhost: str) -> None:
    """What that means depends on whether the importer asks before it sends."""
    async with Environment(broker, vhost) as environment:
        await environment.start_service()
        await environment.publish(map(json.loads, deals(3).splitlines()))
        await environment.settle(["d0", "d1", "d2"])
        file = deals(5, start=1)
        done = await rehearsing(environment.portal).run("publish", "--rehearse", stdin=file)
        assert 0 == done.code
        assert re.search(r"^loss +2 lines: 1-2\n +is in the CRM already;", done.out, re.MULTILINE)
        asking = rehearsing(environment.portal, LOOKUP="always")
        done = await asking.run("publish", "--rehearse", stdin=file)
        assert re.search(r"^note +2 lines: 1-2\n +is in the CRM already;", done.out, re.MULTILINE)


async def test_a_portal_that_cannot_be_reached_is_one_sentence() -> None:
    """Exit 1: the shape is judged all the same, and what was not judged is named."""
    url = {"IMPORTER_BITRIX__WEBHOOK_URL": "http://127.0.0.1:1/rest/1/secret/"}
    done = await Commands(NOWHERE, url).run("publish", "--rehearse", stdin=b"{}\n" + deals(30))
    assert 1 == done.code
    assert ("would fail", "WRONG_SHAPE") == (said(done)[1][0], said(done)[1][1].split(":")[0])
    [error] = [each for each in done.err.splitlines() if each.startswith("error: ")]
    assert "the portal cannot be reached" in error
    assert "fields, links, and what is in the CRM already were not, for 30 lines" in error
    assert "31 lines rehearsed: 0 good, 30 not judged, 1 would fail" in done.out
    assert "secret" not in done.out + done.err


@pytest.mark.parametrize(
    ("state", "says"),
    [("credentials", "INVALID_CREDENTIALS"), ("scope", "insufficient_scope"), ("plan", "")],
)
async def test_a_portal_that_refuses_us_says_who_must_act(state: str, says: str) -> None:
    """Without waiting: nothing would change."""
    with PortalProcess({"state": state}) as portal:
        begun = time.monotonic()
        done = await rehearsing(portal).run("publish", "--rehearse", stdin=deals(3))
        assert (1, patient(30)) > (done.code, time.monotonic() - begun)
    [error] = [each for each in done.err.splitlines() if each.startswith("error: ")]
    assert says in error
    assert "the portal's administrator" in error


async def test_refusals_of_a_full_bucket_slow_it_down_and_cost_nothing() -> None:
    """It says so once."""
    refuse = {"kind": "refuse", "method": "*", "status": 503, "code": "QUERY_LIMIT_EXCEEDED"}
    with PortalProcess() as portal:
        portal.faults([{**refuse, "times": 3}])
        done = await rehearsing(portal).run("publish", "--rehearse", stdin=deals(450))
    # A run of more than five seconds also says how far it is.
    [told] = [each for each in done.err.splitlines() if each.startswith("slower: ")]
    assert told.startswith("slower: the portal answered HTTP 503, QUERY_LIMIT_EXCEEDED")
    assert 0 == done.code
    assert "450 good" in done.out


async def test_alone_it_is_never_refused() -> None:
    """It keeps to the portal's bucket as the importer does."""
    with PortalProcess({"rate": 20, "burst": 5}) as portal:
        commands = rehearsing(portal, BITRIX__REQUESTS_PER_SECOND="20", BITRIX__BURST="5")
        lines = b"".join(
            json.dumps({"entityTypeId": 200 + n, "id": "a", "fields": {"a": 1}}).encode() + b"\n"
            for n in range(60)
        )
        done = await commands.run("publish", "--rehearse", stdin=lines)
        calls = portal.ledger()["calls"]
    assert (1, 60) == (done.code, len(calls))
    assert not any(each.startswith("slower: ") for each in done.err.splitlines())


async def test_what_may_not_be_read_is_not_judged(tmp_path: Path) -> None:
    """Exit 1: nobody may take silence for good news. The other types are judged."""
    with PortalProcess({"read_denied": [4]}) as portal:
        company = b'{"entityTypeId":4,"id":"c","fields":{"title":"x"}}\n'
        file = tmp_path / "mixed.jsonl"
        file.write_bytes(deals(2) + company)
        done = await rehearsing(portal).run("publish", "--rehearse", str(file))
    assert 1 == done.code
    assert {3: "not judged"} == {line: level for line, (level, _) in said(done).items()}
    assert "ACCESS_DENIED" in done.err
    assert "2 good, 1 not judged" in done.out


async def test_the_importer_tells_what_an_item_costs_today(broker: Broker, vhost: str) -> None:
    """Its /status is asked; the span gets narrow, and the import takes as long."""
    limits = {
        "BITRIX__REQUESTS_PER_SECOND": "4",
        "BITRIX__BURST": "10",
        "BATCH__WINDOW_SECONDS": "0.5",
    }
    portal = {"rate": 4, "burst": 10, "default_item_seconds": 0.02, "report": "real"}
    async with Environment(broker, vhost, portal=portal) as environment:
        service = await environment.start_service(**limits)
        await environment.publish(map(json.loads, deals(100).splitlines()))
        await environment.settle([f"d{n}" for n in range(100)])
        commands = rehearsing(
            environment.portal, CONSOLE__STATUS_URL=f"{service.url}status", **limits
        )
        done = await commands.run("publish", "--rehearse", stdin=deals(600, start=100))
        assert 0 == done.code
        assert "at the speed that the importer measured today" in done.out
        found = re.search(
            r"time: (?:between (?P<low>\d+) seconds? and|about) (?P<high>\d+) s", done.out
        )
        assert found is not None
        begun = time.monotonic()
        await environment.publish(map(json.loads, deals(600, start=100).splitlines()))
        await environment.settle([f"d{n}" for n in range(100, 700)])
        took = time.monotonic() - begun
    assert float(found["low"] or found["high"]) / 2 < took
    assert float(found["high"]) < patient(60)


async def test_a_terminal_shows_how_far_it_is_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    """What was judged up to then is told."""
    file = tmp_path / "long.jsonl"
    file.write_bytes(b"{}\n" + deals(20_000))
    with (
        PortalProcess({"call_seconds": {"crm.item.list": 0.5}}) as portal,
        rehearsing(portal).terminal("publish", "--rehearse", str(file)) as terminal,
    ):
        terminal.wait_for("rehearsing")
        terminal.wait_for("lines, ")
        terminal.interrupt()
        assert 1 == terminal.wait()
        assert "ended early: the lines below were not rehearsed" in terminal.text
        assert "1 would fail" in terminal.text


async def test_a_long_file_takes_no_memory(tmp_path: Path) -> None:
    """Many lines, each wrong in a way of its own, and each with an id of its own."""
    file = tmp_path / "long.jsonl"
    with file.open("wb") as out:
        for at in range(LONG):
            fields = {"title": "x" * 100, "name" + "abcdefghij"[at % 10] * (at % 97): at}
            event = {"entityTypeId": 2, "id": f"event-{at}", "fields": fields}
            out.write(json.dumps(event).encode() + b"\n")
    with PortalProcess({"light": True}) as portal:
        with rehearsing(portal).start("publish", "--rehearse", str(file)) as process:
            most = 0
            while process.poll() is None:
                most = max(most, _resident(process.pid))
                await asyncio.sleep(0.05)
            assert process.stdout is not None
            out_text = process.stdout.read().decode()
        calls = Counter(call["method"] for call in portal.ledger()["calls"])
    assert 0 == process.returncode
    assert f"{LONG:,} lines rehearsed" in out_text
    assert 20_000 < most < 150_000
    assert {"crm.item.fields": 1, "crm.item.list": LONG / 200} == calls


def _resident(pid: int) -> int:
    """Return the memory of a process in kB; 0 when it has ended."""
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0
