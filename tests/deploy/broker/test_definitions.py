"""Proves on a broker that the definitions are enough to work with, and the policy is accepted."""

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.deploy.static.manifests import ROOT, render
from tests.support.broker import Broker
from tests.support.environment import Environment, deals

DEFINITIONS = ROOT / "deploy/definitions/rabbitmq.json"
POLICY = ROOT / "deploy/policies/results.json"
PASSWORD = "made-up"
TITLE_REQUIRED = {"required": {"2": ["title"]}}
MIN_SECRET = {
    "configure": "^$",
    "write": r"^crm\.items\.(results|dlx)$",
    "read": r"^crm\.items\.import$",
}


@pytest.fixture(params=["granted", "least"])
def user(request: pytest.FixtureRequest, broker: Broker, vhost: str) -> Iterator[str]:
    """Lend a user with the rights that the operator would grant, or the least that suffice."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    (permission,) = render("broker-topology").all("Permission")
    rights = permission["spec"]["permissions"] if request.param == "granted" else MIN_SECRET
    broker.api("PUT", f"users/{name}", {"password": PASSWORD, "tags": ""})
    broker.api("PUT", f"permissions/{quote(vhost)}/{name}", rights)
    yield name
    broker.api("DELETE", f"users/{name}")


@pytest.mark.parametrize("topology", ["check", "declare"])
async def test_the_importer_works_on_what_it_did_not_declare(
    broker: Broker, vhost: str, user: str, topology: str
) -> None:
    """With imported definitions and a narrow user, every event has its outcome.

    Declaring is no trouble either, where nothing is missing: what the user may not see or bind
    is somebody else's affair.
    """
    import_definitions(broker, vhost, json.loads(DEFINITIONS.read_text()))
    ids = [f"deal-{n}" for n in range(25)]
    bad = {"entityTypeId": 2, "id": "bad", "fields": {"comments": "no title"}}
    url = f"amqp://{user}:{PASSWORD}@{broker.address.host}:{broker.address.amqp_port}/{vhost}"
    async with Environment(broker, vhost, portal=TITLE_REQUIRED, amqp_url=url) as environment:
        await environment.start_service(RABBIT__TOPOLOGY=topology)
        await environment.publish([*deals(*ids), bad])
        await environment.settle([*ids, "bad"])
        environment.assert_effectively_once([*ids, "bad"], failed={"bad": "rejected"})
        assert 1 == len(environment.books.dead)


def test_the_example_policy_bounds_the_results_alone(broker: Broker, vhost: str) -> None:
    """The broker accepts it, and applies it to two queues of four."""
    import_definitions(broker, vhost, json.loads(DEFINITIONS.read_text()))
    import_definitions(broker, vhost, json.loads(POLICY.read_text()))
    (policy,) = broker.api("GET", f"policies/{quote(vhost)}")
    (wanted,) = json.loads(POLICY.read_text())["policies"]
    assert wanted["definition"] == policy["definition"]
    plain = "?disable_stats=true&enable_queue_totals=true"
    queues = broker.api("GET", f"queues/{quote(vhost)}{plain}")
    bound = {each["name"] for each in queues if each.get("policy") == wanted["name"]}
    assert {"crm.items.succeeded", "crm.items.failed"} == bound


def import_definitions(
    broker: Broker, vhost: str, definitions: dict[str, list[dict[str, Any]]]
) -> None:
    """Import definitions into a virtual host that is there already."""
    definitions.pop("vhosts", None)
    moved = {kind: [{**e, "vhost": vhost} for e in each] for kind, each in definitions.items()}
    broker.api("POST", "definitions", moved)
