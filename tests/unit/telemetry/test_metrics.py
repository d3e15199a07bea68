"""Metrics: everything known is there from the start, and nothing grows without bound."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder

from service.domain.codes import ITEM_CODES, OUR_CODES, UNCLEAR_CODES
from service.domain.outcomes import CallKind, PauseReason
from service.telemetry.catalogue import ALL
from service.telemetry.labels import CALL_RESULTS, call_result
from service.telemetry.metrics import Metrics

BUDGET = 600
"""With the label values of six entity types, which are there from the start."""
ROOM = 50
"""For five entity types more."""


def series(metrics: Metrics) -> list[str]:
    """Return the exposed series."""
    text = generate_latest(metrics.registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def labels_of(metrics: Metrics, name: str) -> set[tuple[str, ...]]:
    """Return the label values that a metric exposes."""
    found = set()
    for family in metrics.registry.collect():
        for sample in family.samples:
            if sample.name.removesuffix("_total") == "importer_" + name.removesuffix("_total"):
                found.add(tuple(value for key, value in sample.labels.items() if key != "le"))
    return found


def test_every_known_label_set_starts_at_zero() -> None:
    """Let a rate see the first increment."""
    metrics, missing = Metrics(), dict[str, set[tuple[str, ...]]]()
    for declared in ALL:
        name = declared.name + ("_count" if declared.buckets else "")
        if absent := set(declared.starts()) - labels_of(metrics, name):
            missing[declared.name] = absent
    assert {} == missing


def test_series_stay_within_their_budget() -> None:
    """Also with five entity types more than are built in."""
    metrics = Metrics()
    assert BUDGET > len(series(metrics))
    for entity_type_id in range(128, 133):
        metrics.earn(entity_type_id)
        label = metrics.entity_type(entity_type_id)
        for outcome in ("imported", "failed", "duplicate", "malformed"):
            metrics.items.labels(label, outcome).inc()
    assert BUDGET + ROOM > len(series(metrics))


def test_no_created_series() -> None:
    """Leave out what nobody reads and everybody stores, in both formats."""
    metrics = Metrics()
    for accept in ("text/plain", "application/openmetrics-text"):
        encode, _ = choose_encoder(accept)
        assert "_created" not in encode(metrics.registry).decode()


def test_rubbish_takes_no_label_value() -> None:
    """A type earns its own by what was imported, or by the settings; else it is `other`."""
    metrics = Metrics()
    labels = {metrics.entity_type(number) for number in range(1_000, 2_000)}
    metrics.earn(1044)
    assert {"other"} == labels
    assert ("1044", "other", "2") == tuple(map(metrics.entity_type, (1044, None, 2)))


def test_what_waits_for_anything_else_takes_no_value_of_a_lane() -> None:
    """Events of any number of types may wait for what does not exist; then a lane closes."""
    metrics = Metrics()
    for number in range(1_000, 2_000):
        for reason in ("link", "doubt", "a word of a foreign header"):
            assert "other" == metrics.waits(number, reason)[0]
    assert "other" == metrics.waits(4, "a word of a foreign header")[1]
    assert ("4", "link") == metrics.waits(4, "link")
    assert ("1044", "scope") == metrics.waits(1044, "scope")
    assert ("1044", "link") == metrics.waits(1044, "link")


def test_every_way_in_which_a_call_ends_has_its_label() -> None:
    """Those of the contract; what is not named else is a refusal."""
    assert {*CALL_RESULTS} == {call_result(kind) for kind in (None, *CallKind)}
    assert ("ok", "refused") == (call_result(None), call_result(CallKind.BARRED))


def test_entity_types_are_bounded() -> None:
    """Who comes too late is `other`, for ever, whatever was imported."""
    metrics = Metrics()
    for number in range(1, 1_000):
        metrics.earn(number)
    assert 40 > len({metrics.entity_type(number) for number in range(1, 1_000)})
    assert ("other", "2") == (metrics.entity_type(999), metrics.entity_type(2))


def test_unknown_codes_are_other() -> None:
    """Keep the portal's inventions out of the labels."""
    metrics = Metrics()
    assert ("NOT_FOUND", "other") == (metrics.code("NOT_FOUND"), metrics.code("NEVER_SEEN"))


def test_every_code_that_we_know_has_a_label_of_its_own() -> None:
    """However the portal spells it; one that ends events must not hide among the others."""
    metrics = Metrics()
    for code in [*ITEM_CODES, *OUR_CODES, *UNCLEAR_CODES, "not_found"]:
        assert code.upper() == metrics.code(code) == metrics.code(code.upper())


def test_every_declared_metric_has_a_meaning_and_an_advice() -> None:
    """Leave no number that nobody can act on."""
    assert [] == [each.name for each in ALL if not each.meaning or not each.advice]


def test_catalogue_and_metrics_name_the_same() -> None:
    """Expose what is declared, and declare what is exposed."""
    exposed = {
        family.name.removeprefix("importer_")
        for family in Metrics().registry.collect()
        if family.name.startswith("importer_")
    }
    declared = {each.name.removesuffix("_total") for each in ALL}
    assert declared == exposed - {"config", "build"}


def test_pause_reasons_are_those_of_the_contract() -> None:
    """Expose one gauge per reason."""
    assert (
        {
            ("credentials",),
            ("scope",),
            ("plan",),
            ("blocked",),
            ("portal_deleted",),
            ("auth_server",),
            ("unavailable",),
            ("operating_limit",),
            ("failure_share",),
        }
        == labels_of(Metrics(), "paused")
        == {(str(reason),) for reason in PauseReason}
    )


def test_closed_by_values_are_those_of_the_contract() -> None:
    """Expose one counter per reason."""
    expected = {("size",), ("window",), ("bytes",), ("pressure",), ("drain",)}
    assert expected == labels_of(Metrics(), "batches_total")


def test_two_sets_of_metrics_do_not_share_anything() -> None:
    """Keep to the registry that was given, and off the global one."""
    own = CollectorRegistry()
    first, second = Metrics(own), Metrics()
    first.joined.inc()
    assert own is first.registry
    assert 0.0 == second.registry.get_sample_value("importer_duplicates_joined_total")


BUCKETS = {
    "batch_size": (1, 2, 3, 5, 8, 10, 12, 15, 18, 19, 20),
    "batch_fill_seconds": (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
    "request_duration_seconds": (0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 12, 20, 30, 45, 60, 75),
    "end_to_end_latency_seconds": (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600),
    "event_age_seconds": (
        *(0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600),
        *(7200, 21600, 86400, 604800),
    ),
    "publish_confirm_seconds": (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
    "loop_lag_seconds": (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5),
}
"""Dashboards and service levels of others are built on these: they are part of the interface."""


@pytest.mark.parametrize("name", BUCKETS)
def test_buckets_stay_as_they_are(name: str) -> None:
    """Whoever computes quantiles over a release needs the same bounds before and after."""
    (declared,) = [each for each in ALL if each.name == name]
    assert BUCKETS[name] == tuple(declared.buckets or ())
