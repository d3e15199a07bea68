"""Survey and management API: what a real broker tells, without being changed."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aio_pika
import pytest

from service.commands.check.access import Account
from service.commands.check.inner import inner_rows, tried_inner
from service.commands.check.rows import RowStatus
from service.factories import topology
from service.rabbit.connection import Address
from service.rabbit.inspection import BrokerInspection, Presence, visit
from service.rabbit.management import Described, Management, ManagementFailed, NotAllowed
from service.rabbit.session import NotLetIn, connect
from service.rabbit.topology import ensure
from service.settings.tree import Rabbit
from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.node import RabbitNode
from tests.support.patience import at_most
from tests.support.ports import free_port

NAMES = topology(Rabbit())
ACCOUNT = Account("crm-importer", "/")


@pytest.fixture
def limited(broker: Broker, vhost: str) -> Iterator[str]:
    """Lend the address of a user who may publish results and nothing else."""
    name = f"limited-{vhost}"
    broker.api("PUT", f"users/{name}", {"password": "limited", "tags": ""})
    rights = {"configure": "", "write": r"^crm\.items\.results$", "read": ""}
    broker.api("PUT", f"permissions/{vhost}/{name}", rights)
    at = broker.address
    yield f"amqp://{name}:limited@{at.host}:{at.amqp_port}/{vhost}"
    broker.api("DELETE", f"users/{name}")


async def look(url: str) -> BrokerInspection:
    """Look at the broker as a user."""
    return await visit(Address([url], 15), NAMES)


async def declare(url: str) -> None:
    """Create everything, as `run` does."""
    async with connect(Address([url], 15), "test") as session:

        @asynccontextmanager
        async def side_channel() -> Any:  # noqa: ANN401 - the library's channel
            channel = await session.channel()
            yield channel
            if not channel.is_closed:
                await channel.close()

        await ensure(NAMES, side_channel)


def described(broker: Broker, vhost: str, user: str = "guest") -> Described:
    """Ask the management API."""
    with Management(broker.management_url) as management:
        return management.describe(NAMES, vhost=vhost, user=user)


async def policy_of(broker: Broker, vhost: str, queue: str) -> dict[str, Any]:
    """Return a queue's policy as soon as its statistics tell one."""
    found: dict[str, Any] = {}

    def told() -> bool:
        with Management(broker.management_url) as management:
            answer = management.get(f"queues/{vhost}/{queue}") or {}
        found.update(answer.get("effective_policy_definition") or {})
        return bool(found)

    await wait_until(told, 30, what="the policy")
    return found


def definitions(broker: Broker, vhost: str) -> str:
    """Return everything that is declared in a virtual host."""
    return json.dumps(broker.api("GET", f"definitions/{vhost}"), sort_keys=True)


async def test_an_empty_broker_is_seen_as_empty(broker: Broker, vhost: str, amqp_url: str) -> None:
    """Find everything missing, create nothing."""
    before = definitions(broker, vhost)
    found = await look(amqp_url)
    seen = {*found.exchanges.values(), *found.queues.values()}
    assert {Presence.MISSING} == {each.presence for each in seen}
    assert ({}, False) == (found.writable, found.blocked)
    assert before == definitions(broker, vhost)


async def test_what_is_there_is_seen_and_untouched(
    broker: Broker, vhost: str, amqp_url: str
) -> None:
    """Try publishes without leaving a message behind."""
    await declare(amqp_url)
    before = definitions(broker, vhost)
    found = await look(amqp_url)
    seen = {*found.exchanges.values(), *found.queues.values()}
    assert {Presence.THERE} == {each.presence for each in seen}
    assert {"crm.items.results": True, "crm.items.dlx": True} == found.writable
    assert found.version.count(".") == 2
    assert before == definitions(broker, vhost)
    depths = await asyncio.to_thread(broker.queues, vhost)
    assert {0} == {depth.ready + depth.unacked for depth in depths.values()}


async def test_refused_publishes_are_found_without_publishing(
    vhost: str, amqp_url: str, limited: str
) -> None:
    """Know a missing right before the first dead letter needs it."""
    await declare(amqp_url)
    found = await look(limited)
    assert {"crm.items.results": True, "crm.items.dlx": False} == found.writable
    modern = tuple(map(int, found.version.split(".")[:2])) >= (4, 3)
    hidden = Presence.HIDDEN if modern else Presence.THERE
    assert (Presence.THERE, hidden) == (
        found.exchanges["crm.items.results"].presence,
        found.queues["crm.items.dlq"].presence,
    )


async def test_a_broker_under_alarm_is_seen_as_blocked(node: RabbitNode, amqp_url: str) -> None:
    """Come back all the same, in bounded time."""
    await declare(amqp_url)
    node.memory_alarm(on=True)
    async with at_most(20):
        found = await look(amqp_url)
    assert found.blocked


@pytest.mark.parametrize(
    ("change", "reason", "remedy"),
    [
        (("guest:guest", "guest:wrong"), "user or password refused", "IMPORTER_RABBIT__URL"),
        (("/test-", "/none-"), "the virtual host was refused", "list_permissions"),
    ],
)
async def test_refusals_are_told_apart(
    amqp_url: str, change: tuple[str, str], reason: str, remedy: str
) -> None:
    """Say which part of the address is wrong, and not the password."""
    with pytest.raises(NotLetIn) as caught:
        await look(amqp_url.replace(*change))
    assert reason == str(caught.value)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (f"127.0.0.1:{free_port()}", "nothing listens there"),
        ("broker.invalid:5672", "the host name is not known"),
        (".svc:5672", "the host name is not known"),
        (f"{'a' * 64}.svc:5672", "the host name is not known"),
    ],
    ids=["closed", "nowhere", "empty", "long"],
)
async def test_unreachable_nodes_are_told_apart(place: str, reason: str) -> None:
    """Say what the network says."""
    with pytest.raises(NotLetIn) as caught:
        await look(f"amqp://guest:guest@{place}/")
    assert reason == str(caught.value)


async def _calm(broker: Broker, vhost: str) -> bool:
    """Tell whether management shows no alarm; it lags behind by its own interval."""
    told = await asyncio.to_thread(described, broker, vhost, broker.address.user)
    return [False] == [node["mem_alarm"] for node in told.nodes or []]


async def test_management_tells_what_amqp_does_not(
    broker: Broker, vhost: str, amqp_url: str
) -> None:
    """Read types, arguments, policies, bindings, rights and alarms."""
    policy = {"pattern": "import$", "definition": {"message-ttl": 60_000}, "apply-to": "queues"}
    broker.api("PUT", f"policies/{vhost}/brief", policy)
    await declare(amqp_url)
    await wait_until(partial(_calm, broker, vhost), what="the end of another test's alarm")
    told = await asyncio.to_thread(described, broker, vhost, broker.address.user)
    intake = told.queues["crm.items.import"] or {}
    assert ("quorum", 1000) == (intake["type"], intake["arguments"]["x-delivery-limit"])
    assert {"message-ttl": 60_000} == await policy_of(broker, vhost, "crm.items.import")
    assert ["#"] == told.keys["crm.items.import"]
    assert "topic" == (told.exchanges["crm.items"] or {})["type"]
    assert {"configure": ".*", "write": ".*", "read": ".*"}.items() <= (told.rights or {}).items()


async def test_management_finds_nothing_where_nothing_is(broker: Broker, vhost: str) -> None:
    """Return None rather than fail; a user without rights here has none."""
    told = await asyncio.to_thread(described, broker, vhost, "nobody")
    assert {None} == {*told.queues.values(), *told.exchanges.values()}
    assert {()} == {tuple(keys) for keys in told.keys.values()}
    assert told.rights is None


@pytest.mark.parametrize("tag", ["management", "monitoring"])
def test_management_asks_on_without_being_an_administrator(
    broker: Broker, vhost: str, tag: str
) -> None:
    """Leave unknown what this user may not ask."""
    name = f"{tag}-{vhost}"
    broker.api("PUT", f"users/{name}", {"password": "x", "tags": tag})
    broker.api(
        "PUT", f"permissions/{vhost}/{name}", dict.fromkeys(("configure", "write", "read"), "")
    )
    with Management(broker.management_url.replace("guest:guest", f"{name}:x")) as management:
        told = management.describe(NAMES, vhost=vhost, user="guest")
    broker.api("DELETE", f"users/{name}")
    assert (None, tag == "monitoring") == (told.rights, told.nodes is not None)


def test_management_says_why_it_cannot_be_used(broker: Broker) -> None:
    """Tell a wrong password from a wrong port."""
    with (
        Management(broker.management_url.replace("guest:guest", "guest:wrong")) as management,
        pytest.raises(NotAllowed, match="password refused"),
    ):
        management.get("overview")
    with (
        Management(f"http://u:p@127.0.0.1:{free_port()}/") as management,
        pytest.raises(ManagementFailed, match="nothing listens there"),
    ):
        management.get("overview")
    at = broker.address
    with (
        Management(f"http://u:p@{at.host}:{at.amqp_port}/") as management,
        pytest.raises(ManagementFailed, match=r"no readable answer|cut at once"),
    ):
        management.get("overview")
    with (
        Management("http://u:p@.svc:15672/") as management,
        pytest.raises(ManagementFailed, match="the host name is not known"),
    ):
        management.get("overview")


async def test_what_waits_is_looked_at_and_stays(
    broker: Broker, vhost: str, amqp_url: str
) -> None:
    """Inner queues and the memory may be missing; whose events wait is told."""
    found = await look(amqp_url)
    assert {Presence.MISSING} == {seen.presence for seen in found.inner.values()}
    assert found.may_fill
    name = f"{NAMES.parked}.doubtful"
    async with Upstream(amqp_url) as upstream:
        await upstream.channel.declare_queue(name, durable=True)
        headers = {"import_parked_reason": "doubt", "import_portal": "other.example"}
        message = aio_pika.Message(b"{}", headers={**headers})
        await upstream.channel.default_exchange.publish(message, name)
        found = await look(amqp_url)
        assert (1, {name: {"other.example"}}) == (found.inner[name].ready, found.portals)
        await wait_until(lambda: _holds(upstream, name, 1))
    rows = {row.subject: row for row in inner_rows(NAMES, "portal.example", found)}
    row = rows[f"queue {name}"]
    assert RowStatus.WARN is row.status
    assert "other.example" in row.found
    assert RowStatus.OK is rows[f"queue {NAMES.parked}.links"].status
    ours = inner_rows(NAMES, "other.example", found)
    assert {RowStatus.OK} == {row.status for row in ours}


async def _holds(upstream: Upstream, queue: str, count: int) -> bool:
    return count == await upstream.ready(queue)


async def test_who_may_not_fill_inner_queues_is_told(limited: str, amqp_url: str) -> None:
    """A closed lane would pause the whole intake."""
    found = await look(limited)
    [told] = tried_inner(NAMES, ACCOUNT, found)
    assert RowStatus.WARN is told.status
    assert "pauses the whole intake" in told.found
    assert "amq" in told.command
