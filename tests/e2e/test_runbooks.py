"""Every command of the runbooks, run against the fault that it is for."""

import asyncio
import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from tests.deploy.rules.rulebook import RUNBOOKS
from tests.e2e.test_dead_letters import undelivered
from tests.e2e.test_lanes import DENIED, LANE, PARKED, closed, items
from tests.support.amqp import wait_until
from tests.support.broker import Broker
from tests.support.commands import Commands
from tests.support.environment import Environment, deals
from tests.support.letters import INTAKE_QUEUE, Letters, letter
from tests.support.node import RabbitNode
from tests.support.patience import at_most
from tests.support.ports import free_port

PROGRAMS = "crm-importer|rabbitmqctl|rabbitmq-plugins|curl -s localhost:8080"
TOLD = set(re.findall(rf"`((?:{PROGRAMS})[ /][^`…\n]+)`", RUNBOOKS.read_text()))

LETTERS: Mapping[str, tuple[dict[str, str], str]] = {
    "crm-importer dlq list": ({}, "8 dead letters in queue"),
    "crm-importer dlq list --since 30m": ({}, "7 of 8 dead letters"),
    "crm-importer dlq list --kind ambiguous": ({}, "2 of 8 dead letters"),
    "crm-importer dlq list --kind undelivered": ({}, "delivery_limit"),
    "crm-importer dlq list --code LINK_NOT_FOUND": ({}, "1 of 8 dead letters"),
    "crm-importer dlq redrive --code LINK_NOT_FOUND --dry-run": (
        {},
        "1 dead letter would go back",
    ),
    "crm-importer dlq show ID": ({"ID": "required"}, "who must act"),
    "crm-importer dlq redrive --code CODE --dry-run": (
        {"CODE": "CRM_FIELD_ERROR_REQUIRED"},
        "1 dead letter would go back",
    ),
    "crm-importer dlq redrive --kind unsupported --dry-run": ({}, "1 dead letter would go back"),
    "crm-importer dlq redrive --kind undelivered --dry-run": ({}, "1 dead letter would go back"),
    "crm-importer dlq redrive --code CRM_FIELD_ERROR_REQUIRED --set assignedById=1": (
        {},
        "1 dead letter sent back",
    ),
    "crm-importer dlq redrive --code CODE": ({"CODE": "NOT_FOUND"}, "1 dead letter sent back"),
    "crm-importer dlq redrive --id ID --resend-ambiguous": (
        {"ID": "perhaps 1"},
        "1 dead letter sent back",
    ),
    "crm-importer dlq purge --id ID": ({"ID": "perhaps 2"}, "1 dead letter removed"),
    "crm-importer dlq purge --code CODE --older-than 30d": (
        {"CODE": "100"},
        "1 dead letter removed",
    ),
}
"""What stands for the words in capitals, and what the command then says, one after another."""
ELSEWHERE = {
    "crm-importer check",
    "crm-importer find ID",
    "crm-importer lanes",
    "crm-importer lanes fail --type N",
    "crm-importer lanes retry --type N",
    "curl -s localhost:8080/livez",
    "rabbitmqctl close_connection 'PID' 'no importer of ours'",
    "rabbitmqctl list_channels pid connection name",
}
"""Commands with a test of their own below."""


def test_every_command_of_the_runbooks_is_run_here() -> None:
    """A new one needs its fault."""
    asking = {each for each in TOLD if each.startswith(("rabbitmqctl", "rabbitmq-plugins"))}
    aged = {re.sub(r"--since \w+", "--since 30m", each) for each in TOLD}
    assert aged == set(LETTERS) | ELSEWHERE | asking


async def test_commands_on_dead_letters_do_what_the_page_says(
    letters: Letters, commands: Commands
) -> None:
    """At a terminal, as `kubectl exec -it` gives one: what removes asks how many."""
    old = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    await letters.put(
        letter("required"),
        letter("unsupported", kind="unsupported", code="NOT_FOUND"),
        letter("perhaps 1", kind="ambiguous", code="CALL_TIMED_OUT", entity_type=7),
        letter("perhaps 2", kind="ambiguous", code="CALL_TIMED_OUT", entity_type=7),
        letter("old", code="100", headers={"import_failed_at": old}),
        letter("unlinked", code="LINK_NOT_FOUND"),
        letter("bad", kind="malformed", code="NOT_JSON"),
        undelivered("aside"),
    )
    for command, (values, says) in LETTERS.items():
        words = [values.get(word, word) for word in shlex.split(command)[1:]]
        with commands.terminal(*words) as terminal:
            if "purge" in words:
                await asyncio.to_thread(terminal.wait_for, "Type 1 to remove 1 dead letter:")
                terminal.type("1\n")
            code = await asyncio.to_thread(terminal.wait)
        assert (0, True) == (code, says in terminal.text), f"{command}\n{terminal.text}"
    assert {"bad", "aside", "unlinked"} == set(await letters.ids())
    assert 3 == await letters.ready(INTAKE_QUEUE)


async def test_commands_on_the_broker_answer(node: RabbitNode, vhost: str) -> None:
    """As a person types them on a node, with the virtual host of the importer."""
    async with Environment(node, vhost) as environment:
        await environment.start_service()
        # The exporter's own port may be another node's on this machine.
        node.evaluate(
            f"application:set_env(rabbitmq_prometheus, tcp_config, [{{port, {free_port()}}}])."
        )
        asking = {each for each in TOLD if each.startswith("rabbit")}
        for command in sorted(asking - ELSEWHERE):
            program, *words = shlex.split(command)
            words = [vhost if word == "$VHOST" else word for word in words]
            shown = await asyncio.to_thread(node.run, program, *words)
            if "-p" in words and words[0] in {"list_queues", "list_bindings", "list_consumers"}:
                assert "crm.items" in shown, command


async def test_a_foreign_connection_is_closed_by_its_pid(node: RabbitNode, vhost: str) -> None:
    """From the active consumer to its channel, its connection, and the end of that one alone."""
    url = node.url(vhost)

    async def nothing(_: AbstractIncomingMessage) -> None:
        """Keep the place, take nothing."""

    async with await aio_pika.connect(url) as ours, await aio_pika.connect(url) as foreign:
        ended = asyncio.Event()
        foreign.close_callbacks.add(lambda *_: ended.set())
        for connection in (foreign, ours):
            channel = await connection.channel()
            queue = await channel.declare_queue(
                INTAKE_QUEUE, arguments={"x-single-active-consumer": True}
            )
            await queue.consume(nothing)
        words = ["list_consumers", "-p", vhost, "queue_name", "channel_pid", "active"]
        listed = await asyncio.to_thread(node.run, "rabbitmqctl", *words)
        (active,) = re.findall(rf"^{INTAKE_QUEUE}\t(<\S+>)\ttrue$", listed, re.MULTILINE)
        words = ["list_channels", "pid", "connection", "name"]
        listed = await asyncio.to_thread(node.run, "rabbitmqctl", *words)
        (pid,) = re.findall(rf"^{active}\t(<\S+>)\t", listed, re.MULTILINE)
        words = ["close_connection", pid, "no importer of ours"]
        await asyncio.to_thread(node.run, "rabbitmqctl", *words)
        async with at_most(30):
            await ended.wait()
        assert not ours.is_closed


@pytest.mark.parametrize("fault", ["full", "credentials", "rights", "down"])
async def test_check_names_the_fault_of_the_alert(broker: Broker, vhost: str, fault: str) -> None:
    """Its last line: a full result queue, a revoked webhook, a missing right, a broker away."""
    async with Environment(broker, vhost) as environment:
        service = await environment.start_service()
        assert 200 == (await asyncio.to_thread(service.get, "/livez")).status_code
        settings = {"IMPORTER_BITRIX__WEBHOOK_URL": environment.portal.webhook_url}
        url, says = await FAULTS[fault](environment)
        if broker.management_url and fault in {"full", "rights"}:
            settings["IMPORTER_RABBIT__MANAGEMENT_URL"] = broker.management_url
        done = await Commands(url, settings).run("check")
        assert (1, True) == (done.code, says in done.out.splitlines()[-1]), done.out
        for command in re.findall(r"^ +(rabbitmqctl .*)$", done.out, re.MULTILINE):
            assert vhost in shlex.split(command)


async def test_a_closed_lane_is_seen_tried_and_ended_as_the_page_says(
    broker: Broker, vhost: str
) -> None:
    """The type is denied; its events are found, and nobody wants them any more."""
    async with Environment(broker, vhost) as environment:
        environment.portal.faults([DENIED])
        service = await environment.start_service(
            PAUSE__PROBE_SECONDS="120", PAUSE__PROBE_CAP_SECONDS="120"
        )
        await environment.publish(items("s1", "s2"))
        await closed(service, "scope")
        await wait_until(
            lambda: broker.queues(vhost)[PARKED].ready == 2, timeout=60, what="being parked"
        )
        operator = Commands(
            broker.url(vhost),
            {
                "IMPORTER_BITRIX__WEBHOOK_URL": environment.portal.webhook_url,
                "IMPORTER_CONSOLE__STATUS_URL": f"{service.url}status",
            },
        )
        shown = await operator.run("lanes")
        assert (0, True) == (shown.code, "scope" in shown.out), shown
        found = await operator.run("find", "s1")
        assert (0, True) == (found.code, PARKED in found.out), found
        calls = len(environment.import_calls())
        assert 0 == (await operator.run("lanes", "retry", "--type", str(LANE))).code
        await wait_until(
            lambda: len(environment.import_calls()) > calls, timeout=60, what="a trial"
        )
        await wait_until(
            lambda: broker.queues(vhost)[PARKED].ready == 2, timeout=60, what="being parked"
        )
        with operator.terminal("lanes", "fail", "--type", str(LANE)) as terminal:
            await asyncio.to_thread(terminal.wait_for, "Type 2 to end 2 events of type 128:")
            terminal.type("2\n")
            assert 0 == await asyncio.to_thread(terminal.wait), terminal.text
        await environment.settle(["s1", "s2"])
        assert {"ENDED_BY_OPERATOR"} == {
            each["data"]["error"]["code"] for each in environment.books.failed
        }


async def test_what_is_referred_to_and_never_comes_is_counted_and_listed(
    broker: Broker, vhost: str
) -> None:
    """The alert's own metric, and the letter that the page tells to look for."""
    timed_out = 'importer_links_total{result="timed_out"}'
    lost = {"contactId": {"entityTypeId": 3, "id": "nobody"}}
    async with Environment(broker, vhost) as environment:
        service = await environment.start_service(LINKS__WAIT_SECONDS="2")
        assert 0 == service.metrics()[timed_out]
        await environment.publish([{**each, "links": lost} for each in deals("waits")])
        await wait_until(lambda: service.metrics()[timed_out] == 1, timeout=120, what="the end")
        listed = await Commands(broker.url(vhost)).run(
            "dlq", "list", "--code", "LINK_NOT_FOUND", "--json"
        )
        assert (0, True) == (listed.code, "LINK_NOT_FOUND" in listed.out), listed


async def test_a_memory_that_takes_no_notes_shows_no_time_of_one(
    broker: Broker, vhost: str
) -> None:
    """A queue of another kind has its name; imports go on, and the log says why."""
    written = "importer_memory_written_timestamp_seconds"
    async with Environment(broker, vhost) as environment:
        quorum = {"durable": True, "arguments": {"x-queue-type": "quorum"}}
        broker.api("PUT", f"queues/{vhost}/crm.items.memory", quorum)
        service = await environment.start_service(RABBIT__MEMORY_QUEUE="crm.items.memory")
        await environment.publish(deals("d"))
        await environment.settle(["d"])
        assert 0 == service.metrics()[written]
        assert [] != service.logs(event="memory unavailable")
        assert 'memory_queue="crm.items.memory"' in service.get("metrics").text


async def _full(environment: Environment) -> tuple[str, str]:
    """Set a policy that refuses, on the queue of failed results, which nobody reads."""
    definition = {"max-length": 1, "overflow": "reject-publish"}
    policy = {"pattern": "failed", "definition": definition, "apply-to": "queues"}
    environment.broker.api("PUT", f"policies/{environment.vhost}/full", policy)
    await environment.publish(
        [{"entityTypeId": 2, "id": f"b{n}", "fields": "x"} for n in range(5)]
    )
    path = f"queues/{environment.vhost}/crm.items.failed"

    def told() -> bool:
        found: Any = environment.broker.api("GET", path)
        return bool(found.get("messages_ready")) and bool(found.get("policy"))

    await wait_until(told, timeout=30)
    return environment.broker.url(environment.vhost), "queue crm.items.failed, full"


async def _credentials(environment: Environment) -> tuple[str, str]:
    """Revoke the webhook; the log says so in the words that the page greps for."""
    environment.portal.settings({"state": "credentials"})
    await environment.publish(deals("waits"))
    await wait_until(lambda: "intake paused" in environment.service.stderr(), timeout=30)
    return environment.broker.url(environment.vhost), "portal"


async def _rights(environment: Environment) -> tuple[str, str]:
    """Make a user who may do nothing here."""
    environment.broker.api("PUT", "users/low", {"password": "low-low-low", "tags": ""})
    nothing = {"configure": "", "write": "", "read": ""}
    environment.broker.api("PUT", f"permissions/{environment.vhost}/low", nothing)
    url = environment.broker.url(environment.vhost)
    return url.replace("guest:guest@", "low:low-low-low@"), "user low"


async def _down(environment: Environment) -> tuple[str, str]:
    """Name an address where nobody listens."""
    url = environment.broker.url(environment.vhost)
    return re.sub(r":\d+/", ":1/", url), "amqp://127.0.0.1:1"


FAULTS = {"full": _full, "credentials": _credentials, "rights": _rights, "down": _down}
