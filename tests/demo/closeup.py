"""Shows one event and what became of it, and one that the portal refused, with its remedy."""

import json
from collections.abc import Sequence
from typing import Any

from aio_pika.abc import AbstractIncomingMessage

from service.commands.dlq.advice import CODES
from service.commands.terminal import command
from tests.demo.samples import Sample
from tests.demo.scenario import Harvest
from tests.demo.screen import Screen

INVOICE, DEAL = 31, 2


def show(screen: Screen, samples: Sequence[Sample], harvest: Harvest) -> None:
    """Print both, a few short lines each."""
    good = next(each for each in samples if _is(each, INVOICE, "imported"))
    data = _result(good, harvest.succeeded)
    calls = "call" if data["attempts"] == 1 else "calls"
    screen.title("One event, and what became of it")
    screen.say("event", good.body.decode())
    screen.say(
        "result", f"in crm.items.succeeded: item {data['itemId']}, {data['attempts']} {calls}"
    )

    bad = next(each for each in samples if _is(each, DEAL, "refused"))
    error = _result(bad, harvest.failed)["error"]
    advice = CODES[error["code"].lower()]
    screen.title("One that the portal refused, and its remedy")
    screen.say("event", bad.body.decode())
    screen.say("result", f"in crm.items.failed: {error['kind']}, {error['code']}")
    screen.say("", error["message"])
    screen.say("remedy", f"{advice.who}: {advice.action}")
    for each in advice.commands:
        screen.say("", command(each, ID=bad.key).replace("FIELD=VALUE", "title=Late"))


def _is(sample: Sample, entity_type: int, fate: str) -> bool:
    """Tell whether a sample is of this kind, in the form that is easiest to read."""
    is_plain = not sample.properties and sample.event_id == sample.key
    return is_plain and (sample.entity_type, sample.fate) == (entity_type, fate)


def _result(sample: Sample, results: Sequence[AbstractIncomingMessage]) -> dict[str, Any]:
    found = next(each for each in results if each.correlation_id == sample.key)
    data: dict[str, Any] = json.loads(found.body)["data"]
    return data
