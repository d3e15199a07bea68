"""Says how long certificates are still good."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from service.commands.check.rows import Row, fail, ok, warn
from service.commands.terminal import clean
from service.telemetry.metrics import Metrics

DAY = 86_400.0
SOON_DAYS = 14
_SUBJECTS: Mapping[str, str] = {
    "portal": "certificate of the portal",
    "client": "certificate that we show the broker",
    "authority": "authority of the broker",
}
_RENEW = "renew it; the importer reads a new file when it connects next"


def seen(metrics: Metrics) -> dict[str, float]:
    """Return when the certificates end that were met, by what they are."""
    (family,) = metrics.certificate_expiry.collect()
    return {sample.labels["which"]: sample.value for sample in family.samples}


def certificate_rows(
    ends: Mapping[str, float], now: float, files: Mapping[str, Path | None]
) -> list[Row]:
    """Judge the end of each certificate; `now` and ends are seconds of the epoch.

    `files` names where each one lies that is ours.
    """
    rows = []
    for which, end in sorted(ends.items()):
        file = files.get(which)
        where = f" ({clean(str(file))})" if file is not None else ""
        rows.append(_row(_SUBJECTS.get(which, which), end, now, where))
    return rows


def _row(subject: str, end: float, now: float, where: str) -> Row:
    days = (end - now) / DAY
    date = datetime.fromtimestamp(end, UTC).date().isoformat() + where
    if days <= 0:
        return fail("certificate", subject, f"expired on {date}", _RENEW)
    found = f"good until {date}"
    return (
        warn("certificate", subject, found, _RENEW)
        if days < SOON_DAYS
        else ok("certificate", subject, found)
    )
