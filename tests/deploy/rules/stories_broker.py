"""Tells for every alert of broker.rules.yml when it fires, resolves, and keeps silent."""

from tests.deploy.rules.series import (
    ACTIVE,
    ACTIVE_OTHER,
    ALIVE,
    AWAY,
    CREDENTIALS,
    IMPORTED,
    MAX_ITEMS,
    QUEUES,
    READY,
    mine,
    queue,
)
from tests.deploy.rules.stories import Story


def lettered(reason: str, strategy: str = "at_least_once") -> str:
    """Return a counter of what the broker itself has dead-lettered."""
    return (
        f'rabbitmq_global_messages_dead_lettered_{reason}_total{{job="rabbitmq",'
        f'queue_type="rabbit_quorum_queue",dead_letter_strategy="{strategy}"}}'
    )


LETTERS = queue("crm.items.dlq")
RESULTS = queue("crm.items.succeeded")
READERS = queue("crm.items.succeeded", "consumers")
SIZES, BATCHES = mine("importer_batch_size_sum"), mine("importer_batch_size_count")

STORIES = (
    Story(
        alert="ImporterStalled",
        severity="page",
        series={QUEUES: "1x45", READY: "10x45", IMPORTED: "5x30 6+5x15", CREDENTIALS: "0x45"},
        waits="4m",
        fires="20m",
        value="10",
        resolves="35m",
        silent={
            "it imports": {IMPORTED: "0+5x45"},
            "it is paused": {CREDENTIALS: "1x45"},
            "nothing waits": {READY: "0x45"},
        },
    ),
    Story(
        alert="ImporterPausedLong",
        severity="page",
        series={QUEUES: "1x300", READY: "10x300", AWAY: "0x5 0+60x180 10800x110"},
        fires="130m",
        value="10",
        resolves="250m",
        silent={
            "nothing waits": {READY: "0x300"},
            "an hour": {AWAY: "0x5 0+60x60 3600x235"},
        },
    ),
    Story(
        alert="ImporterNoActiveConsumer",
        severity="page",
        series={QUEUES: "1x30", READY: "10x30", ACTIVE: "0x15 1x15", ALIVE: "1x30"},
        waits="4m",
        fires="6m",
        value="10",
        resolves="20m",
        silent={
            "the other one is active": {ACTIVE_OTHER: "1x30"},
            "none is attached, which pages by itself": {ALIVE: "0x30"},
            "nothing waits": {READY: "0x30"},
        },
    ),
    Story(
        alert="ImporterBacklogWillNotDrain",
        severity="ticket",
        series={
            QUEUES: "1x111",
            READY: "0+100x60 6000-100x50",
            IMPORTED: "0+30x111",
            CREDENTIALS: "0x111",
        },
        waits="30m",
        fires="40m",
        value="1h 40m 0s",
        resolves="90m",
        silent={
            "it shrinks": {READY: "12000-100x111"},
            "it is paused": {CREDENTIALS: "1x111"},
            "it is gone within the hour": {IMPORTED: "0+300x111"},
        },
    ),
    Story(
        alert="ImporterBatchesUnderfilled",
        severity="ticket",
        series={
            QUEUES: "1x65",
            MAX_ITEMS: "20x65",
            READY: "200x45 0x20",
            SIZES: "0+20x65",
            BATCHES: "0+10x65",
        },
        waits="14m",
        fires="35m",
        value="10%",
        resolves="55m",
        silent={
            "traffic is light": {READY: "50x65"},
            "batches are full": {BATCHES: "0+1x65"},
            "batches are small on purpose": {MAX_ITEMS: "2x65"},
        },
    ),
    Story(
        alert="ImporterDeadLettersWaiting",
        severity="ticket",
        step="5m",
        series={QUEUES: "1x330", LETTERS: "3x300 0x30"},
        waits="22h",
        fires="24h30m",
        value="3",
        resolves="26h",
        silent={
            "emptied once a day": {LETTERS: "3x200 0 3x129"},
            "the queue is known since this morning": {LETTERS: "_x200 3x99 0x30"},
        },
    ),
    Story(
        alert="ImporterUndelivered",
        severity="ticket",
        series={
            lettered("delivery_limit"): "0x5 2x90",
            lettered("expired"): "0x95",
            lettered("rejected"): "0x95",
        },
        labels={},
        fires="10m",
        value="2",
        resolves="75m",
        silent={
            "queues of others, which dead-letter in another way": {
                lettered("delivery_limit"): "0x95",
                lettered("delivery_limit", "at_most_once"): "0+1x95",
            },
        },
    ),
    Story(
        alert="ImporterResultsUnread",
        severity="ticket",
        series={QUEUES: "1x180", RESULTS: "100x150 0x30", READERS: "0x180"},
        labels={"job": "importer", "vhost": "/", "queue": "crm.items.succeeded"},
        waits="50m",
        fires="130m",
        value="100",
        resolves="155m",
        silent={
            "somebody consumes": {READERS: "1x180"},
            "somebody polls": {RESULTS: "5x29 0 5x29 0 5x29 0 5x29 0 5x29 0 5x29"},
        },
    ),
    Story(
        alert="ImporterBrokerMetricsMissing",
        severity="ticket",
        series={QUEUES: "1x45", READY: "_x25 5x20"},
        waits="14m",
        fires="20m",
        resolves="30m",
        silent={"the exporter is scraped": {READY: "5x45"}},
    ),
)
