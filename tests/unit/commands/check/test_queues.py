"""Queues: which arguments and policies keep the promises."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from service.commands.check.described import DescribedQueue
from service.commands.check.queues import judged, untold_ack_timeout
from service.commands.check.rows import Row, RowStatus
from service.factories import topology
from service.settings.tree import Rabbit

NAMES = topology(Rabbit())
GOOD = dict(next(each for each in NAMES.queues if each.name == NAMES.intake_queue).arguments)
OLD, NEW = "3.10.8", "4.0.5"


def intake(
    arguments: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None,
    *,
    version: str = OLD,
    **told: Any,
) -> dict[str, Row]:
    """Return the rows of an intake queue, good but for what is given; None takes away."""
    mixed = {**GOOD, **(arguments or {})}
    kept = {name: value for name, value in mixed.items() if value is not None}
    return rows(NAMES.intake_queue, kept, policy, version=version, **told)


def rows(
    name: str,
    arguments: Mapping[str, Any],
    policy: Mapping[str, Any] | None = None,
    *,
    version: str = OLD,
    **told: Any,
) -> dict[str, Row]:
    """Return the rows of a queue by their check."""
    consumers = told.pop("consumers", 0)
    hold = told.pop("hold", 600.0)
    described = {
        "type": "quorum",
        "arguments": arguments,
        "effective_policy_definition": policy or {},
        **told,
    }
    queue = DescribedQueue(name, described, version, consumers)
    return {row.check: row for row in judged(queue, NAMES, hold)}


def not_ok(found: Mapping[str, Row]) -> dict[str, RowStatus]:
    """Return the rows that want something done; each of them says what."""
    bad = {check: row for check, row in found.items() if row.status is not RowStatus.OK}
    assert all(row.remedy for row in bad.values())
    return {check: row.status for check, row in bad.items()}


@pytest.mark.parametrize("version", [OLD, NEW])
def test_what_run_declares_is_fit(version: str) -> None:
    """Find nothing wrong with our own queues."""
    assert {} == not_ok(intake(version=version))
    for queue in NAMES.queues:
        if queue.name not in {NAMES.intake_queue, NAMES.dead_letter_queue}:
            assert {} == not_ok(rows(queue.name, queue.arguments, version=version))


def test_policies_do_as_well_as_arguments() -> None:
    """Judge what is in force, wherever it comes from."""
    policy = {name.removeprefix("x-"): value for name, value in GOOD.items()}
    bare = dict.fromkeys(GOOD)
    own = {"x-single-active-consumer": True}
    assert {} == not_ok(intake({**bare, **own}, policy))


def test_classic_queues_fail() -> None:
    """Wherever they are."""
    for queue in NAMES.queues:
        found = rows(queue.name, queue.arguments, type="classic")
        assert RowStatus.FAIL is found["queue.type"].status


def test_missing_net_fails() -> None:
    """An event over the limit would be lost."""
    found = intake({"x-dead-letter-exchange": None})
    assert {"queue.dead_letters": RowStatus.FAIL} == not_ok(found)
    assert "at-least-once" in found["queue.dead_letters"].command


@pytest.mark.parametrize(
    "change",
    [
        {"x-dead-letter-exchange": "elsewhere"},
        {"x-dead-letter-strategy": None},
        {"x-overflow": None},
        {"x-overflow": "drop-head"},
    ],
)
def test_weak_nets_are_warned_of(change: Mapping[str, Any]) -> None:
    """What the broker itself dead-letters could be lost, or lie elsewhere."""
    assert {"queue.dead_letters": RowStatus.WARN} == not_ok(intake(change))


@pytest.mark.parametrize(
    ("limit", "policy", "version", "status"),
    [
        (1000, None, OLD, None),
        (100, None, NEW, None),
        (99, None, OLD, RowStatus.FAIL),
        (1000, 50, OLD, RowStatus.FAIL),
        (50, 1000, NEW, RowStatus.FAIL),
        (None, None, OLD, RowStatus.WARN),
        (None, None, NEW, RowStatus.FAIL),
        (-1, None, OLD, RowStatus.FAIL),
        (-1, None, NEW, RowStatus.WARN),
        (None, -1, NEW, RowStatus.WARN),
        (1000, -1, NEW, None),
    ],
)
def test_delivery_limit_is_judged_by_the_version(
    limit: int | None, policy: int | None, version: str, status: RowStatus | None
) -> None:
    """Know that 4.x has a limit of 20 of its own, and that -1 means other things on 3.x."""
    given = {} if policy is None else {"delivery-limit": policy}
    found = not_ok(intake({"x-delivery-limit": limit}, given, version=version))
    assert ({} if status is None else {"queue.delivery_limit": status}) == found


@pytest.mark.parametrize(("consumers", "status"), [(0, RowStatus.WARN), (2, RowStatus.FAIL)])
def test_several_consumers_at_once_fail(consumers: int, status: RowStatus) -> None:
    """Warn of the possibility, fail the fact."""
    found = intake({"x-single-active-consumer": None}, consumers=consumers)
    assert {"queue.single_active_consumer": status} == not_ok(found)


@pytest.mark.parametrize(
    ("arguments", "policy", "hold", "fits"),
    [
        ({}, {}, 600, True),
        ({}, {}, 1800, False),
        ({}, {"consumer-timeout": 600_000}, 599, True),
        ({}, {"consumer-timeout": 600_000}, 600, False),
        ({"x-consumer-timeout": 900_000}, {"consumer-timeout": 3_600_000}, 1000, False),
    ],
)
def test_hold_must_end_before_the_brokers_patience(
    arguments: Mapping[str, Any], policy: Mapping[str, Any], hold: float, *, fits: bool
) -> None:
    """Compare with what is set, else with the broker's usual 30 minutes."""
    found = not_ok(intake(arguments, policy, hold=hold))
    assert ({} if fits else {"queue.ack_timeout": RowStatus.FAIL}) == found


@pytest.mark.parametrize(("hold", "warned"), [(1799.9, False), (1800.0, True)])
def test_hold_over_the_brokers_usual_patience_is_warned_of_untold(
    hold: float, *, warned: bool
) -> None:
    """Before there is a queue, and without a management API."""
    found = {row.check: row for row in untold_ack_timeout(NAMES.intake_queue, hold)}
    assert ({"queue.ack_timeout": RowStatus.WARN} if warned else {}) == not_ok(found)


@pytest.mark.parametrize("limit", ["message-ttl", "max-length", "max-length-bytes", "expires"])
def test_limits_that_throw_away_are_named(limit: str) -> None:
    """In every queue; a full queue that refuses publishes throws nothing away."""
    for queue in NAMES.queues:
        found = rows(queue.name, queue.arguments, {limit: 1000})
        rejects = queue.name == NAMES.intake_queue and limit.startswith("max-")
        assert rejects is ("queue.limits" not in not_ok(found))
        assert rejects or limit in found["queue.limits"].found


@pytest.mark.parametrize(
    ("arguments", "version", "warned"),
    [
        ({}, OLD, False),
        ({}, NEW, True),
        ({"x-delivery-limit": -1}, NEW, False),
        ({"x-delivery-limit": -1}, OLD, True),
        ({"x-delivery-limit": 20, "x-dead-letter-exchange": "again"}, NEW, False),
    ],
)
def test_letters_must_not_be_dropped_by_being_looked_at(
    arguments: Mapping[str, Any], version: str, *, warned: bool
) -> None:
    """Warn where a letter that is returned too often is gone."""
    found = not_ok(rows(NAMES.dead_letter_queue, arguments, version=version))
    assert ({"queue.delivery_limit": RowStatus.WARN} if warned else {}) == found


def test_policies_that_are_not_told_are_unknown() -> None:
    """Judge the arguments, and say that they are not everything."""
    found = judged(
        DescribedQueue(NAMES.intake_queue, {"type": "quorum", "arguments": GOOD}, OLD), NAMES, 1
    )
    assert ["queue.policies"] == [row.check for row in found if row.status is RowStatus.UNKNOWN]
    assert RowStatus.FAIL not in {row.status for row in found}


@pytest.mark.parametrize("name", [NAMES.failed_queue, NAMES.dead_letter_queue, NAMES.intake_queue])
def test_a_queue_that_is_full_and_refuses_publishes_fails(name: str) -> None:
    """The importer stands, or upstream does; a message less and it is fit."""
    limits = {"overflow": "reject-publish", "max-length": 10, "max-length-bytes": 1000}
    full = rows(name, {}, limits, messages=10, message_bytes=999)["queue.full"]
    assert (RowStatus.FAIL, "max-length 10 is reached (10)") == (full.status, full.found[:29])
    assert "queue.full" in rows(name, {}, limits, messages=1, message_bytes=1000)
    assert "queue.full" not in rows(name, {}, limits, messages=9, message_bytes=999)
    assert "queue.full" not in rows(name, {}, {**limits, "overflow": "drop-head"}, messages=99)


def test_a_result_queue_that_will_refuse_is_warned_of() -> None:
    """Full, it would stop the importer; upstream alone is refused by a full intake."""
    limits = {"overflow": "reject-publish", "max-length": 10}
    for name in (NAMES.failed_queue, NAMES.dead_letter_queue):
        row = rows(name, {}, limits, messages=1)["queue.limits"]
        assert (RowStatus.WARN, True) == (row.status, "the importer would stand" in row.found)
    assert RowStatus.OK is rows(NAMES.intake_queue, {}, limits, messages=1)["queue.limits"].status


def test_what_a_reader_holds_does_not_fill_a_queue() -> None:
    """Limits count ready messages only."""
    limits = {"overflow": "reject-publish", "max-length": 10}
    found = rows(NAMES.failed_queue, {}, limits, messages=10, messages_ready=9)
    assert "queue.full" not in found


def test_the_command_of_a_row_keeps_the_policy_that_is_there() -> None:
    """Only one policy counts for a queue; the command can be pasted."""
    found = rows(NAMES.intake_queue, {}, {"max-length": 5})
    row = found["queue.delivery_limit"]
    program, *words = shlex.split(row.command)
    assert ("rabbitmqctl", "set_policy", "^crm\\.items\\.import$") == (
        program,
        words[0],
        words[-2],
    )
    told = json.loads(words[-1])
    assert {"max-length": 5, "delivery-limit": 1000}.items() <= told.items()
    assert found["queue.dead_letters"].command == row.command
    assert "crm.items.dlx" == told["dead-letter-exchange"]


STRANGE = [None, True, 1e400, -1, "1000", "x", [], [1], {}, {"a": 1}]


@pytest.mark.parametrize("name", [each.name for each in NAMES.queues])
def test_whatever_the_management_api_tells_of_a_queue_becomes_rows(name: str) -> None:
    """A plugin, a proxy or a newer version may say anything."""
    limits = {"delivery-limit", "consumer-timeout", "max-length", "overflow", "message-ttl"}
    names = {*(each.removeprefix("x-") for each in GOOD), *limits}
    for strange in STRANGE:
        for each in names:
            assert rows(name, {**GOOD, f"x-{each}": strange}, {each: strange}, version=NEW)
        for part in ("arguments", "effective_policy_definition", "type", "messages_ready"):
            told = {"type": "quorum", "arguments": GOOD, part: strange}
            assert judged(DescribedQueue(name, told, NEW), NAMES, 600.0)
