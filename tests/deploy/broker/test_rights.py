"""Each row of the table of rights gives enough for its work, and nothing of the others' work."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import aio_pika
import pytest
from aio_pika.exceptions import AMQPConnectionError
from aiormq.exceptions import ChannelAccessRefused

from tests.deploy.broker.test_definitions import DEFINITIONS, TITLE_REQUIRED, import_definitions
from tests.deploy.static.manifests import ROOT, render
from tests.support.broker import Broker
from tests.support.commands import Commands
from tests.support.environment import Environment, deals

PAGE = (ROOT / "deploy/install.md").read_text(encoding="utf-8")
UPSTREAM = (ROOT / "deploy/upstream.md").read_text(encoding="utf-8")
USERS = ROOT / "deploy/definitions/users.json"
RIGHTS = ("configure", "write", "read")
CELL = re.compile(r"(?<!\\)\|")
QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}


def rows(page: str, heading: str) -> Mapping[str, Mapping[str, str]]:
    """Return the table of rights below a heading: who, and the three patterns."""
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [CELL.split(line.strip("|")) for line in section.splitlines() if line[:1] == "|"]
    return {
        who.strip(): {
            right: cell.strip().strip("`").replace("\\|", "|")
            for right, cell in zip(RIGHTS, patterns, strict=True)
        }
        for who, *patterns in cells[2:]
    }


TABLE = rows(PAGE, "Rights on the broker")
DECLARES, CHECKS, OPERATES, PUBLISHES, READS, BOTH, SHARED = TABLE


@contextmanager
def user(broker: Broker, vhost: str, who: str) -> Iterator[str]:
    """Lend the address of a user with the rights of a row."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    broker.api("PUT", f"users/{name}", {"password": "made-up", "tags": ""})
    broker.api("PUT", f"permissions/{quote(vhost)}/{name}", TABLE[who])
    at = broker.address
    yield f"amqp://{name}:made-up@{at.host}:{at.amqp_port}/{vhost}"
    broker.api("DELETE", f"users/{name}")


async def refused(url: str, what: str, name: str) -> bool:
    """Tell whether the broker refuses a user to consume, publish, declare or delete."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(on_return_raises=True)
        try:
            match what:
                case "consume":
                    queue = await channel.get_queue(name, ensure=False)
                    await queue.get(fail=False)
                case "publish":
                    exchange = await channel.get_exchange(name, ensure=False)
                    await exchange.publish(aio_pika.Message(b"{}"), "item.2", mandatory=False)
                case "declare":
                    await channel.declare_queue(name, durable=True, arguments=QUORUM)
                case _:
                    await channel.queue_delete(name)
        except ChannelAccessRefused:
            return True
    return False


def test_the_examples_give_what_the_table_gives() -> None:
    """Definitions, the operator's resources and upstream's page are the same rows."""
    (permission,) = render("broker-topology").all("Permission")
    for example in (USERS, ROOT / "deploy/compose/users.json"):
        users = {each.pop("user"): each for each in json.loads(example.read_text())["permissions"]}
        assert {**TABLE[CHECKS], "vhost": "/"} == users["crm-importer"]
        if example == USERS:
            assert {**TABLE[OPERATES], "vhost": "/"} == users["crm-operator"]
        assert {**TABLE[BOTH], "vhost": "/"} == users["shop"]
    assert TABLE[CHECKS] == permission["spec"]["permissions"]
    assert [TABLE[PUBLISHES], TABLE[READS], TABLE[BOTH]] == [
        *rows(UPSTREAM, "Ask the operator").values()
    ]


@pytest.mark.parametrize("who", [DECLARES, CHECKS])
async def test_the_service_works_with_its_rights(broker: Broker, vhost: str, who: str) -> None:
    """With `declare` on an empty virtual host, with `check` on imported definitions."""
    mode = "declare" if who == DECLARES else "check"
    if who == CHECKS:
        import_definitions(broker, vhost, json.loads(DEFINITIONS.read_text()))
    ids = [f"deal-{number}" for number in range(5)]
    bad = {"entityTypeId": 2, "id": "bad", "fields": {"comments": "no title"}}
    with user(broker, vhost, who) as url:
        async with Environment(broker, vhost, portal=TITLE_REQUIRED, amqp_url=url) as environment:
            await environment.start_service(RABBIT__TOPOLOGY=mode)
            await environment.publish([*deals(*ids), bad])
            await environment.settle([*ids, "bad"])
            environment.assert_effectively_once([*ids, "bad"], failed={"bad": "rejected"})
            assert "lack of a right" not in environment.logs()
        for queue in ("crm.items.succeeded", "crm.items.failed"):
            assert await refused(url, "consume", queue)
        assert await refused(url, "declare", "other")
        if who == CHECKS:
            assert await refused(url, "delete", "crm.items.dlq")


async def test_an_operator_reads_redrives_and_removes_dead_letters(
    broker: Broker, vhost: str
) -> None:
    """The commands need no right to declare, and none on results or the intake queue."""
    import_definitions(broker, vhost, json.loads(DEFINITIONS.read_text()))
    async with Environment(broker, vhost, portal=TITLE_REQUIRED) as environment:
        await environment.start_service()
        bad = [{"entityTypeId": 2, "id": each, "fields": {"comments": "x"}} for each in "ab"]
        await environment.publish(bad)
        await environment.wait_idle()
        with user(broker, vhost, OPERATES) as url:
            commands = Commands(url)
            for args, told in (
                (("dlq", "list"), "CRM_FIELD_ERROR_REQUIRED"),
                (("dlq", "show", "a"), "CRM_FIELD_ERROR_REQUIRED"),
                (("find", "a"), "rejected, CRM_FIELD_ERROR_REQUIRED"),
                (("lanes",), "The broker shows"),
                (("dlq", "redrive", "--id", "a", "--set", "title=A"), "1 dead letter"),
                (("dlq", "purge", "--yes"), "1 dead letter"),
            ):
                done = await commands.run(*args)
                assert 0 == done.code, f"{args}: {done}"
                assert told in done.out + done.err, f"{args}: {done}"
            line = json.dumps(deals("by hand")[0]).encode()
            published = await commands.run("publish", "-", stdin=line)
            assert 0 == published.code, published
            await environment.settle(["a", "by hand"])
            for queue in ("crm.items.import", "crm.items.succeeded", "crm.items.failed"):
                assert await refused(url, "consume", queue)
            assert await refused(url, "publish", "crm.items.results")
            assert await refused(url, "delete", "crm.items.dlq")


@pytest.mark.parametrize("who", [PUBLISHES, READS, BOTH, SHARED])
async def test_upstream_may_do_its_own_work_and_no_other(
    broker: Broker, vhost: str, who: str
) -> None:
    """Publish, or read queues of its own; never read the intake, or write results."""
    import_definitions(broker, vhost, json.loads(DEFINITIONS.read_text()))
    with user(broker, vhost, who) as url:
        assert await refused(url, "publish", "crm.items") is (who in {READS, SHARED})
        assert await refused(url, "declare", "shop.results") is (who in {PUBLISHES, SHARED})
        for queue in ("crm.items.succeeded", "crm.items.failed"):
            assert await refused(url, "consume", queue) is (who != SHARED)
        for queue in ("crm.items.import", "crm.items.dlq", "crm.items.memory"):
            assert await refused(url, "consume", queue)
        for exchange in ("crm.items.results", "crm.items.dlx"):
            assert await refused(url, "publish", exchange)
        assert await refused(url, "delete", "crm.items.import")
        if who in {READS, BOTH}:
            async with await aio_pika.connect(url) as connection:
                channel = await connection.channel()
                own = await channel.declare_queue("shop.results", durable=True, arguments=QUORUM)
                await own.bind("crm.items.results", "succeeded.2")
                assert await own.get(fail=False) is None
        if who in {PUBLISHES, BOTH}:
            done = await Commands(url).run(
                "publish", "-", stdin=json.dumps(deals("d")[0]).encode()
            )
            assert 0 == done.code, done


async def test_users_of_the_example_cannot_log_in_before_they_have_a_password(
    broker: Broker, vhost: str
) -> None:
    """The broker takes the file; a password that somebody sets opens the door."""
    example = json.loads(USERS.read_text())
    new = {each["name"]: f"test-{uuid.uuid4().hex[:12]}" for each in example["users"]}
    for each in example["users"]:
        each["name"] = new[each["name"]]
    for each in example["permissions"]:
        each["user"], each["vhost"] = new[each["user"]], vhost
    broker.api("POST", "definitions", example)
    name = new["shop"]
    at = broker.address
    try:
        for password in ("", "guest"):
            url = f"amqp://{name}:{password}@{at.host}:{at.amqp_port}/{vhost}"
            with pytest.raises(AMQPConnectionError):
                await aio_pika.connect(url)
        broker.api("PUT", f"users/{name}", {"password": "made-up", "tags": ""})
        url = f"amqp://{name}:made-up@{at.host}:{at.amqp_port}/{vhost}"
        assert not await refused(url, "declare", "shop.results")
    finally:
        for each in new.values():
            broker.api("DELETE", f"users/{each}")
