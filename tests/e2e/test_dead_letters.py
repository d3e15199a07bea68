"""Proves the `dlq` commands as people use them: at a terminal, in pipes, interrupted, killed."""

import asyncio
import gzip
import json
import random
import re
import shlex
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from aio_pika import Message

from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.commands import Commands
from tests.support.environment import Environment
from tests.support.letters import INTAKE_QUEUE, QUEUE, Letters, letter
from tests.support.proxy import Moment, Proxy

TITLE_REQUIRED = {"required": {"2": ["title"]}}


def undelivered(event_id: str, entity_type: int = 2) -> Message:
    """Return a letter as the broker itself puts it there: nothing of ours, only its x-death."""
    death: dict[str, Any] = {
        "queue": INTAKE_QUEUE,
        "reason": "delivery_limit",
        "count": 1,
        "exchange": "crm.items",
        "routing-keys": ["item.from-upstream"],
        "time": datetime.now(UTC),
    }
    body = {"entityTypeId": entity_type, "id": event_id, "fields": {"title": "x"}}
    return Message(
        json.dumps(body).encode(),
        headers={"x-death": [death], "x-first-death-reason": "delivery_limit", "theirs": "kept"},
        message_id="upstream-1",
        content_type="application/json",
        app_id="shop",
    )


async def intake(broker: Broker, vhost: str, count: int) -> list[Any]:
    """Take what was sent back to the intake."""
    async with Upstream(broker.url(vhost)) as upstream:
        messages = await upstream.drain(INTAKE_QUEUE, count, timeout=5)
        assert 0 == await upstream.ready(INTAKE_QUEUE)
    return messages


# ---- list and show ----


async def test_list_groups_by_kind_and_code(letters: Letters, commands: Commands) -> None:
    """The largest group stands first, with its oldest letter as the sample."""
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    await letters.put(
        letter("young"),
        letter("old", headers={"import_failed_at": old}),
        letter("other", kind="unsupported", code="NOT_FOUND", entity_type=999),
        undelivered("u"),
    )
    done = await commands.run("dlq", "list")
    assert (0, "") == (done.code, done.err)
    head, first, *rest, total = done.out.splitlines()
    columns = ["kind", "code", "letters", "of type", "oldest", "newest", "sample id"]
    assert columns == re.split(r" {2,}", head.strip())
    assert first.split() == [
        "rejected",
        "CRM_FIELD_ERROR_REQUIRED",
        "2",
        "2",
        "3d",
        "ago",
        *first.split()[6:8],
        "old",
    ]
    assert {"unsupported", "undelivered"} == {line.split()[0] for line in rest}
    assert "4 dead letters in queue crm.items.dlq" == total
    assert 4 == await letters.ready()


async def test_list_as_json_is_for_programs(letters: Letters, commands: Commands) -> None:
    """Only the document stands on standard output; filters say how many match."""
    await letters.put(letter("a"), letter("b"), letter("c", entity_type=1))
    done = await commands.run("dlq", "list", "--json", "--type", "2")
    document = json.loads(done.out)
    assert (3, 2) == (document["letters"], document["matching"])
    [group] = document["groups"]
    assert ("rejected", 2, {"2": 2}) == (group["kind"], group["count"], group["entityTypes"])


async def test_an_empty_queue_is_no_failure(letters: Letters, commands: Commands) -> None:
    """It says so, and exits 0."""
    done = await commands.run("dlq", "list")
    assert (0, "no dead letters in queue crm.items.dlq\n") == (done.code, done.out)


async def test_show_says_what_happened_and_who_must_act(
    letters: Letters, commands: Commands
) -> None:
    """Every letter of the id is shown whole, digits as they came; none is lost."""
    body = (
        b'{"entityTypeId":2,"id":"twice","fields":{"opportunity":1.10,"n":12345678901234567890}}'
    )
    await letters.put(letter("twice", body=body), letter("else"), letter("twice"))
    done = await commands.run("dlq", "show", "twice")
    assert (0, "") == (done.code, done.err)
    assert "dead letter 2 of 2" in done.out
    for text in ('"opportunity": 1.10', '"n": 12345678901234567890', "m-twice", "item.2"):
        assert text in done.out
    assert "who must act  the upstream system" in done.out
    assert "--set FIELD=VALUE" in done.out
    assert 3 == await letters.ready()


async def test_show_reads_what_is_packed(letters: Letters, commands: Commands) -> None:
    """A compressed body is shown unpacked; one that is no text at all is shown escaped."""
    packed = gzip.compress(b'{"entityTypeId":2,"id":"z","fields":{"title":"inside"}}')
    await letters.put(
        letter("z", body=packed, content_encoding="gzip"),
        letter("raw", kind="malformed", code="NOT_JSON", body=b"\xff\x1b[31mred"),
    )
    assert '"title": "inside"' in (await commands.run("dlq", "show", "z")).out
    raw = (await commands.run("dlq", "show", "raw")).out
    assert "\\xff" in raw
    assert "\x1b" not in raw


async def test_show_of_an_unknown_id_fails(letters: Letters, commands: Commands) -> None:
    """Exit 1 and one line; ids that begin so are named, and shown for the mark."""
    await letters.put(letter("a"), letter("big"))
    done = await commands.run("dlq", "show", "c")
    assert (1, "", 1) == (done.code, done.out, len(done.err.splitlines()))
    done = await commands.run("dlq", "show", "b")
    assert (1, "") == (done.code, done.out)
    assert "crm-importer dlq show big" in done.err
    done = await commands.run("dlq", "show", "b…")
    assert (0, 1) == (done.code, done.out.count("event id"))


# ---- redrive ----


async def test_a_redriven_message_is_the_original_again(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """Routing key, properties and foreign headers as they came; ours only id and count."""
    headers = {
        "theirs": bytearray(b"\xff\x00"),
        "traceparent": "00-1",
        "CC": ["elsewhere"],
        "x-death": [{"reason": "rejected", "count": 1}],
        "import_redrive_count": 2,
    }
    await letters.put(
        letter("a", headers=headers, correlation_id="c-1", app_id="shop", priority=3),
        routing_key="whatever",
    )
    done = await commands.run("dlq", "redrive")
    assert (0, "1 dead letter sent back to the intake\n", "") == (done.code, done.out, done.err)
    [message] = await intake(broker, vhost, 1)
    assert "item.2" == message.routing_key
    assert ("m-a", "c-1", "shop") == (message.message_id, message.correlation_id, message.app_id)
    ours = {"import_event_id": "a", "import_error_kind": "rejected", "import_redrive_count": 3}
    assert {"theirs", "traceparent", *ours} == set(message.headers) - {"x-delivery-count"}
    assert ours == {name: message.headers[name] for name in ours}
    assert 0 == await letters.ready()


async def test_what_the_broker_put_aside_goes_back_too(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """It has no headers of ours: key and id come from x-death and the body."""
    await letters.put(undelivered("u"))
    done = await commands.run(
        "dlq", "redrive", "--kind", "undelivered", "--code", "delivery_limit"
    )
    assert 0 == done.code
    [message] = await intake(broker, vhost, 1)
    assert ("item.from-upstream", "upstream-1") == (message.routing_key, message.message_id)
    ours = {
        "import_event_id": "u",
        "import_error_kind": "undelivered",
        "import_redrive_count": 1,
    }
    assert {"theirs": "kept", **ours} == {
        name: value for name, value in message.headers.items() if name != "x-delivery-count"
    }


async def test_a_patch_sets_fields_in_every_envelope(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """Untouched fields keep their digits; types follow JSON; the envelope stays what it was."""
    fields = b'{"opportunity":1.10,"big":12345678901234567890,"title":"old"}'
    item = b'{"entityTypeId":2,"id":"%s","fields":' + fields + b"}"
    structured = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":%s}'
    await letters.put(
        letter("plain", body=item % b"plain"),
        letter("packed", body=gzip.compress(item % b"packed"), content_encoding="gzip"),
        letter(
            "cloud",
            body=structured % (item % b"cloud"),
            content_type="application/cloudevents+json",
        ),
    )
    patch = ["--set", "title=new", "--set", "stageId=7", "--set", 'tags=["a"]', "--set", "no=NaN"]
    assert 0 == (await commands.run("dlq", "redrive", *patch)).code
    bodies = []
    for message in await intake(broker, vhost, 3):
        is_packed = message.content_encoding == "gzip"
        bodies.append(gzip.decompress(message.body) if is_packed else message.body)
    wanted = (
        b'{"opportunity":1.10,"big":12345678901234567890,"title":"new","stageId":7,'
        b'"tags":["a"],"no":"NaN"}'
    )
    assert [True] * 3 == [wanted in body for body in bodies]


async def test_what_cannot_be_patched_stays_and_is_told(
    letters: Letters, commands: Commands
) -> None:
    """A body that is no JSON has no fields: exit 1, and the letter is where it was."""
    await letters.put(letter("raw", kind="malformed", code="NOT_JSON", body=b"\xff"))
    done = await commands.run("dlq", "redrive", "--set", "a=1")
    assert 1 == done.code
    assert (
        "not sent back: 1 dead letter: it cannot be patched: the body is not strict UTF-8 JSON"
        in done.out
    )
    assert 1 == await letters.ready()


async def test_malformed_ones_stay_unless_they_are_named(
    letters: Letters, commands: Commands
) -> None:
    """They would only fail again; the outcome says how many stayed, and how to send them."""
    broken = letter("raw", kind="malformed", code="NOT_JSON", body=b"\xff")
    await letters.put(broken, letter("a"), broken)
    for more in (("--dry-run",), ()):
        done = await commands.run("dlq", "redrive", *more)
        assert 0 == done.code
        assert "not sent back: 2 dead letters: malformed" in done.out
    assert (2, 1) == (await letters.ready(), await letters.ready(INTAKE_QUEUE))
    done = await commands.run("dlq", "redrive", "--code", "NOT_JSON")
    assert (0, 2) == (done.code, await letters.ready())
    done = await commands.run("dlq", "redrive", "--id", "raw", "--limit", "1")
    assert "1 dead letter sent back" in done.out
    done = await commands.run("dlq", "redrive", "--kind", "malformed")
    assert "malformed, and will fail again: 1 dead letter of these" in done.out
    assert (0, 3) == (await letters.ready(), await letters.ready(INTAKE_QUEUE))


@pytest.mark.parametrize(("typed", "code", "left"), [("101\n", 0, 0), ("y\n", 1, 101)])
async def test_redrive_of_many_at_a_terminal_wants_the_number(
    letters: Letters, commands: Commands, typed: str, code: int, left: int
) -> None:
    """Up to a hundred go without a question, and so does what has --yes."""
    await letters.put(*(letter(f"e{n}") for n in range(101)))
    with commands.terminal("dlq", "redrive") as terminal:
        await asyncio.to_thread(terminal.wait_for, "Type 101 to send back 101 dead letters:")
        terminal.type(typed)
        assert code == await asyncio.to_thread(terminal.wait), terminal.text
        assert "operator acted" not in terminal.text
    assert left == await letters.ready()
    await letters.put(letter("one more"))
    for more in (("--id", "one more"), ("--yes",)):
        with commands.terminal("dlq", "redrive", *more) as terminal:
            assert 0 == await asyncio.to_thread(terminal.wait), terminal.text
    assert 0 == await letters.ready()


async def test_ambiguous_without_external_id_waits_for_a_human(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """Types that can be looked up go back; others only with --resend-ambiguous."""
    await letters.put(
        letter("can", kind="ambiguous", code="CALL_TIMED_OUT"),
        letter("cannot", kind="ambiguous", code="CALL_TIMED_OUT", entity_type=7),
        undelivered("nor", 7),
    )
    done = await commands.run("dlq", "redrive")
    assert 0 == done.code
    assert "not sent back: 2 dead letters: perhaps in the CRM already" in done.out
    [message] = await intake(broker, vhost, 1)
    assert "can" == message.headers["import_event_id"]
    assert (
        "2 dead letters sent back"
        in (await commands.run("dlq", "redrive", "--resend-ambiguous")).out
    )


async def test_who_names_an_id_learns_that_it_stayed(letters: Letters, commands: Commands) -> None:
    """No such letter is said; one that stays is exit 1."""
    await letters.put(letter("doubtful", kind="ambiguous", code="C", entity_type=7))
    nobody = await commands.run("dlq", "redrive", "--id", "nobody")
    assert "0 dead letters sent back to the intake\nno dead letter matches\n" == nobody.out
    stays = await commands.run("dlq", "redrive", "--id", "doubtful")
    assert (0, 1) == (nobody.code, stays.code)
    purged = await commands.run("dlq", "purge", "--yes", "--id", "nobody")
    assert (0, "nothing to remove\n") == (purged.code, purged.out)


async def test_limit_and_filters_choose(letters: Letters, commands: Commands) -> None:
    """What does not match stays, in order."""
    await letters.put(*(letter(f"e{n}", entity_type=1 + n % 2) for n in range(30)))
    done = await commands.run("dlq", "redrive", "--type", "1", "--limit", "4")
    assert "4 dead letters sent back to the intake\n" == done.out
    assert (26, 4) == (await letters.ready(), await letters.ready(INTAKE_QUEUE))


async def test_a_dry_run_sends_nothing(letters: Letters, commands: Commands) -> None:
    """It shows what would become of every group."""
    await letters.put(
        letter("a"), letter("b", kind="ambiguous", code="CALL_TIMED_OUT", entity_type=7)
    )
    done = await commands.run("dlq", "redrive", "--dry-run")
    assert 0 == done.code
    assert "goes back" in done.out
    assert "stays: perhaps in the CRM" in done.out
    assert (2, 0) == (await letters.ready(), await letters.ready(INTAKE_QUEUE))


async def test_a_full_intake_refuses_and_the_letters_stay(
    broker: Broker, vhost: str, commands: Commands
) -> None:
    """Exit 1, with the reason; what was refused is in the queue still."""
    letters = Letters(broker, vhost)
    await letters.declare(x_max_length=1, x_overflow="reject-publish")
    await letters.put(*(letter(f"e{n}") for n in range(40)))
    done = await commands.run("dlq", "redrive")
    assert 1 == done.code
    assert "the intake queue is full and refuses" in done.out
    sent = int(done.out.split()[0])
    assert 40 == sent + await letters.ready()
    assert sent == await letters.ready(INTAKE_QUEUE)


async def test_an_unbound_intake_keeps_every_letter(
    broker: Broker, vhost: str, commands: Commands
) -> None:
    """What no queue takes was not sent: exit 1."""
    letters = Letters(broker, vhost)
    await letters.declare(intake=False)
    await letters.put(letter("a"), letter("b"))
    done = await commands.run("dlq", "redrive")
    assert 1 == done.code
    assert "not sent back: 2 dead letters: no queue is bound to the intake exchange" in done.out
    assert 2 == await letters.ready()


# ---- with the service running ----


async def test_a_mended_letter_is_imported(broker: Broker, vhost: str) -> None:
    """Refused for a missing title, redriven with one: in the CRM once, and no letter left."""
    ids = [f"bad-{n}" for n in range(30)]
    events = [{"entityTypeId": 2, "id": each, "fields": {"comments": "x"}} for each in ids]
    async with Environment(broker, vhost, portal=TITLE_REQUIRED) as environment:
        await environment.start_service()
        await environment.publish(events)
        letters, commands = Letters(broker, vhost), Commands(broker.url(vhost))
        await wait_until(lambda: _is(letters, 30), what="the dead letters")
        done = await commands.run("dlq", "redrive", "--set", "title=mended")
        assert "30 dead letters sent back to the intake\n" == done.out
        await environment.settle(ids)
        await wait_until(lambda: len(environment.external_ids()) == 30, what="the items")
        assert Counter(ids) == environment.external_ids()
        assert 0 == await letters.ready()


async def test_a_redrive_never_chases_its_own_failures(broker: Broker, vhost: str) -> None:
    """Letters that fail again at once lie there again, once each."""
    ids = [f"bad-{n}" for n in range(60)]
    events = [{"entityTypeId": 2, "id": each, "fields": {"comments": "x"}} for each in ids]
    async with Environment(broker, vhost, portal=TITLE_REQUIRED) as environment:
        await environment.start_service()
        await environment.publish(events)
        letters, commands = Letters(broker, vhost), Commands(broker.url(vhost))
        await wait_until(lambda: _is(letters, 60), what="the dead letters")
        done = await commands.run("dlq", "redrive")
        assert "60 dead letters sent back to the intake\n" == done.out
        await environment.wait_idle()
        assert sorted(ids) == sorted(await letters.ids())


async def test_a_redrive_killed_at_any_moment_loses_and_doubles_nothing(
    broker: Broker, vhost: str
) -> None:
    """Killed round by round while the service imports: every item is in the CRM exactly once."""
    chance = random.Random(6)
    ids = [f"k{n}" for n in range(2000)]
    async with Environment(broker, vhost) as environment:
        await environment.start_service()
        letters, commands = Letters(broker, vhost), Commands(broker.url(vhost))
        await letters.put(*(letter(each, body=_good(each)) for each in ids))
        cut_short = 0
        for _ in range(5):
            before, goal = await letters.ready(), _items(environment) + chance.randrange(1, 120)
            with commands.start("dlq", "redrive") as process:
                await wait_until(
                    partial(_far_enough, environment, goal, process), what="some items"
                )
                process.kill()
            left = await _settled(letters)
            cut_short += 0 < left < before
            if not left:
                break
        assert 0 < cut_short
        done = await commands.run("dlq", "redrive")
        assert 0 == done.code
        await environment.settle(ids)
        assert 0 == await letters.ready()
        assert Counter(ids) == environment.external_ids()


@pytest.mark.parametrize(
    ("moment", "count", "passing"),
    [
        (Moment.DELIVER, 15, False),
        (Moment.PUBLISH, 12, False),
        (Moment.PUBLISH, 12, True),
        (Moment.CONFIRM, 2, False),
        (Moment.ACK, 12, False),
        (Moment.ACK, 60, False),
    ],
)
async def test_a_redrive_cut_at_a_frame_loses_nothing(
    commands: Commands,
    amqp_url: str,
    letters: Letters,
    moment: Moment,
    count: int,
    *,
    passing: bool,
) -> None:
    """One line tells it; what went twice names its event, so that it is imported once."""
    ids = [f"c{n}" for n in range(60)]
    await letters.put(*(letter(each, body=_good(each)) for each in ids))
    async with Proxy(amqp_url) as proxy:
        proxy.set_trap(moment, count, passing=passing)
        done = await Commands(proxy.url).run("dlq", "redrive")
        assert proxy.sprung
    assert 1 == done.code
    assert done.err.startswith("error: the broker ended the command")
    assert 1 == len(done.err.splitlines())
    await _settled(letters)
    assert 0 == (await commands.run("dlq", "redrive")).code
    await wait_until(lambda: _is(letters, 0), what="the letters being gone")
    async with Upstream(amqp_url) as upstream:
        sent = await upstream.drain(INTAKE_QUEUE, await upstream.ready(INTAKE_QUEUE))
    assert set(ids) == {message.headers["import_event_id"] for message in sent}
    assert {1} == {message.headers["import_redrive_count"] for message in sent}


def _good(event_id: str) -> bytes:
    return json.dumps({"entityTypeId": 2, "id": event_id, "fields": {"title": "x"}}).encode()


def _items(environment: Environment) -> int:
    return int(environment.portal.summary()["items"])


def _reached(environment: Environment, goal: int) -> bool:
    return _items(environment) >= goal


def _far_enough(environment: Environment, goal: int, process: "subprocess.Popen[bytes]") -> bool:
    """Tell whether so many items are in, or the run is over: it may meet only known ones."""
    return _reached(environment, goal) or process.poll() is not None


async def _is(letters: Letters, count: int) -> bool:
    return await letters.ready() == count


async def _settled(letters: Letters) -> int:
    """Return how many letters there are once the broker has taken back what a kill left."""
    seen = [-1, -2, -3]
    while len(set(seen[-3:])) > 1:
        await asyncio.sleep(0.2)
        seen.append(await letters.ready())
    return seen[-1]


# ---- purge ----


async def test_purge_without_a_terminal_needs_yes(letters: Letters, commands: Commands) -> None:
    """Nobody can be asked: exit 1, nothing removed."""
    await letters.put(letter("a"))
    done = await commands.run("dlq", "purge")
    assert (1, "") == (done.code, done.out)
    assert "--yes" in done.err
    assert 1 == await letters.ready()


async def test_redrive_and_purge_as_json_are_for_programs(
    letters: Letters, commands: Commands
) -> None:
    """What was done, what stays and why; nothing else stands on standard output."""
    await letters.put(letter("a"), letter("b", code="OTHER"), letter("c", kind="malformed"))
    planned = await commands.run("dlq", "redrive", "--dry-run", "--json")
    document = json.loads(planned.out)
    assert (True, 2, 0) == (document["dryRun"], document["sent"], document["untried"])
    assert [1] == [each["letters"] for each in document["stays"]]
    assert {"goes back", "stays: malformed"} == {each["outcome"] for each in document["groups"]}
    done = await commands.run("dlq", "redrive", "--code", "OTHER", "--json")
    assert (0, False, 1) == (done.code, *map(json.loads(done.out).get, ("dryRun", "sent")))
    unsaid = await commands.run("dlq", "purge", "--json")
    assert (1, "") == (unsaid.code, unsaid.out)
    assert "--json cannot ask: add --yes" in unsaid.err
    planned = await commands.run("dlq", "purge", "--json", "--dry-run")
    assert (2, 0) == tuple(map(json.loads(planned.out).get, ("matching", "removed")))
    done = await commands.run("dlq", "purge", "--json", "--yes")
    assert (2, 2) == tuple(map(json.loads(done.out).get, ("matching", "removed")))
    empty = json.loads((await commands.run("dlq", "purge", "--json", "--yes")).out)
    assert {"dryRun": False, "matching": 0, "removed": 0, "groups": []} == empty


async def test_purge_removes_what_is_selected(letters: Letters, commands: Commands) -> None:
    """By age, by id; the rest stays. A line for the log tells who removed which, and how many."""
    old = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    await letters.put(
        letter("old", headers={"import_failed_at": old}), letter("young"), letter("named")
    )
    dry = await commands.run("dlq", "purge", "--older-than", "30d", "--dry-run")
    assert "1 dead letter would be removed" in dry.out
    assert 3 == await letters.ready()
    assert 0 == (await commands.run("dlq", "purge", "--older-than", "30d", "--yes")).code
    done = await commands.run("dlq", "purge", "--id", "named", "--yes")
    assert 0 == done.code
    (line,) = (json.loads(each) for each in done.err.splitlines() if each.startswith("{"))
    assert ("operator acted", "remove", "id named", "1 dead letter removed") == tuple(
        line[name] for name in ("event", "what", "which", "outcome")
    )
    assert line["who"]
    assert "operator acted" not in dry.err
    assert ["young"] == await letters.ids()


@pytest.mark.parametrize(("typed", "code", "left"), [("12\n", 0, 0), ("y\n", 1, 12)])
async def test_purge_at_a_terminal_wants_the_number(
    letters: Letters, commands: Commands, typed: str, code: int, left: int
) -> None:
    """Only who types how many removes them."""
    await letters.put(*(letter(f"e{n}") for n in range(12)))
    with commands.terminal("dlq", "purge") as terminal:
        await asyncio.to_thread(terminal.wait_for, "Type 12 to remove 12 dead letters:")
        terminal.type(typed)
        assert code == await asyncio.to_thread(terminal.wait), terminal.text
    assert left == await letters.ready()


async def test_purge_can_be_interrupted_at_the_question(
    letters: Letters, commands: Commands
) -> None:
    """Ctrl-C instead of an answer removes nothing and shows no traceback."""
    await letters.put(letter("a"))
    with commands.terminal("dlq", "purge") as terminal:
        await asyncio.to_thread(terminal.wait_for, "Type 1 ")
        terminal.interrupt()
        assert 1 == await asyncio.to_thread(terminal.wait)
        assert "Traceback" not in terminal.text
        assert "nothing was removed" in terminal.text.splitlines()[-1]
    assert 1 == await letters.ready()


# ---- at a terminal, in pipes, interrupted ----


LONG = "https://shop.example/заказы Заказ-№-2026-11-0001-" + "9" * 40


async def test_tables_fit_80_columns_and_ids_stay_whole(
    letters: Letters, commands: Commands
) -> None:
    """What finds no room stands below its row; nothing that a letter says moves the cursor."""
    await letters.put(
        letter("evil\x1b[2J", kind="malformed", code="NOT_JSON"),
        letter(LONG),
        letter("a", code="100"),
    )
    for command in (["list"], ["redrive", "--dry-run"], ["purge", "--dry-run"]):
        with commands.terminal("dlq", *command, columns=80) as terminal:
            assert 0 == await asyncio.to_thread(terminal.wait), terminal.text
        lines = [line.rstrip() for line in terminal.text.replace("\r", "\n").split("\n")]
        assert f"  sample id  {LONG}" in lines
        assert [] == [line for line in lines if len(line) > 80 and LONG not in line]
        assert "\x1b[2J" not in terminal.raw
    assert 3 == await letters.ready()


async def test_a_letter_at_a_terminal_is_wrapped_and_its_commands_can_be_pasted(
    letters: Letters, commands: Commands
) -> None:
    """Words are not broken, and the command that is shown does what it says."""
    words = "the portal says much more about it than fits into one line of eighty columns " * 2
    await letters.put(letter(LONG, headers={"import_error_message": words}), letter("a"))
    with commands.terminal("dlq", "show", f"{LONG[:40]}…", columns=80) as terminal:
        assert 0 == await asyncio.to_thread(terminal.wait), terminal.text
    lines = [line.rstrip() for line in terminal.text.replace("\r", "\n").split("\n")]
    assert set(words.split()) <= set(" ".join(lines).split())
    assert [] == [
        line for line in lines if len(line) > 80 and "заказы" not in line and "u0437" not in line
    ]
    [shown] = [line for line in lines if "crm-importer dlq redrive" in line]
    _, *pasted = shlex.split(shown.replace("FIELD=VALUE", "title=x"))
    assert 0 == (await commands.run(*pasted)).code
    assert ["a"] == await letters.ids()


async def test_an_interrupted_list_says_how_far_it_came(
    letters: Letters, commands: Commands
) -> None:
    """Nobody takes a part for the whole."""
    await letters.put(*(letter(f"e{n}") for n in range(3000)))
    with commands.terminal("dlq", "list") as terminal:
        await asyncio.to_thread(terminal.wait_for, "reading")
        terminal.interrupt()
        code = await asyncio.to_thread(terminal.wait)
    whole = "3,000 dead letters in queue" in terminal.text
    part = re.search(
        r"interrupted: [\d,]+ of 3,000 looked at; [\d,]+ of these match", terminal.text
    )
    assert (whole, part is None) == (code == 0, code == 0), terminal.text
    assert " match\r" not in terminal.text.replace("of these match", "")


async def test_interrupted_reading_returns_everything(
    letters: Letters, commands: Commands
) -> None:
    """Ctrl-C ends it with exit 1, no traceback, every letter in its place."""
    await letters.put(*(letter(f"e{n}") for n in range(3000)))
    with commands.terminal("dlq", "redrive", "--id", "nobody") as terminal:
        await asyncio.to_thread(terminal.wait_for, "sending back")
        terminal.interrupt()
        code = await asyncio.to_thread(terminal.wait)
        assert "Traceback" not in terminal.text
    assert 3000 == await _settled(letters)
    assert (1 if "interrupted" in terminal.text else 0) == code


async def test_a_closed_pipe_is_no_traceback(letters: Letters, commands: Commands) -> None:
    """Who reads no further (`| head`) sees nothing of us any more."""
    await letters.put(letter("a", body=b"x" * 500_000))
    with commands.start("dlq", "show", "a") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = await asyncio.to_thread(process.stderr.read)
    assert b"" == err
    assert 1 == process.returncode
    assert 1 == await letters.ready()


async def test_a_missing_queue_is_one_line(commands: Commands) -> None:
    """Nothing was declared here yet: say what to look at."""
    done = await commands.run("dlq", "list")
    assert (1, "") == (done.code, done.out)
    assert done.err.startswith(f"error: queue {QUEUE} is missing:")
    assert 1 == len(done.err.splitlines())
