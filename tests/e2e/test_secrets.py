"""Proves that no secret leaves the process, and no field value reaches a log, whatever breaks."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.support.amqp import Upstream
from tests.support.broker import Broker
from tests.support.environment import FAILED, SUCCEEDED, Environment, deals
from tests.support.proxy import Moment, Proxy

WEBHOOK_SECRET = "hook5ecretzq81"
BROKER_PASSWORD = "br0ker/pa55:word@zq82"
MANAGEMENT_PASSWORD = "manag3mentzq83"
SECRETS = (WEBHOOK_SECRET, BROKER_PASSWORD, quote(BROKER_PASSWORD, safe=""), MANAGEMENT_PASSWORD)

FIELD_VALUE = "fieldvaluezq91"
PORTAL_WORDS = "portalwordszq92"
PORTAL_TEXTS = (
    PORTAL_WORDS,
    "Service is being updated",
    "Invalid request credentials",
    "higher privileges",
    "only by subscription",
    "Portal was deleted",
    "authorization server",
)
POISON = f"{FIELD_VALUE}poison"
STATES = ("credentials", "scope", "plan", "overload", "deleted", "auth_server", "html503")
DESCRIBED = {"description": f"{PORTAL_WORDS} about {FIELD_VALUE}"}
CALLS: tuple[Mapping[str, Any], ...] = (
    {"kind": "hang_after_commit", "seconds": 1.5},
    {"kind": "cut_before_commit"},
    {"kind": "cut_after_commit"},
    {"kind": "partial_then_error", "items": 2},
    {"kind": "partial_then_cut", "items": 2},
    {"kind": "html", "status": 502},
    {"kind": "html", "status": 404},
    {"kind": "truncated"},
    {"kind": "wrong_count"},
    {"kind": "null_entry"},
    {"kind": "error_200", "code": "0"},
    {"kind": "not_json_200"},
    {"kind": "redirect", "location": f"https://elsewhere.example/rest/1/{WEBHOOK_SECRET}/"},
    *(
        {"kind": "refuse", "code": code, "status": status}
        for code, status in (
            ("QUERY_LIMIT_EXCEEDED", 503),
            ("INTERNAL_SERVER_ERROR", 500),
            ("UNHEARD_OF", 400),
            ("ERROR_CORE", 400),
            ("MAX_IMPORT_BATCH_SIZE_EXCEEDED", 400),
        )
    ),
)
ITEMS: tuple[Mapping[str, Any], ...] = (
    {"kind": "poison", "match": POISON, "times": -1},
    {"kind": "item_error", "match": f"{FIELD_VALUE}-3", "code": 0, "times": -1},
    {"kind": "item_error", "match": f"{FIELD_VALUE}-5", "times": -1},
)
MALFORMED = (
    f'{{"entityTypeId":2,"fields":{{"title":"{FIELD_VALUE}"'.encode(),
    f'{{"entityTypeId":2,"fields":{{"title":"{FIELD_VALUE}","n":NaN}}}}'.encode(),
    f'{{"entityTypeId":"{FIELD_VALUE}","fields":{{"title":"x"}}}}'.encode(),
    f'{{"entityTypeId":2,"fields":"{FIELD_VALUE}"}}'.encode(),
    f'{{"entityTypeId":2,"fields":{{"{FIELD_VALUE}":1,"{FIELD_VALUE}":2}}}}'.encode(),
)
EVENTS = 40


@pytest.fixture
def own_user(broker: Broker, vhost: str) -> Iterator[str]:
    """Lend a user of the broker with a password of its own; it may use the virtual host."""
    name = f"user-{vhost}"
    broker.api("PUT", f"users/{name}", {"password": BROKER_PASSWORD, "tags": ""})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    broker.api("PUT", f"permissions/{quote(vhost, safe='')}/{name}", everything)
    yield name
    broker.api("DELETE", f"users/{name}")


async def test_nothing_tells_a_secret(broker: Broker, vhost: str, own_user: str) -> None:
    """Every fault at DEBUG: what leaves the process is searched for what must not."""
    at = urlsplit(broker.url(vhost))
    credentials = f"{own_user}:{quote(BROKER_PASSWORD, safe='')}"
    url = at._replace(netloc=f"{credentials}@{at.hostname}:{at.port}").geturl()
    ids = [f"e{n}" for n in range(EVENTS)]
    async with (
        Proxy(url) as proxy,
        Environment(
            broker,
            vhost,
            amqp_url=proxy.url,
            portal={"secret": WEBHOOK_SECRET, "admin": True},
            settings={"IMPORTER_LOG__LEVEL": "DEBUG", "IMPORTER_BATCH__MAX_ITEMS": "5"},
        ) as environment,
    ):
        environment.fresh = True
        await environment.start_service(
            BITRIX__TIMEOUT_SECONDS="1",
            RABBIT__MANAGEMENT_URL=f"http://somebody:{MANAGEMENT_PASSWORD}@127.0.0.1:1/",
        )
        environment.portal.faults([{**fault, **DESCRIBED} for fault in (*ITEMS, *CALLS)])
        await environment.publish(_bodies(ids))
        await environment.publish(MALFORMED)
        await environment.settle(ids, timeout=180)
        await _shut_portal(environment)
        await _broker_troubles(environment, proxy, own_user)
        _assert_driven(environment)
        _assert_untold(environment)


async def _shut_portal(environment: Environment) -> None:
    """Let the portal refuse everything, for every reason."""
    environment.portal.faults([])
    for state in STATES:
        environment.portal.settings({"state": state})
        await environment.publish(deals(f"{state}-1", f"{state}-2"))
        await asyncio.sleep(0.7)
    environment.portal.settings({"state": "ok"})
    await environment.settle([f"{state}-1" for state in STATES])


async def _broker_troubles(environment: Environment, proxy: Proxy, user: str) -> None:
    """Cut, refuse the password, and delete queues."""
    broker, service = environment.broker, environment.service
    for moment in (Moment.PUBLISH, Moment.CONFIRM, Moment.ACK):
        proxy.set_trap(moment)
        await environment.publish(deals(f"cut-{moment.name}"))
        await environment.settle([f"cut-{moment.name}"])
    broker.api("PUT", f"users/{user}", {"password": f"other-{WEBHOOK_SECRET}", "tags": ""})
    proxy.cut()
    await asyncio.sleep(2)
    broker.api("PUT", f"users/{user}", {"password": BROKER_PASSWORD, "tags": ""})
    await asyncio.to_thread(service.wait_ready)
    async with Upstream(broker.url(environment.vhost)) as upstream:
        for name in (SUCCEEDED, FAILED):
            await (await upstream.queue(name)).delete(if_unused=False, if_empty=False)
    await environment.publish(deals("last"))
    await environment.settle(["last"])


async def test_bad_settings_tell_no_secret(broker: Broker, vhost: str) -> None:
    """A mistake inside an address is named without the address."""
    async with Environment(broker, vhost) as environment:
        service = environment.prepare_service(
            BITRIX__WEBHOOK_URL=f"https://portal.example/rest/one/{WEBHOOK_SECRET}/",
            RABBIT__URL=f"amqp://user:{quote(BROKER_PASSWORD, safe='')}@host:port/",
            RABBIT__MANAGEMENT_URL=f"http://user:{MANAGEMENT_PASSWORD}@host:port/",
        )
        assert 2 == await asyncio.to_thread(service.wait)
        output = service.stdout() + service.stderr()
        assert [] == [secret for secret in SECRETS if secret in output]
        assert "IMPORTER_BITRIX__WEBHOOK_URL" in output
        assert "IMPORTER_RABBIT__URL" in output


def _bodies(ids: list[str]) -> list[dict[str, Any]]:
    bodies = deals(*ids)
    for number, body in enumerate(bodies):
        body["fields"]["title"] = f"{FIELD_VALUE}-{number}-end"
        body["fields"]["comments"] = FIELD_VALUE
    bodies[17]["fields"]["comments"] = POISON
    return bodies


def _assert_driven(environment: Environment) -> None:
    """See that the run was as bad as it was meant to be."""
    struck = {call["fault"] for call in environment.portal.ledger()["calls"]}
    kinds = {fault["kind"] for fault in CALLS}
    assert set() == {kind for kind in kinds if not any(kind in str(name) for name in struck)}
    assert 10 <= len(environment.service.logs(event="import call failed"))
    assert [] != environment.service.logs(event="broker connection lost")
    assert any(
        PORTAL_WORDS in event["data"]["error"]["message"] for event in environment.books.failed
    )
    assert len(MALFORMED) <= environment.books.codes().total()


def _assert_untold(environment: Environment) -> None:
    """Search everything that leaves the process."""
    service = environment.service
    log = service.stdout() + service.stderr()
    left = {
        "log": log,
        "metrics": service.get("metrics").text,
        "readyz": service.get("readyz").text,
        "livez": service.get("livez").text,
        "title": Path(f"/proc/{service.pid}/cmdline").read_text(),
        "results": json.dumps([environment.books.succeeded, environment.books.failed]),
        "dead letters": "".join(
            f"{letter.body!r} {letter.headers!r}" for letter in environment.books.dead
        ),
        "connections": json.dumps(environment.broker.api("GET", "connections")),
    }
    assert left["title"].endswith("service\0run\0")
    told = [
        (place, secret) for place, text in left.items() for secret in SECRETS if secret in text
    ]
    assert [] == told
    quiet = {place: left[place] for place in ("log", "metrics", "readyz", "livez", "title")}
    told = [
        (place, words)
        for place, text in quiet.items()
        for words in (FIELD_VALUE, *PORTAL_TEXTS)
        if words in text
    ]
    assert [] == told, [line for line in log.splitlines() if any(w in line for _, w in told)][:5]
