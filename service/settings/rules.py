"""Decides whether settings fit together."""

import ipaddress
import re
from urllib.parse import urlsplit

from pydantic import SecretStr

from service.settings.tree import PREFIX, Settings

_HOLD = (
    "BATCH__WINDOW_SECONDS + BITRIX__TIMEOUT_SECONDS + BITRIX__SETTLE_SECONDS "
    "must be less than RABBIT__HOLD_SECONDS"
)


def broken_rules(settings: Settings) -> list[tuple[set[str], str]]:
    """Return every rule between settings that does not hold: the names in it, and the text."""
    rabbit, bitrix, batch = settings.rabbit, settings.bitrix, settings.batch
    retry, pause = settings.retry, settings.pause
    longest = batch.window_seconds + bitrix.timeout_seconds + bitrix.settle_seconds
    rules = [
        (
            settings.shutdown.deadline_seconds >= bitrix.timeout_seconds,
            "SHUTDOWN__DEADLINE_SECONDS must be at least BITRIX__TIMEOUT_SECONDS",
        ),
        (longest < rabbit.hold_seconds, _HOLD),
        (
            retry.base_seconds <= retry.cap_seconds,
            "RETRY__BASE_SECONDS must not exceed RETRY__CAP_SECONDS",
        ),
        (
            pause.probe_seconds <= pause.probe_cap_seconds,
            "PAUSE__PROBE_SECONDS must not exceed PAUSE__PROBE_CAP_SECONDS",
        ),
        (
            rabbit.max_message_bytes <= batch.max_bytes,
            "RABBIT__MAX_MESSAGE_BYTES must not exceed BATCH__MAX_BYTES",
        ),
        (
            settings.prefetch >= batch.max_items * (batch.slots + 1),
            "BATCH__PREFETCH must be at least BATCH__MAX_ITEMS x (BATCH__SLOTS + 1)",
        ),
        (
            (rabbit.cert_file is None) == (rabbit.key_file is None),
            "RABBIT__CERT_FILE and RABBIT__KEY_FILE must be given together",
        ),
        (
            bitrix.allow_http or not _plain_http(bitrix.webhook_url),
            "BITRIX__WEBHOOK_URL must be https (or set BITRIX__ALLOW_HTTP=true)",
        ),
    ]
    return [_rule(text) for holds, text in rules if not holds]


def _rule(text: str) -> tuple[set[str], str]:
    names = {PREFIX + name for name in re.findall(r"[A-Z]+__[A-Z_]+", text)}
    return names, re.sub(r"\b([A-Z]+__[A-Z_]+)", PREFIX + r"\1", text)


def _plain_http(url: SecretStr | None) -> bool:
    """Tell whether an address would send its secret in the clear to another machine."""
    if url is None:
        return False
    parts = urlsplit(url.get_secret_value())
    host = parts.hostname or ""
    if parts.scheme != "http" or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
