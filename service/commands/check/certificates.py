"""Says how long certificates are still good."""

from collections.abc import Mapping
from datetime import UTC, datetime

from service.commands.check.rows import Row, fail, ok, warn
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


def certificate_rows(ends: Mapping[str, float], now: float) -> list[Row]:
    """Judge the end of each certificate; `now` and ends are seconds of the epoch."""
    return [_row(_SUBJECTS.get(which, which), end, now) for which, end in sorted(ends.items())]


def _row(subject: str, end: float, now: float) -> Row:
    days = (end - now) / DAY
    date = datetime.fromtimestamp(end, UTC).date().isoformat()
    if days <= 0:
        return fail("certificate", subject, f"expired on {date}", _RENEW)
    found = f"good until {date}"
    return (
        warn("certificate", subject, found, _RENEW)
        if days < SOON_DAYS
        else ok("certificate", subject, found)
    )
