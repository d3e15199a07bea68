"""Arithmetic: what the settings ask of the machine."""

import tracemalloc
from pathlib import Path

import pytest

from service.commands.check.arithmetic import (
    MIB,
    REMEMBERED_BYTES,
    ignored_rows,
    memory_limit,
    settings_rows,
)
from service.commands.check.rows import Row, RowStatus
from service.domain.claims import Claims
from service.domain.outcomes import Imported
from service.domain.owning import Owners
from service.settings.environment import load
from tests.unit.domain.samples import claim

WEBHOOK = {"IMPORTER_BITRIX__WEBHOOK_URL": "https://portal.example/rest/1/secret/"}


def rows(memory: int | None = None, **named: str) -> dict[str, Row]:
    """Return the rows of settings by their check."""
    settings = load(WEBHOOK | {f"IMPORTER_{name}": text for name, text in named.items()})
    return {row.check: row for row in settings_rows(settings, memory)}


def test_default_settings_are_fine_without_a_limit() -> None:
    """Warn of nothing that nobody chose."""
    assert {RowStatus.OK} == {row.status for row in rows().values()}


def test_memory_is_base_and_prefetch_and_calls() -> None:
    """Do the arithmetic of promise 13."""
    found = rows(
        BATCH__PREFETCH="60", RABBIT__MAX_MESSAGE_BYTES=str(MIB), BATCH__MAX_BYTES=str(4 * MIB)
    )["settings.memory"].found
    assert (
        "at most 151 MiB: 64 MiB + 60 messages of 1 MiB + 2 calls of 4 MiB + "
        "50,000 remembered ids of 400 B" in found
    )


def test_remembered_ids_take_no_more_than_is_reckoned() -> None:
    """Measure what stays of imported events, a quarter more than the setting included."""
    many = 2_000
    claims = Claims(remember=many)
    owners = Owners(remember=many)
    tracemalloc.start()
    for number in range(many * 5 // 4):
        each = claim(f"order-{number:0900}")
        claims.admit(each, copy=False)
        owners.own(each.event, 10**9 + number)
        claims.resolve(each, Imported(10**9 + number))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert many * REMEMBERED_BYTES / 2 < size < many * REMEMBERED_BYTES


@pytest.mark.parametrize(
    ("limit", "status"),
    [
        (None, RowStatus.OK),
        (152 * MIB, RowStatus.OK),
        (151 * MIB, RowStatus.WARN),
        (63 * MIB, RowStatus.FAIL),
    ],
)
def test_memory_is_compared_with_the_limit(limit: int | None, status: RowStatus) -> None:
    """Warn of what can happen, fail what cannot even start."""
    found = rows(
        limit,
        BATCH__PREFETCH="60",
        RABBIT__MAX_MESSAGE_BYTES=str(MIB),
        BATCH__MAX_BYTES=str(4 * MIB),
    )["settings.memory"]
    assert status is found.status
    assert (status is RowStatus.OK) is (not found.remedy)


def test_drain_tells_the_grace_period_to_give() -> None:
    """Name the number that stands in a manifest."""
    assert "must be above 130 s" in rows(SHUTDOWN__DEADLINE_SECONDS="120")["settings.drain"].found


def test_hold_shows_its_sum() -> None:
    """Show what is added up."""
    assert "= 137 s, less than the 600 s" in rows()["settings.hold"].found


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [("LOOKUP", "never", "settings.lookup"), ("AMBIGUOUS", "resend", "settings.ambiguous")],
)
def test_promises_that_are_switched_off_are_named(name: str, value: str, check: str) -> None:
    """Warn whoever trades doubled items for speed."""
    found = rows(None, **{name: value})[check]
    assert (RowStatus.WARN, True) == (found.status, "twice" in found.found)


def test_names_injected_by_kubernetes_are_warned_of() -> None:
    """In one row, with what to do about them."""
    (row,) = ignored_rows(["IMPORTER_PORT", "IMPORTER_SERVICE_HOST"])
    assert RowStatus.WARN is row.status
    assert "IMPORTER_PORT, IMPORTER_SERVICE_HOST" in row.found
    assert "enableServiceLinks" in row.remedy
    assert [] == ignored_rows([])


def written(root: Path, **files: str) -> Path:
    """Write files below a root; `__` stands for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    """Read `max`, nothing, and the old way of saying so."""
    assert memory_limit(tmp_path) is None
    written(
        tmp_path,
        sys__fs__cgroup__memory_dot_max="max",
        sys__fs__cgroup__memory__memory_dot_limit_in_bytes="9223372036854771712",
    )
    assert memory_limit(tmp_path) is None


def test_limit_of_a_container_is_read(tmp_path: Path) -> None:
    """See our own group as the root, as a container does."""
    written(tmp_path, sys__fs__cgroup__memory_dot_max="201326592", proc__self__cgroup="0::/")
    assert 192 * MIB == memory_limit(tmp_path)


def test_least_limit_above_us_counts(tmp_path: Path) -> None:
    """Look at every group above ours."""
    written(
        tmp_path,
        sys__fs__cgroup__pods__one__memory_dot_max="max",
        sys__fs__cgroup__pods__memory_dot_max="104857600",
        sys__fs__cgroup__other__memory_dot_max="1048576",
        proc__self__cgroup="0::/pods/one",
    )
    assert 100 * MIB == memory_limit(tmp_path)


def test_old_control_groups_are_read(tmp_path: Path) -> None:
    """Know the first version's place."""
    written(tmp_path, sys__fs__cgroup__memory__memory_dot_limit_in_bytes="104857600")
    assert 100 * MIB == memory_limit(tmp_path)
