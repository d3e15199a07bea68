"""Decides whether settings fit together."""

import re
from collections.abc import Collection, Iterator
from itertools import combinations

from service.domain.addresses import in_clear, is_tls
from service.settings.shapes import unusable_pair
from service.settings.tree import PREFIX, Bitrix, Rabbit, Settings

APPLICATION = {
    "CLIENT_ENDPOINT": "the portal's https://portal/rest/",
    "CLIENT_ID": "its client_id",
    "CLIENT_SECRET": "its client_secret",
    "TOKEN_FILE": "a file to keep its pair of tokens in",
}
NEITHER = (
    "is missing: give the portal's incoming webhook, https://portal/rest/<user>/<secret>/ "
    f"(or, for an OAuth application, {PREFIX}BITRIX__{', __'.join(APPLICATION)})"
)
MAX_NAME = 255
"""Bytes of a queue's name."""
MAX_PREFIX = 244
"""Bytes of a queue's name that leave room for a point and an entity type."""
OPTIONAL = ("OAUTH_URL", "REFRESH_TOKEN")

_NAME = re.compile(r"\b[A-Z]+__[A-Z_]+\b")
_TOO_LONG = (
    f"must be given, with {MAX_PREFIX} bytes at most: the name made from RABBIT__INTAKE_QUEUE "
    f"leaves no room for an entity type"
)
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
        *_certificates(rabbit),
        *_names(rabbit),
        *_protection(bitrix),
        (len(rabbit.parked_name.encode()) <= MAX_PREFIX, f"RABBIT__PARKED_QUEUE {_TOO_LONG}"),
    ]
    return [_rule(text, settings) for holds, text in rules if not holds]


def _names(rabbit: Rabbit) -> Iterator[tuple[bool, str]]:
    """Yield the rules of names: what leaves us must not come back to us, nor lie among others."""
    text = f"RABBIT__MEMORY_QUEUE must be given, with {MAX_NAME} bytes at most: what is made of "
    yield len(rabbit.memory_name.encode()) <= MAX_NAME, f"{text}RABBIT__INTAKE_QUEUE is longer"
    queues = {
        "INTAKE": rabbit.intake_queue,
        "DEAD_LETTER": rabbit.dead_letter_queue,
        "MEMORY": rabbit.memory_name,
        "SUCCEEDED": rabbit.succeeded_queue,
        "FAILED": rabbit.failed_queue,
    }
    inner = re.compile(rf"{re.escape(rabbit.parked_name)}\.(doubtful|links|\d+)")
    for name, queue in queues.items():
        free = not rabbit.parked_name or inner.fullmatch(queue) is None
        yield free, f"RABBIT__{name}_QUEUE is named as a queue of RABBIT__PARKED_QUEUE: rename it"
    # One queue for both results is somebody's wish.
    results = {"SUCCEEDED", "FAILED"}
    for one, other in combinations(queues, 2):
        differ = queues[one] != queues[other] or {one, other} == results
        yield differ, f"RABBIT__{one}_QUEUE and RABBIT__{other}_QUEUE must not be the same queue"
    exchanges = {
        "INTAKE": rabbit.intake_exchange,
        "RESULTS": rabbit.results_exchange,
        "DEAD_LETTER": rabbit.dead_letter_exchange,
    }
    # Who made them himself may have bound one exchange so that nothing goes round.
    for one, other in combinations(exchanges, 2):
        differ = exchanges[one] != exchanges[other] or rabbit.topology == "check"
        text = f"RABBIT__{one}_EXCHANGE and RABBIT__{other}_EXCHANGE must not be the same exchange"
        yield differ, text


def _certificates(rabbit: Rabbit) -> Iterator[tuple[bool, str]]:
    """Yield the rules of the broker's certificates."""
    cert, key = rabbit.cert_file, rabbit.key_file
    tls = is_tls(rabbit.url.get_secret_value())
    both = "RABBIT__CERT_FILE and RABBIT__KEY_FILE must"
    yield (cert is None) == (key is None), f"{both} be given together"
    why = unusable_pair(cert, key) if tls and cert is not None and key is not None else ""
    yield not why, f"{both} be a certificate and its key, in PEM and without a password: {why}"
    for name, given in (
        ("CA_FILE", rabbit.ca_file),
        ("CERT_FILE", rabbit.cert_file),
        ("KEY_FILE", rabbit.key_file),
    ):
        text = f"RABBIT__{name} needs TLS: RABBIT__URL must begin with amqps://, or remove it"
        yield given is None or tls, text


def missing_portal(given: Collection[str]) -> list[str]:
    """Return what is missing, or too much, to reach the portal; `given` are names of settings."""
    ours = f"{PREFIX}BITRIX__"
    names = {name.removeprefix(ours) for name in given if name.startswith(ours)}
    application = names & {*APPLICATION, *OPTIONAL}
    if "WEBHOOK_URL" in names and application:
        stray = ", ".join(f"{PREFIX}BITRIX__{name}" for name in sorted(application))
        both = (
            "BITRIX__WEBHOOK_URL and an OAuth application are both given: remove the webhook, or"
        )
        return [f"{PREFIX}{both} {stray}"]
    if "WEBHOOK_URL" in names:
        return []
    if not application:
        return [f"{PREFIX}BITRIX__WEBHOOK_URL {NEITHER}"]
    return [
        f"{PREFIX}BITRIX__{name} is missing: an OAuth application needs {meaning}"
        for name, meaning in APPLICATION.items()
        if name not in names
    ]


def _protection(bitrix: Bitrix) -> list[tuple[bool, str]]:
    """Return the rule of every address that gets a secret: only where nobody else can read it."""
    webhook = bitrix.webhook_url
    urls = {
        "WEBHOOK_URL": webhook.get_secret_value() if webhook else "",
        "CLIENT_ENDPOINT": bitrix.client_endpoint or "",
        "OAUTH_URL": bitrix.oauth_url,
    }
    return [
        (
            bitrix.allow_http or not in_clear(url),
            f"BITRIX__{name} must be https (or set BITRIX__ALLOW_HTTP=true)",
        )
        for name, url in urls.items()
    ]


def _rule(text: str, settings: Settings) -> tuple[set[str], str]:
    """Return the names in a rule, and its text with their full names and the figures in force."""

    def told(found: re.Match[str]) -> str:
        section, _, leaf = found[0].lower().partition("__")
        value = getattr(getattr(settings, section), leaf)
        is_figure = isinstance(value, int | float) and not isinstance(value, bool)
        figure = f" ({value:.15g})" if is_figure else ""
        return f"{PREFIX}{found[0]}{figure}"

    return {PREFIX + name for name in _NAME.findall(text)}, _NAME.sub(told, text)
