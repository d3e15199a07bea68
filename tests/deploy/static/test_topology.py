"""Proves that code, definitions and operator resources describe the same exchanges and queues."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pytest
import yaml

from service import factories
from service.rabbit.memory_reading import STREAM_ARGUMENTS
from service.settings.tree import Settings
from tests.deploy.static.manifests import ROOT, Manifest, render

DEFINITIONS = ROOT / "deploy/definitions/rabbitmq.json"
POLICY = ROOT / "deploy/policies/results.json"
OPERATOR_POLICY = POLICY.with_suffix(".yaml")
VHOST = "/"
MEMORY = "crm.items.memory"
MEMBERS = {"exchanges", "queues", "bindings"}


class Described(NamedTuple):
    """A topology as sets, so that order and notation do not count."""

    exchanges: set[tuple[str, str]]
    queues: set[tuple[str, str]]
    bindings: set[tuple[str, str, str]]


TOPOLOGY = factories.topology(Settings().rabbit)


def test_the_definitions_are_what_the_code_declares() -> None:
    """A broker made from the file has what the importer would have made."""
    assert _of_code() == _of_definitions(json.loads(DEFINITIONS.read_text()))


def test_the_operator_makes_what_the_code_declares() -> None:
    """A broker made by the operator has what the importer would have made."""
    assert _of_code() == _of_operator(render("broker-topology").manifests)


@pytest.mark.parametrize("members", sorted(MEMBERS))
def test_a_missing_part_is_seen(members: str) -> None:
    """Each member of the definitions is compared."""
    mutated = json.loads(DEFINITIONS.read_text())
    del mutated[members][-1]
    assert _of_code() != _of_definitions(mutated)


def test_an_argument_that_differs_is_seen() -> None:
    """Arguments are compared, with their types."""
    mutated = json.loads(DEFINITIONS.read_text())
    mutated["queues"][3]["arguments"]["x-delivery-limit"] = 20
    assert _of_code() != _of_definitions(mutated)


def test_definitions_bring_no_user_and_no_policy() -> None:
    """The file is safe to import into a broker that others use."""
    definitions = json.loads(DEFINITIONS.read_text())
    assert {*MEMBERS, "vhosts"} == set(definitions)
    assert [{"name": VHOST}] == definitions["vhosts"]


def test_everything_survives_a_restart_of_the_broker() -> None:
    """Nothing is transient, in the file or by the operator."""
    definitions = json.loads(DEFINITIONS.read_text())
    made = [*definitions["exchanges"], *definitions["queues"]]
    made += [m["spec"] for m in render("broker-topology").all("Exchange", "Queue")]
    assert all(each["durable"] for each in made)
    assert {VHOST} == {each["vhost"] for each in [*made, *definitions["bindings"]]}


def test_the_importer_may_use_what_it_needs_and_nothing_else() -> None:
    """The operator's user knows its own names alone, and reads no results."""
    (permission,) = render("broker-topology").all("Permission")
    granted = permission["spec"]["permissions"]
    own, parked = _names(), {"crm.items.parked.128", "crm.items.parked.doubtful"}
    names = own | parked | {"amq.default", "amq.topic", "crmXitems", "crmXitemsXparkedX1"}
    read = {TOPOLOGY.intake_queue, TOPOLOGY.dead_letter_queue, MEMORY, *parked}
    assert own | parked | {"amq.default"} == _matching(granted["write"], names)
    assert read == _matching(granted["read"], names)
    assert parked == _matching(granted["configure"], names)


def test_the_example_policy_is_for_the_results_alone() -> None:
    """It never throws away intake or dead letters, and leaves nothing unbounded."""
    (policy,) = json.loads(POLICY.read_text())["policies"]
    results = {TOPOLOGY.succeeded_queue, TOPOLOGY.failed_queue}
    names = _names() | {"crmXitemsXfailed"}
    assert results == _matching(policy["pattern"], names)
    assert "queues" == policy["apply-to"]
    assert {"max-length", "message-ttl", "overflow"} == set(policy["definition"])


def test_the_example_policy_is_the_same_for_the_operator() -> None:
    """Both files ask for one thing, in the words of the schema."""
    (policy,) = json.loads(POLICY.read_text())["policies"]
    operator = yaml.safe_load(OPERATOR_POLICY.read_text())["spec"]
    broker = operator.pop("rabbitmqClusterReference")
    operator["apply-to"] = operator.pop("applyTo")
    assert policy == operator
    assert {"name", "namespace"} == set(broker)


def test_the_example_policy_is_off() -> None:
    """Nothing that is applied or imported carries it."""
    rendered = [
        each for name in ("production", "broker-topology") for each in render(name).manifests
    ]
    assert [] == [each for each in rendered if each["kind"] == "Policy"]


def _of_code() -> Described:
    memory = (MEMORY, _notation(STREAM_ARGUMENTS))
    return Described(
        {(each.name, each.kind) for each in TOPOLOGY.exchanges},
        {(each.name, _notation(each.arguments)) for each in TOPOLOGY.queues} | {memory},
        {(each.exchange, key, each.name) for each in TOPOLOGY.queues for key in each.keys},
    )


def _of_definitions(definitions: Mapping[str, list[Manifest]]) -> Described:
    return Described(
        {(each["name"], each["type"]) for each in definitions["exchanges"]},
        {(each["name"], _notation(each["arguments"])) for each in definitions["queues"]},
        {
            (each["source"], each["routing_key"], each["destination"])
            for each in definitions["bindings"]
        },
    )


def _of_operator(manifests: Iterable[Manifest]) -> Described:
    specs: dict[str, list[Manifest]] = {"Exchange": [], "Queue": [], "Binding": []}
    for each in manifests:
        if each["kind"] in specs:
            specs[each["kind"]].append(each["spec"])
    return Described(
        {(spec["name"], spec["type"]) for spec in specs["Exchange"]},
        {
            (spec["name"], _notation({"x-queue-type": spec["type"], **spec.get("arguments", {})}))
            for spec in specs["Queue"]
        },
        {
            (spec["source"], spec["routingKey"], spec["destination"])
            for spec in specs["Binding"]
            if spec["destinationType"] == "queue"
        },
    )


def _names() -> set[str]:
    exchanges = {each.name for each in TOPOLOGY.exchanges}
    return exchanges | {each.name for each in TOPOLOGY.queues} | {MEMORY}


def _notation(arguments: Mapping[str, object]) -> str:
    """Write arguments down: true is not 1."""
    return json.dumps(dict(arguments), sort_keys=True)


def _matching(pattern: str, names: set[str]) -> set[str]:
    return {name for name in names if re.search(pattern, name)}
