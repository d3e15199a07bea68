"""Measures orders that refer to customers, all in one queue and shuffled, under real limits.

As the makespan is, beside a planner who imports every customer before the orders that need it.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from service.domain.inner_queue import YOUNG_SECONDS
from tests.benchmarks import events, planner
from tests.benchmarks.contestants import SERVICE
from tests.benchmarks.figures import Figure, at_most
from tests.benchmarks.makespan import (
    COSTS,
    IMPORT,
    LIMITS,
    PATIENCE,
    Outcome,
    limited_portal,
    limited_settings,
    outcome_of,
    until_done,
)
from tests.benchmarks.rig import Consumer, Rig
from tests.support.amqp import Upstream, wait_until
from tests.support.processes import PortalProcess

PART = "orders that refer to customers"
CUSTOMER = 3
ORDERS, CUSTOMERS = 2000, 500
QUICK_ORDERS, QUICK_CUSTOMERS = 200, 50
SPEED = 1.5
LOOK_UP = "crm.item.list"


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Import orders and their customers, and hold the time against the planner's."""
    orders, customers = (QUICK_ORDERS, QUICK_CUSTOMERS) if quick else (ORDERS, CUSTOMERS)
    optimum = planner.linked(orders, customers, COSTS, LIMITS)
    outcome, wrong = asyncio.run(_play(rig, orders, customers, optimum))
    say(f"{outcome}, {wrong} orders without their customer")
    command = f"{SERVICE.command}; time runs {SPEED:g} times as fast"
    about = f"{orders} orders, {customers} customers"
    least = len(COSTS.calls(orders)) + len(COSTS.calls(customers))
    rows = (
        ("optimum", optimum, "s", None),
        ("measured", outcome.took, "s", None),
        ("÷ optimum", outcome.took / optimum, "x", at_most(1.10)),
        ("refusals", outcome.refusals, "calls", at_most(0)),
        (f"imports ({least} at least)", outcome.calls.get(IMPORT, 0), "calls", None),
        ("look-ups", outcome.calls.get(LOOK_UP, 0), "calls", None),
        ("orders without their customer", wrong, "items", at_most(0)),
    )
    return [
        Figure(PART, f"{about}: {name}", float(value), unit, command, bar)
        for name, value, unit, bar in rows
    ]


async def _play(rig: Rig, orders: int, customers: int, optimum: float) -> tuple[Outcome, int]:
    upstream = _upstream(orders, customers)
    settings: dict[str, object] = {"references": "checked", "light": False}
    with rig.vhost() as url, PortalProcess(limited_portal(SPEED) | settings) as portal:
        env = {"IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url, **limited_settings(SPEED)}
        await events.fill(url, ())
        # As on any other day: its queues and its memory are there, and not of this very moment.
        with rig.consumer(SERVICE, url, **env) as consumer:
            await _settled(consumer, url)
            await asyncio.to_thread(_stop, consumer)
        with rig.consumer(SERVICE, url, **env) as consumer:
            await _settled(consumer, url)
            await asyncio.sleep(YOUNG_SECONDS)
            await events.send(url, range(len(upstream)), _encoded(upstream))
            deadline = time.monotonic() + PATIENCE * optimum / SPEED
            await until_done(portal, consumer, len(upstream), deadline)
            outcome = outcome_of(portal, len(upstream), SPEED)
            return outcome, _without_customer(upstream, portal.ledger()["items"])


async def _settled(consumer: Consumer, url: str) -> None:
    await asyncio.to_thread(consumer.wait_ready)
    async with Upstream(url) as broker:
        for queue in (events.MEMORY, events.LINKS):
            await wait_until(partial(broker.exists, queue), 30.0, what=queue)


def _stop(consumer: Consumer) -> None:
    consumer.terminate()
    consumer.wait()


def _encoded(upstream: Sequence[Mapping[str, Any]]) -> events.Encode:
    return lambda number: (json.dumps(upstream[number]).encode(), {})


def _upstream(orders: int, customers: int) -> list[dict[str, Any]]:
    """Return customers and orders in a random order that is the same in each run."""
    found = [_customer(number) for number in range(customers)]
    found += [_order(number, number % customers) for number in range(orders)]
    random.Random(3).shuffle(found)
    return found


def _customer(number: int) -> dict[str, Any]:
    fields = {"name": f"Customer {number}", "sourceId": "WEB"}
    return {"entityTypeId": CUSTOMER, "id": f"customer-{number}", "fields": fields}


def _order(number: int, customer: int) -> dict[str, Any]:
    event = events.event(number)
    fields = {k: v for k, v in event["fields"].items() if k not in {"companyId", "contactIds"}}
    link = {"entityTypeId": CUSTOMER, "id": f"customer-{customer}"}
    return {**event, "fields": fields, "links": {"contactId": link}}


def _without_customer(
    upstream: Sequence[Mapping[str, Any]], items: Sequence[Mapping[str, Any]]
) -> int:
    """Count the orders that are not in the CRM with the number of their customer."""
    by_id = {item["fields"].get("originId"): item for item in items}
    return sum(
        by_id.get(event["id"], {}).get("fields", {}).get("contactId")
        != by_id.get(event["links"]["contactId"]["id"], {}).get("id")
        for event in upstream
        if "links" in event
    )
