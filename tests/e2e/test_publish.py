"""Proves `publish` as people use it: files, pipes, a terminal, bad lines, bad brokers."""

import asyncio
import json
import re
import shlex
import subprocess
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from aio_pika.exceptions import DeliveryError

from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.commands import Commands
from tests.support.environment import Environment
from tests.support.letters import INTAKE_QUEUE, Letters, letter
from tests.support.node import RabbitNode
from tests.support.patience import patient
from tests.support.ports import free_port


def lines(count: int, start: int = 0) -> bytes:
    """Return good lines, ids e0 and up."""
    return b"".join(
        json.dumps({"entityTypeId": 2, "id": f"e{n}", "fields": {"title": "x"}}).encode() + b"\n"
        for n in range(start, start + count)
    )


async def taken(broker: Broker, vhost: str, count: int) -> list[Any]:
    """Take what was published."""
    async with Upstream(broker.url(vhost)) as upstream:
        return await upstream.drain(INTAKE_QUEUE, count)


async def test_a_line_is_a_message_untouched(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """Body byte for byte, persistent, under the key of its type, named by its event id."""
    body = b'{"entityTypeId": 2,"id":"a","fields":{"n":1.10,"big":12345678901234567890}}'
    done = await commands.run("publish", stdin=body)
    assert (0, "1 item event published to exchange crm.items\n", "") == (
        done.code,
        done.out,
        done.err,
    )
    [message] = await taken(broker, vhost, 1)
    assert body == message.body
    assert ("item.2", "a", 2, "application/json") == (
        message.routing_key,
        message.message_id,
        message.delivery_mode,
        message.content_type,
    )


async def test_bad_lines_are_refused_by_number_and_the_rest_goes_on(
    broker: Broker, vhost: str, letters: Letters, commands: Commands, tmp_path: Path
) -> None:
    """Exit 1; each reason stands on standard error; blank lines are nothing."""
    file = tmp_path / "events.jsonl"
    bad = [b"not json", b'{"entityTypeId":2,"fields":{}}', b"\xff\xfe", b'{"fields":{"a":1}}']
    file.write_bytes(b"\xef\xbb\xbf" + lines(2) + b"\n" + b"\n".join(bad) + b"\n" + lines(1, 2))
    done = await commands.run("publish", str(file))
    assert 1 == done.code
    assert "3 item events published to exchange crm.items, 4 lines refused\n" == done.out
    refused = re.findall(r"^line (\d+) refused: (\w+):", done.err, re.MULTILINE)
    assert [
        ("4", "NOT_JSON"),
        ("5", "WRONG_SHAPE"),
        ("6", "NOT_JSON"),
        ("7", "WRONG_SHAPE"),
    ] == refused
    assert ["e0", "e1", "e2"] == [each.message_id for each in await taken(broker, vhost, 3)]


async def test_a_publish_as_json_is_for_programs(letters: Letters, commands: Commands) -> None:
    """What was done, in numbers; the reasons stand on standard error."""
    done = await commands.run("publish", "--json", stdin=lines(2) + b"nonsense\n")
    assert 1 == done.code
    assert {
        "exchange": "crm.items",
        "published": 2,
        "refused": 1,
        "warned": 0,
        "skipped": 0,
        "lastConfirmedId": "e1",
    } == json.loads(done.out)


async def test_cloud_events_and_missing_types_are_understood(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """An envelope goes as what it is; --entity-type names the type of lines without one."""
    item = {"entityTypeId": 1, "fields": {"title": "x"}}
    cloud = {"specversion": "1.0", "id": "9", "source": "/s", "type": "t", "data": item}
    plain = b'{"id":"p","fields":{"n":1.10}}'
    done = await commands.run(
        "publish", "--entity-type", "31", stdin=json.dumps(cloud).encode() + b"\n" + plain
    )
    assert 0 == done.code
    first, second = await taken(broker, vhost, 2)
    assert ("item.1", "/s 9", "application/cloudevents+json") == (
        first.routing_key,
        first.message_id,
        first.content_type,
    )
    assert b'{"entityTypeId":31,"id":"p","fields":{"n":1.10}}' == second.body


async def test_a_csv_is_a_table_of_items(
    broker: Broker, vhost: str, letters: Letters, commands: Commands, tmp_path: Path
) -> None:
    """Header names the fields, values stay strings, empty cells are left out."""
    file = tmp_path / "Leads.CSV"
    file.write_bytes(
        b"\xef\xbb\xbforder;title;opportunity;comments\r\n"
        b'1;"two\nlines, ""quoted""";007.50;\r\n'
        b"2;no cells behind\r\n"
        b";no id;1;x\r\n"
        b'3;5" pipe;2;x\r\n'
        b"4;too many;2;x;y\r\n"
    )
    done = await commands.run("publish", str(file), "--entity-type", "1", "--id-column", "order")
    assert 1 == done.code
    no_id, too_many = done.err.splitlines()
    assert "line 5 refused: it has no id in column order" == no_id
    assert too_many.startswith("line 7 refused: it has 5 cells, the header has 4:")
    assert [
        {
            "entityTypeId": 1,
            "id": "1",
            "fields": {"title": 'two\nlines, "quoted"', "opportunity": "007.50"},
        },
        {"entityTypeId": 1, "id": "2", "fields": {"title": "no cells behind"}},
        {
            "entityTypeId": 1,
            "id": "3",
            "fields": {"title": '5" pipe', "opportunity": "2", "comments": "x"},
        },
    ] == [json.loads(each.body) for each in await taken(broker, vhost, 3)]


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (b"a,b\n1,2\n", [], "needs --entity-type"),
        (b"a,b\n1,2\n", ["--entity-type", "2", "--id-column", "c"], "has no column c"),
        (b"a,a\n1,2\n", ["--entity-type", "2"], "names a more than once"),
        (b"\xe4,b\n1,2\n", ["--entity-type", "2"], "not UTF-8"),
        (b"Amount;Currency\n1,2\n", ["--entity-type", "2"], "no column of the CSV is a field"),
        (b"PK\x03\x04" + b"xl/workbook.xml", [], "an Excel workbook"),
        (bytes(1000), [], "a binary file"),
    ],
)
async def test_an_unusable_csv_is_one_line(
    letters: Letters,
    commands: Commands,
    tmp_path: Path,
    content: bytes,
    options: list[str],
    says: str,
) -> None:
    """Nothing is published, nothing but the reason is said."""
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    done = await commands.run("publish", str(file), *options)
    assert (1, "", 1) == (done.code, done.out, len(done.err.splitlines())), done.err
    assert says in done.err
    assert 0 == await letters.ready(INTAKE_QUEUE)


async def test_a_run_goes_on_after_an_event(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """--after skips what is confirmed; an id that is nowhere publishes nothing."""
    done = await commands.run("publish", "--after", "e6", stdin=lines(10))
    assert "3 item events published to exchange crm.items, 7 lines skipped\n" == done.out
    assert ["e7", "e8", "e9"] == [each.message_id for each in await taken(broker, vhost, 3)]
    nowhere = await commands.run("publish", "--after", "nobody", stdin=lines(3))
    assert (1, "") == (nowhere.code, nowhere.out)
    assert 0 == await letters.ready(INTAKE_QUEUE)


async def test_interrupted_it_says_after_which_event_to_go_on(
    letters: Letters, commands: Commands
) -> None:
    """Ctrl-C: what is in flight is finished, the last confirmed id is told, exit 1."""
    with commands.start("publish") as process:
        assert process.stdin is not None
        process.stdin.write(lines(300))
        process.stdin.flush()
        await wait_until(lambda: _holds(letters, 300), what="the messages")
        process.send_signal(2)
        _, err = await asyncio.to_thread(process.communicate, timeout=patient(20))
    assert 1 == process.returncode
    assert "--after 'e299'" in err.decode()
    assert "Traceback" not in err.decode()


async def test_a_killed_run_can_be_repeated_whole(broker: Broker, vhost: str) -> None:
    """Published twice, imported once."""
    ids = [f"e{n}" for n in range(400)]
    async with Environment(broker, vhost) as environment:
        await environment.start_service()
        commands = Commands(broker.url(vhost))
        with commands.start("publish") as process:
            assert process.stdin is not None
            process.stdin.write(lines(250))
            process.stdin.flush()
            await wait_until(
                lambda: environment.portal.summary()["items"] > 0, what="the first items"
            )
            process.kill()
        assert 0 == (await commands.run("publish", stdin=lines(400))).code
        await environment.settle(ids)
        environment.assert_effectively_once(ids)


async def test_many_lines_take_little_time(letters: Letters, commands: Commands) -> None:
    """Thousands of events, hundreds in flight: confirmed in seconds."""
    count = 10_000
    done = await commands.run("publish", stdin=lines(count))
    assert (0, f"{count:,} item events published to exchange crm.items\n") == (done.code, done.out)
    assert count == await letters.ready(INTAKE_QUEUE)


async def test_a_terminal_shows_a_bar_and_the_keyboard_works(
    letters: Letters, commands: Commands
) -> None:
    """Lines may be typed; Ctrl-D ends them."""
    with commands.terminal("publish") as terminal:
        await asyncio.to_thread(terminal.wait_for, "until Ctrl-D")
        terminal.type(lines(1).decode())
        await wait_until(lambda: _holds(letters, 1), what="the message")
        terminal.type("\x04")
        assert 0 == await asyncio.to_thread(terminal.wait), terminal.text
    assert "publishing" in terminal.text
    assert "1 item event published to exchange crm.items" in terminal.text


async def _refuses(upstream: Upstream) -> bool:
    """Tell whether the queue has come to apply its limit."""
    try:
        await upstream.publish(b"{}")
    except DeliveryError:
        return True
    return False


async def test_a_full_queue_is_waited_for(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """A queue that refuses is tried again, and that is said once."""
    broker.api(
        "PUT",
        f"policies/{vhost}/full",
        {
            "pattern": "import",
            "definition": {"max-length": 5, "overflow": "reject-publish"},
            "apply-to": "queues",
        },
    )
    await wait_until(lambda: _has_policy(broker, vhost), what="the policy")
    async with Upstream(broker.url(vhost)) as upstream:
        await wait_until(partial(_refuses, upstream), what="a full queue")
    with commands.start("publish") as process:
        assert process.stdin is not None
        process.stdin.write(lines(60))
        process.stdin.close()
        await asyncio.to_thread(_until, process, b"waiting: the intake queue is full")
        ids: set[str | None] = set()
        async with Upstream(broker.url(vhost)) as upstream:
            while len(ids - {None}) < 60:
                ids |= {each.message_id for each in await upstream.drain(INTAKE_QUEUE, 1)}
        assert 0 == await asyncio.to_thread(process.wait, 180)
        assert process.stderr is not None
        assert b"" == process.stderr.read()


async def test_a_blocked_broker_is_told_and_waited_for(node: RabbitNode, vhost: str) -> None:
    """Under a memory alarm it says that it waits, and goes on by itself."""
    letters, commands = Letters(node, vhost), Commands(node.url(vhost))
    await letters.declare()
    with commands.start("publish") as process:
        assert process.stdin is not None
        process.stdin.write(lines(1))
        process.stdin.flush()
        await wait_until(lambda: _holds(letters, 1), what="the first message")
        node.memory_alarm(on=True)
        process.stdin.write(lines(50, 1))
        process.stdin.close()
        await asyncio.to_thread(_until, process, b"waiting: the broker takes no messages")
        node.memory_alarm(on=False)
        assert 0 == await asyncio.to_thread(process.wait, 180)
    assert 51 == await letters.ready(INTAKE_QUEUE)


async def test_a_broker_that_dies_ends_the_run_with_what_is_confirmed(
    node: RabbitNode, vhost: str
) -> None:
    """One line says how to go on, one what happened."""
    letters, commands = Letters(node, vhost), Commands(node.url(vhost))
    await letters.declare()
    with commands.start("publish") as process:
        assert process.stdin is not None
        process.stdin.write(lines(100))
        process.stdin.flush()
        await wait_until(lambda: _holds(letters, 100), what="the messages")
        node.kill()
        process.stdin.write(lines(700, 100))
        # The pipe stays open: whoever fills it may be silent for long.
        process.stdin.flush()
        assert process.stderr is not None
        err = (await asyncio.to_thread(process.stderr.read)).decode()
    assert 1 == process.returncode
    assert "--after 'e99'" in err
    assert "error: the broker ended the command" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("amqp://guest:wrong@{host}/{vhost}", "user or password refused"),
        ("amqp://guest:guest@{host}/nowhere", "the virtual host was refused"),
        ("amqp://guest:guest@127.0.0.1:{closed}/", "nothing listens there"),
        ("amqp://guest:guest@no-such-host.invalid/", "the host name is not known"),
        ("amqps://guest:guest@{host}/{vhost}", "the port does not use TLS"),
    ],
)
async def test_a_broker_that_lets_nobody_in_is_one_line(
    broker: Broker, vhost: str, url: str, says: str
) -> None:
    """Exit 1, the reason, no password, no traceback."""
    host = f"{broker.address.host}:{broker.address.amqp_port}"
    commands = Commands(url.format(host=host, vhost=vhost, closed=free_port()))
    done = await commands.run("publish")
    assert (1, "", 1) == (done.code, done.out, len(done.err.splitlines())), done.err
    assert says in done.err
    assert "wrong" not in done.err


@pytest.mark.parametrize("file", ["nowhere.jsonl", "."])
async def test_a_file_that_cannot_be_read_is_one_line(commands: Commands, file: str) -> None:
    """Before anybody is asked for a connection."""
    done = await commands.run("publish", file)
    assert (1, "", 1) == (done.code, done.out, len(done.err.splitlines())), done.err
    assert file in done.err


async def test_an_unbound_exchange_is_one_line(broker: Broker, vhost: str) -> None:
    """A message that no queue takes was not published."""
    letters, commands = Letters(broker, vhost), Commands(broker.url(vhost))
    missing = await commands.run("publish", stdin=lines(1))
    assert missing.err.startswith("error: exchange crm.items is missing:")
    await letters.declare(intake=False)
    done = await commands.run("publish", stdin=lines(3))
    assert 1 == done.code
    assert "error: exchange crm.items has no queue for item.2" in done.err


async def _holds(letters: Letters, count: int) -> bool:
    return await letters.ready(INTAKE_QUEUE) == count


def _has_policy(broker: Broker, vhost: str) -> bool:
    queue: Mapping[str, Any] = broker.api("GET", f"queues/{vhost}/{INTAKE_QUEUE}")
    return queue.get("policy") == "full"


def _until(process: "subprocess.Popen[bytes]", text: bytes) -> None:
    """Read standard error up to a line that says so."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"never said: {text!r}")


async def test_odd_rows_are_told_with_their_line_and_published(
    broker: Broker, vhost: str, letters: Letters, commands: Commands, tmp_path: Path
) -> None:
    """An id that comes again with other content; a phone goes as the portal takes it."""
    file = tmp_path / "contacts.csv"
    file.write_text("order,name,PHONE.MOBILE\nc-1,Ada,+100\nc-1,Grace,\nc-2,Lee,\n")
    done = await commands.run("publish", str(file), "--entity-type", "3", "--id-column", "order")
    assert (
        0,
        "3 item events published to exchange crm.items, 1 line published with a warning\n",
    ) == (
        done.code,
        done.out,
    )
    [warning] = done.err.splitlines()
    assert warning.startswith("line 3 warning: the id c-1 is already on line 2")
    first, *_ = await taken(broker, vhost, 3)
    phone = [{"VALUE": "+100", "VALUE_TYPE": "MOBILE"}]
    assert {"name": "Ada", "PHONE": phone} == json.loads(first.body)["fields"]


async def test_what_programs_on_windows_write_is_read(
    broker: Broker, vhost: str, letters: Letters, commands: Commands
) -> None:
    """UTF-16 of PowerShell, from a pipe; a table in Windows-1251, whose name is given."""
    text = '{"id": "a", "entityTypeId": 2, "fields": {"title": "Привет"}}\r\n'
    assert 0 == (await commands.run("publish", stdin=text.encode("utf-16"))).code
    table = "order;title\r\nb;Сделка\r\n".encode("cp1251")
    options = ["--entity-type", "2", "--id-column", "order"]
    refused = await commands.run("publish", "-", *options, stdin=table)
    assert 1 == refused.code
    assert "--encoding windows-1251" in refused.err
    read = await commands.run("publish", "-", *options, "--encoding", "windows-1251", stdin=table)
    assert (0, "") == (read.code, read.err)
    first, second = await taken(broker, vhost, 2)
    assert ["Привет", "Сделка"] == [
        json.loads(each.body)["fields"]["title"] for each in (first, second)
    ]


async def test_a_long_line_and_a_long_file_take_no_memory(
    letters: Letters, commands: Commands, tmp_path: Path
) -> None:
    """A line of 400 MB is refused by its number; the command stays below 150 MB."""
    file = tmp_path / "long.jsonl"
    with file.open("wb") as out:
        out.write(lines(1))
        for _ in range(400):
            out.write(b'{"x":"' + b"y" * 1_000_000)
        out.write(b"\n" + lines(1, 1))
    with commands.start("publish", str(file)) as process:
        most = 0
        while process.poll() is None:
            most = max(most, _resident(process.pid))
            await asyncio.sleep(0.02)
        assert process.stderr is not None
        err = process.stderr.read().decode()
    assert "line 2 refused: it is longer than a message may be" in err
    assert 1 == process.returncode
    assert 20_000 < most < 150_000
    assert 2 == await letters.ready(INTAKE_QUEUE)


def _resident(pid: int) -> int:
    """Return the memory of a process in kB; 0 when it has ended."""
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


async def test_an_empty_file_is_told(commands: Commands, letters: Letters, tmp_path: Path) -> None:
    """Exit 0: but whoever expected something must see it."""
    file = tmp_path / "empty.jsonl"
    file.write_bytes(b"")
    done = await commands.run("publish", str(file))
    assert (0, "0 item events published to exchange crm.items\n") == (done.code, done.out)
    assert "empty.jsonl is empty" in done.err


async def test_a_user_who_may_not_write_is_told_the_command_that_gives_the_right(
    broker: Broker, vhost: str, letters: Letters
) -> None:
    """The commonest mistake of a set-up: to repeat it helps nobody, the command does."""
    user = f"low-{uuid.uuid4().hex[:8]}"
    broker.api("PUT", f"users/{user}", {"password": "pw", "tags": ""})
    rights = {"configure": "^$", "write": "^$", "read": ".*"}
    permissions = f"permissions/{quote(vhost, safe='')}/{user}"
    broker.api("PUT", permissions, rights)
    url = urlsplit(broker.url(vhost))
    low = Commands(f"amqp://{user}:pw@{url.hostname}:{url.port}{url.path}")
    await letters.put(letter("e-1"))
    try:
        for command in (("publish",), ("dlq", "redrive", "--yes")):
            done = await low.run(*command, stdin=lines(3))
            error = done.err.splitlines()[-1]
            assert (1, True) == (done.code, error.startswith("error: "))
            assert "access to exchange 'crm.items'" in error
            assert "run the command again" not in error
            told = shlex.split(error.partition("rabbitmqctl ")[2])
            assert ["set_permissions", "-p", vhost, user] == told[:4]
            broker.api("PUT", permissions, dict(zip(rights, told[4:], strict=True)))
            assert 0 == (await low.run(*command, stdin=lines(3))).code
            broker.api("PUT", permissions, rights)
    finally:
        broker.api("DELETE", f"users/{user}")
