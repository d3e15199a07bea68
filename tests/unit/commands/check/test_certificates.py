"""How long certificates are still good."""

from dataclasses import replace
from pathlib import Path

import pytest

from service.commands.check import report
from service.commands.check.certificates import DAY, certificate_rows, seen
from service.commands.check.rows import RowStatus
from service.telemetry.metrics import Metrics

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("days", "status", "word"),
    [
        (-1, RowStatus.FAIL, "expired on 2027-01-14"),
        (0, RowStatus.FAIL, "expired"),
        (13, RowStatus.WARN, "good until 2027-01-28"),
        (15, RowStatus.OK, "good until 2027-01-30"),
    ],
)
def test_a_certificate_fails_when_it_has_ended_and_warns_two_weeks_before(
    days: int, status: RowStatus, word: str
) -> None:
    """Time enough to have it renewed."""
    (row,) = certificate_rows({"portal": NOW + days * DAY}, NOW, {})
    assert (status, True) == (row.status, word in row.found)
    assert "portal" in row.subject


def test_only_certificates_that_were_met_have_a_row() -> None:
    """None without TLS, and no series at nought that an alert would take for an end."""
    metrics = Metrics()
    assert seen(metrics) == {}
    metrics.note_expiry("client", NOW)
    assert [row.subject for row in certificate_rows(seen(metrics), NOW - 99 * DAY, {})] == [
        "certificate that we show the broker"
    ]


def test_a_certificate_of_ours_is_named_by_its_file() -> None:
    """Whoever renews it must know which."""
    (row,) = certificate_rows({"client": NOW + DAY}, NOW, {"client": Path("/run/tls.crt")})
    assert "good until 2027-01-16 (/run/tls.crt)" == row.found
    assert report.summary([replace(row, status=RowStatus.FAIL)]).endswith(f": {row.subject}")
