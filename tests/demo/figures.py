"""Compares what was published with what is in the queues and in the CRM."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aio_pika.abc import AbstractIncomingMessage

from tests.demo.samples import Fate, Sample
from tests.demo.scenario import Harvest, total

IMPORT = "crm.item.batchimport"
LIST = "crm.item.list"


@dataclass(frozen=True, slots=True)
class Row:
    """Counts the events of one entity type by what became of them."""

    entity_type: int | None
    published: int
    by_fate: Mapping[Fate, int]


@dataclass(frozen=True, slots=True)
class Figures:
    """What the final table shows; `wrong` names everything that does not add up."""

    rows: Sequence[Row]
    items: int
    doubled: int
    lost: int
    imports: int
    look_ups: int
    limited: int
    cut: int
    saved_by_cut: int
    found_again: int
    repeats: int
    reasons: Sequence[tuple[str, int]]
    wrong: Sequence[str]


def add_up(samples: Sequence[Sample], harvest: Harvest) -> Figures:
    """Count, and hold every count against the samples."""
    fates = _fates(harvest)
    rows = _rows(samples, fates)
    items = _items(samples, harvest)
    calls = harvest.ledger["calls"]
    cut = [call for call in calls if call["cut"]]
    data = [json.loads(message.body)["data"] for message in harvest.succeeded]
    reasons = Counter(_reason(message) for message in harvest.dead_letters)
    return Figures(
        rows=rows,
        items=len(harvest.ledger["items"]),
        doubled=sum(len(ids) - 1 for ids in items.values() if len(ids) > 1),
        lost=sum(not fates[sample.key] for sample in samples),
        imports=sum(call["method"] == IMPORT for call in calls),
        look_ups=sum(call["method"] == LIST for call in calls),
        limited=harvest.summary["errors"].get("QUERY_LIMIT_EXCEEDED", 0),
        cut=len(cut),
        saved_by_cut=sum(len(call["created"]) for call in cut),
        found_again=sum(each["reconciled"] for each in data),
        repeats=total(harvest.metrics, "items_total", outcome="duplicate"),
        reasons=reasons.most_common(),
        wrong=[*_wrong(samples, fates, harvest), *_wrong_in_crm(samples, items, harvest)],
    )


def _fates(harvest: Harvest) -> dict[str, set[tuple[str, Fate]]]:
    """Return, by key, the result events with different ids: there must be one for each."""
    found: dict[str, set[tuple[str, Fate]]] = defaultdict(set)
    for message in (*harvest.succeeded, *harvest.failed):
        event = json.loads(message.body)
        error = event["data"].get("error")
        fate: Fate = "imported"
        if error is not None:
            fate = "malformed" if error["kind"] == "malformed" else "refused"
        found[message.correlation_id or ""].add((event["id"], fate))
    return found


def _rows(samples: Sequence[Sample], fates: Mapping[str, set[tuple[str, Fate]]]) -> list[Row]:
    by_type: dict[int | None, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_type[sample.entity_type].append(sample)
    return [
        Row(
            entity_type=entity_type,
            published=len(those),
            by_fate=Counter(fate for each in those for _, fate in fates[each.key]),
        )
        for entity_type, those in by_type.items()
    ]


def _items(samples: Sequence[Sample], harvest: Harvest) -> dict[str, list[int]]:
    """Return the CRM items of every event that has any, by the event's key."""
    keys = {(sample.entity_type, sample.event_id): sample.key for sample in samples}
    items: dict[str, list[int]] = defaultdict(list)
    for item in harvest.ledger["items"]:
        name = (item["entityTypeId"], item["externalId"])
        items[keys.get(name, f"nobody's: {name}")].append(item["id"])
    return items


def _wrong(
    samples: Sequence[Sample], fates: Mapping[str, set[tuple[str, Fate]]], harvest: Harvest
) -> Iterator[str]:
    """Name what is wrong with the messages."""
    for sample in samples:
        got = sorted(fate for _, fate in fates[sample.key])
        if got != [sample.fate]:
            yield f"{sample.key}: should be {sample.fate}, has the outcomes {got}"
    bodies = {sample.key: sample.body for sample in samples if sample.fate != "imported"}
    letters = Counter(message.correlation_id or "" for message in harvest.dead_letters)
    if letters != Counter(dict.fromkeys(bodies, 1)):
        yield f"dead letters: {letters.total()} for {len(bodies)} failed events"
    changed = [m for m in harvest.dead_letters if bodies.get(m.correlation_id or "") != m.body]
    if changed:
        yield f"dead letters: {len(changed)} differ from their originals"
    left = harvest.queues["crm.items.import"]
    if left.ready or left.unacked:
        yield f"intake: {left.ready} messages wait and {left.unacked} are not acknowledged"
    if harvest.exit_code:
        yield f"importer: ended with exit code {harvest.exit_code} after SIGTERM"


def _wrong_in_crm(
    samples: Sequence[Sample], items: Mapping[str, Sequence[int]], harvest: Harvest
) -> Iterator[str]:
    """Name what is wrong with the CRM."""
    wanted = {sample.key for sample in samples if sample.fate == "imported"}
    named = _named_items(harvest.succeeded)
    for key in sorted(wanted | set(items)):
        found = items.get(key, [])
        if len(found) != (key in wanted):
            yield f"{key}: has the CRM items {list(found)}"
        elif [*named.get(key, ())] != list(found):
            yield f"{key}: its result names item {named.get(key)}, the CRM has {list(found)}"
    cut = [call for call in harvest.ledger["calls"] if call["cut"]]
    saved = sum(len(call["created"]) for call in cut)
    found = sum(json.loads(message.body)["data"]["reconciled"] for message in harvest.succeeded)
    if not saved or found < saved:
        yield f"portal: {len(cut)} calls were cut with {saved} items saved, {found} found again"
    if total(harvest.metrics, "items_total", outcome="duplicate") != 1:
        yield "importer: the event published twice was not recognised"


def _named_items(succeeded: Sequence[AbstractIncomingMessage]) -> dict[str, set[int]]:
    """Return the item ids that the results name, by the event's key."""
    named: dict[str, set[int]] = defaultdict(set)
    for message in succeeded:
        data: dict[str, Any] = json.loads(message.body)["data"]
        named[message.correlation_id or ""].add(data["itemId"])
    return named


def _reason(message: AbstractIncomingMessage) -> str:
    return str(message.headers["import_error_code"])
