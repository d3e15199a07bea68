"""Plays upstream: publishes the samples, watches the importer, reads what came of them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from aio_pika.abc import AbstractIncomingMessage

from tests.demo.environment import Environment
from tests.demo.samples import Sample
from tests.demo.screen import Progressing, Screen, Snapshot
from tests.support.amqp import Upstream
from tests.support.broker import Depth
from tests.support.processes import ProcessError

MAX_SECONDS = 110.0
EVENTS_PER_SECOND = 26.0
LOOK_SECONDS = 0.25
STOP_SECONDS = 30.0
LAST_WORDS = 8

Metrics = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Harvest:
    """Everything that was found when all was over, each from where it really is."""

    succeeded: Sequence[AbstractIncomingMessage]
    failed: Sequence[AbstractIncomingMessage]
    dead_letters: Sequence[AbstractIncomingMessage]
    ledger: Mapping[str, Any]
    summary: Mapping[str, Any]
    metrics: Metrics
    queues: Mapping[str, Depth]
    exit_code: int


def expected(samples: Sequence[Sample]) -> dict[str, int]:
    """Return what the bars must reach; one of the events is published twice."""
    imported = sum(sample.fate == "imported" for sample in samples)
    failed = len(samples) - imported
    return {
        "published": len(samples) + 1,
        "imported": imported,
        "failed": failed,
        "dead-lettered": failed,
    }


def published_twice(samples: Sequence[Sample]) -> Sample:
    """Return the event that upstream publishes once more at the end."""
    return next(sample for sample in samples if sample.fate == "imported")


def cut_call(samples: Sequence[Sample]) -> Mapping[str, Any]:
    """Return the fault: the call with one deal in it is cut after the portal has saved it."""
    deals = [s for s in samples if s.entity_type == 2 and s.fate == "imported"]
    return {"kind": "cut_after_commit", "match": f"{deals[len(deals) // 2].event_id}"}


async def run_scenario(
    environment: Environment, samples: Sequence[Sample], screen: Screen
) -> Harvest:
    """Publish, watch until every message has its outcome, stop the importer, read the queues.

    TimeoutError after two minutes at the latest; ProcessError if a part ends.
    """
    environment.portal.faults([cut_call(samples)])
    async with Upstream(environment.amqp_url) as upstream:
        with screen.progress(expected(samples)) as progress:
            async with asyncio.timeout(MAX_SECONDS):
                await _publish_and_watch(environment, upstream, samples, progress)
        metrics = await asyncio.to_thread(environment.service.metrics)
        environment.service.terminate()
        exit_code = await asyncio.to_thread(environment.service.wait, STOP_SECONDS)
        succeeded = await _read(upstream, "crm.items.succeeded")
        failed = await _read(upstream, "crm.items.failed")
        dead_letters = await _read(upstream, "crm.items.dlq")
    return Harvest(
        succeeded=succeeded,
        failed=failed,
        dead_letters=dead_letters,
        ledger=environment.portal.ledger(),
        summary=environment.portal.summary(),
        metrics=metrics,
        queues=environment.broker.queues(environment.vhost),
        exit_code=exit_code,
    )


async def _publish_and_watch(
    environment: Environment, upstream: Upstream, samples: Sequence[Sample], progress: Progressing
) -> None:
    published: list[str] = []
    feeding = asyncio.create_task(_feed(upstream, samples, published), name="feed")
    try:
        while True:
            snapshot = await _look(environment, upstream, len(published))
            done = feeding.done() and snapshot.settled >= len(published)
            progress.show(snapshot, last=done)
            if done:
                await feeding
                return
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        feeding.cancel()


async def _feed(upstream: Upstream, samples: Sequence[Sample], published: list[str]) -> None:
    """Publish at a steady pace, each message confirmed."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    for sample in [*samples, published_twice(samples)]:
        await upstream.publish(
            sample.body,
            routing_key=sample.routing_key,
            message_id=sample.key,
            correlation_id=sample.key,
            **sample.properties,
        )
        published.append(sample.key)
        due += 1 / EVENTS_PER_SECOND
        await asyncio.sleep(max(0.0, due - loop.time()))


async def _look(environment: Environment, upstream: Upstream, published: int) -> Snapshot:
    metrics = await asyncio.to_thread(_metrics, environment)
    waiting = await upstream.ready("crm.items.import")
    failed = total(metrics, "items_total", outcome="failed")
    return Snapshot(
        counts={
            "published": published,
            "imported": total(metrics, "items_total", outcome="imported"),
            "failed": failed + total(metrics, "items_total", outcome="malformed"),
            "dead-lettered": total(
                metrics, "published_total", target="dead_letter", result="confirmed"
            ),
        },
        settled=total(metrics, "items_total"),
        waiting=waiting,
        in_flight=int(metrics["importer_slots_in_use"]),
        paused=bool(total(metrics, "paused")),
    )


def _metrics(environment: Environment) -> Metrics:
    """Read the importer's metrics; when it has ended, its last words are the error."""
    try:
        return environment.service.metrics()
    except httpx.TransportError as error:
        last = "\n".join(environment.service.stderr().splitlines()[-LAST_WORDS:])
        raise ProcessError(f"the importer does not answer ({error}):\n{last}") from None


async def _read(upstream: Upstream, queue: str) -> list[AbstractIncomingMessage]:
    return await upstream.drain(queue, await upstream.ready(queue))


def total(metrics: Metrics, name: str, **labels: str) -> int:
    """Add up the samples of a metric that carry the labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return int(
        sum(
            value
            for sample, value in metrics.items()
            if sample.startswith(f"importer_{name}{{") and all(each in sample for each in wanted)
        )
    )
