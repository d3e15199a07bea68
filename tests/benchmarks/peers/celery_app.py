"""Does the job with Celery and celery-batches, on the solo pool.

python -m celery --app tests.benchmarks.peers.celery_app worker --pool solo ...
"""

import os
from typing import Any

import httpx
from celery import Celery
from celery_batches import Batches
from kombu import Exchange, Queue

from tests.benchmarks import events
from tests.benchmarks.peers.parts import (
    MAX_ITEMS,
    PREFETCH,
    RESULT_KEY,
    WINDOW_SECONDS,
    call_of,
    item_ids,
    result_body,
)

PORTAL = os.environ.get("IMPORTER_BITRIX__WEBHOOK_URL", "") + "crm.item.batchImport"

app = Celery("bench", broker=os.environ.get("IMPORTER_RABBIT__URL"))
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_ignore_result=True,
    task_queues=[
        Queue(
            events.INTAKE_QUEUE,
            Exchange(events.INTAKE, type="topic", no_declare=True),
            routing_key="#",
            queue_arguments={"x-queue-type": "quorum"},
            no_declare=True,
        )
    ],
    worker_prefetch_multiplier=PREFETCH,
)
client = httpx.Client(trust_env=False, timeout=70)
results = Exchange(events.RESULTS, type="topic", no_declare=True)


@app.task(  # type: ignore[untyped-decorator]  # as above
    base=Batches, name="import_item", flush_every=MAX_ITEMS, flush_interval=WINDOW_SECONDS
)
def import_items(requests: list[Any]) -> None:
    """Import a batch and publish its results; the worker acknowledges afterwards."""
    answer = client.post(PORTAL, json=call_of([request.args[0] for request in requests])).json()
    with app.producer_pool.acquire(block=True) as producer:
        for item_id in item_ids(answer):
            producer.publish(
                result_body(item_id),
                exchange=results,
                routing_key=RESULT_KEY,
                content_type="application/cloudevents+json",
                content_encoding="binary",
                delivery_mode=2,
                mandatory=True,
            )
