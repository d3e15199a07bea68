"""Tests the topology: names, kinds, bindings and arguments."""

from service.factories import topology
from service.rabbit.topology import Queue
from service.settings.tree import Rabbit

TOPOLOGY = topology(Rabbit())
QUORUM = {"x-queue-type": "quorum"}


def test_exchanges_are_those_of_the_contract() -> None:
    """Publish items and results by topic, dead letters to everybody."""
    assert [
        ("crm.items", "topic"),
        ("crm.items.results", "topic"),
        ("crm.items.dlx", "fanout"),
    ] == [(each.name, each.kind) for each in TOPOLOGY.exchanges]


def test_intake_queue_has_the_arguments_of_the_contract() -> None:
    """Declare a safe net below every message."""
    assert {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-dead-letter-exchange": "crm.items.dlx",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-delivery-limit": 1000,
    } == dict(queue("crm.items.import").arguments)


def test_other_queues_are_plain_quorum_queues() -> None:
    """Leave limits and retention to policies."""
    names = ("crm.items.succeeded", "crm.items.failed", "crm.items.dlq")
    assert [QUORUM] * 3 == [dict(queue(name).arguments) for name in names]


def test_every_key_leads_to_a_queue() -> None:
    """Bind results of unknown types, and intake messages with any key."""
    assert {
        "crm.items.import": ("crm.items", ("#",)),
        "crm.items.succeeded": ("crm.items.results", ("succeeded.#",)),
        "crm.items.failed": ("crm.items.results", ("failed.#",)),
        "crm.items.dlq": ("crm.items.dlx", ("",)),
    } == {each.name: (each.exchange, each.keys) for each in TOPOLOGY.queues}


def test_dead_letters_have_a_queue_before_the_intake_needs_it() -> None:
    """Declare the net first."""
    names = [each.name for each in TOPOLOGY.queues]
    assert names.index("crm.items.dlq") < names.index("crm.items.import")


def test_settings_name_and_limit_everything() -> None:
    """Take every name from the settings."""
    named = topology(
        Rabbit(
            intake_exchange="a",
            intake_queue="b",
            results_exchange="c",
            succeeded_queue="d",
            failed_queue="e",
            dead_letter_exchange="f",
            dead_letter_queue="g",
            delivery_limit=500,
            topology="check",
        )
    )
    assert {"a", "c", "f"} == {each.name for each in named.exchanges}
    assert {"b", "d", "e", "g"} == {each.name for each in named.queues}
    assert (500, False) == (named.delivery_limit, named.declare)


def queue(name: str) -> Queue:
    """Return a queue by its name."""
    return next(each for each in TOPOLOGY.queues if each.name == name)
