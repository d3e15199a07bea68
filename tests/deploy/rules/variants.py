"""Tells a history again as other places would see it: labels, a gap, a clock, a second portal."""

import re
from collections.abc import Iterator, Mapping

Series = Mapping[str, str]

OURS = {"namespace": "crm", "pod": "importer-0", "container": "importer", "endpoint": "http"}
"""What the Prometheus Operator adds to the importer's series."""
FOREIGN = {"node": "n1", "region": "eu", "helm_release": "crm"}
"""What no rule knows: labels of a platform."""
THEIRS = {"namespace": "rabbit", "pod": "rabbit-0", "container": "rabbit", "rabbitmq_node": "r1"}
GAP = 2
"""Scrapes that are missed, one after the other."""
PIECE = re.compile(r"^(?P<start>-?[\d.]+|_|stale)(?P<by>[+-][\d.]+)?(?:x(?P<times>\d+))?$")
LABEL = re.compile(r'(\w+)="([^"]*)"')


def labelled(series: Series) -> dict[str, str]:
    """Return a history with the labels that a cluster adds to every series."""
    return dict(_labelled(series))


def _labelled(series: Series) -> Iterator[tuple[str, str]]:
    for name, values in series.items():
        metric, _, labels = name.partition("{")
        more = THEIRS if metric.startswith("rabbitmq_") else OURS
        known = {**more, **FOREIGN, **dict(LABEL.findall(labels))}
        if known["pod"] == OURS["pod"]:
            known["pod"] = f"importer-{known.get('instance', '')}"
        yield metric + _braces(known), values


def seen(labels: Mapping[str, str]) -> dict[str, str]:
    """Return an alert's labels where the history is `labelled`: nothing foreign among them."""
    if "job" not in labels:
        return dict(labels)
    pod = {"pod": f"importer-{labels['instance']}"} if "instance" in labels else {}
    return {**labels, "namespace": OURS["namespace"], **pod}


def gapped(series: Series, at: int) -> dict[str, str]:
    """Return a history in which some scrapes before a sample were missed."""
    made = {}
    for name, values in series.items():
        every = list(_samples(values))
        every[at - GAP : at] = ["stale"] * len(every[at - GAP : at])
        made[name] = " ".join(every)
    return made


def shifted(series: Series, by: float) -> dict[str, str]:
    """Return a history whose importers' clocks are so many seconds ahead of Prometheus' own."""
    return {
        name: " ".join(_later(piece, by) for piece in values.split())
        if "_timestamp_seconds{" in name
        else values
        for name, values in series.items()
    }


def _later(piece: str, by: float) -> str:
    found = PIECE.match(piece)
    assert found is not None, piece
    if found["start"] in {"_", "stale"}:
        return piece
    return f"{float(found['start']) + by:g}{piece[found.end('start') :]}"


def _samples(values: str) -> Iterator[str]:
    """Yield each sample of promtool's notation."""
    for piece in values.split():
        found = PIECE.match(piece)
        assert found is not None, piece
        if found["start"] in {"_", "stale"}:
            yield from [found["start"]] * int(found["times"] or 1)
        elif found["times"] is None:
            yield piece
        else:
            start, by = float(found["start"]), float(found["by"] or 0)
            yield from (f"{start + by * turn:g}" for turn in range(int(found["times"]) + 1))


def beside(other: Series, series: Series) -> dict[str, str]:
    """Return a history beside that of a second portal."""
    assert not other.keys() & series.keys()
    return {**series, **other}


def neighbour(job: str, vhost: str, *, paused: bool, long: int = 800) -> dict[str, str]:
    """Return the history of a portal that is well, or paused: nothing of it is wrong."""
    mine = {"job": job, "instance": "z"}
    grows, stands = f"0+60x{long}", f"0x{long}"
    flows = stands if paused else grows
    made = {
        ("up",): f"1x{long}",
        ("importer_consumer_alive",): f"{0 if paused else 1}x{long}",
        ("importer_consumer_active",): f"{0 if paused else 1}x{long}",
        ("importer_oldest_held_seconds",): f"1x{long}",
        ("importer_hold_limit_seconds",): f"600x{long}",
        ("importer_batch_max_items",): f"20x{long}",
        ("importer_request_rate_share",): f"1x{long}",
        ("importer_broker_blocked",): stands,
        ("importer_unexpected_errors_total",): stands,
        ("importer_batch_size_sum",): flows,
        ("importer_batch_size_count",): f"0+3x{long}",
        ("importer_items_total", "entity_type", "2", "outcome", "imported"): flows,
        ("importer_event_age_seconds_bucket", "outcome", "imported", "le", "60.0"): flows,
        ("importer_event_age_seconds_count", "outcome", "imported"): flows,
        ("importer_reconciled_items_total", "found", "yes"): grows,
        ("importer_dead_letters_total", "kind", "ambiguous"): stands,
        ("importer_paused", "reason", "unavailable"): f"{int(paused)}x{long}",
        (
            "importer_config_info",
            *("portal", "other.example", "vhost", vhost),
            *("intake_queue", "crm.items.import", "dead_letter_queue", "crm.items.dlq"),
            *("succeeded_queue", "crm.items.succeeded", "failed_queue", "crm.items.failed"),
        ): f"1x{long}",
    }
    series = {
        name + _braces({**mine, **dict(zip(rest[::2], rest[1::2], strict=True))}): values
        for (name, *rest), values in made.items()
    }
    ready = {"job": "rabbitmq", "vhost": vhost, "queue": "crm.items.import"}
    series["rabbitmq_detailed_queue_messages_ready" + _braces(ready)] = stands
    return series


def _braces(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
