"""Builds the parts that settings describe, for the service and for the commands beside it."""

import math
from functools import partial
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from service.bitrix import reasons
from service.bitrix.application import Application
from service.bitrix.auth import Endpoint, Webhook
from service.bitrix.auth_server import AuthServer
from service.bitrix.client import Portal
from service.bitrix.http import HttpClient, Way, trust
from service.bitrix.throttle import Throttle
from service.bitrix.tokens import TokenFile, TokenFileUnusable
from service.domain.addresses import host, is_tls
from service.domain.batching import BatchPolicy
from service.domain.circuit_breaker import PausePolicy
from service.domain.decisions import Rules
from service.domain.external_id import ExternalIds
from service.domain.inner_queue import Asking
from service.domain.limits import Limits
from service.domain.network import Peer
from service.domain.pacing import LeakyBucket, OperatingBudget
from service.domain.retry import RetryPolicy
from service.rabbit.address import Address, Certificates, CertificatesUnusable, split
from service.rabbit.broker import Broker
from service.rabbit.decoding import Decoder
from service.rabbit.encoding import Encoder
from service.rabbit.topology import Topology
from service.settings.tree import Bitrix, Rabbit, Settings
from service.telemetry.labels import BUDGETED
from service.telemetry.logs import mask
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import UNTRACED, Tracer

ONE_IN = 10
"""At most one call in this many asks for items that events wait for."""
SPARE_CONNECTIONS = 2
"""HTTP connections for look-ups and probes, beside the imports."""


class CannotStart(Exception):  # noqa: N818 - reads as what it says
    """Something outside keeps a command from its work; the text says what to do."""


def secrets(settings: Settings) -> list[str]:
    """Return every text that must never be shown; tokens are added when they are learnt."""
    found: list[str] = []
    for url in settings.rabbit.url.get_secret_value().split(","):
        password = urlsplit(url.strip()).password
        if password and password != "guest":  # noqa: S105 - the public default
            found += [password, unquote(password)]
    bitrix = settings.bitrix
    if bitrix.webhook_url is not None:
        found.append(urlsplit(bitrix.webhook_url.get_secret_value()).path.split("/")[3])
    found += [_text(bitrix.client_secret), _text(bitrix.refresh_token)]
    found.append(_text(settings.console.password))
    for held in (settings.rabbit.management_url, bitrix.proxy_url):
        password = urlsplit(_text(held)).password or ""
        found += [password, unquote(password)]
    return [secret for secret in found if secret]


def external_ids(bitrix: Bitrix) -> ExternalIds:
    """Return the rules for the field that carries an event's identity."""
    return ExternalIds(bitrix.originator, bitrix.external_id_fields)


def decoder(settings: Settings) -> Decoder:
    """Return the decoder of item events, for the service and for rehearsals."""
    return Decoder(
        external_ids=external_ids(settings.bitrix), max_bytes=settings.rabbit.max_message_bytes
    )


def portal_host(settings: Settings) -> str:
    """Return the host by which the portal is known in result events: the one configured."""
    bitrix = settings.bitrix
    return host(_text(bitrix.webhook_url) or bitrix.client_endpoint or "")


def auth(settings: Settings) -> Webhook | Application:
    """Return the portal's credentials; raises CannotStart when they cannot be used."""
    bitrix = settings.bitrix
    if bitrix.webhook_url is not None:
        return Webhook(_text(bitrix.webhook_url), allow_http=bitrix.allow_http)
    if bitrix.token_file is None:
        raise CannotStart("IMPORTER_BITRIX__WEBHOOK_URL is missing")
    try:
        return Application(
            Endpoint(bitrix.client_endpoint or "", allow_http=bitrix.allow_http),
            store=TokenFile(bitrix.token_file),
            server=AuthServer(
                bitrix.oauth_url,
                _way(bitrix, reasons.AUTH_SERVER),
                client_id=bitrix.client_id or "",
                client_secret=_text(bitrix.client_secret),
            ),
            seed=_text(bitrix.refresh_token),
            reveal=mask,
        )
    except TokenFileUnusable as unusable:
        raise CannotStart(str(unusable)) from None


def portal(
    settings: Settings,
    metrics: Metrics,
    credentials: Webhook | Application | None = None,
    *,
    patience: float = math.inf,
) -> Portal:
    """Return the portal, with its one throttle; called with the settings' credentials or these.

    `patience`: longest wait of a look-up for its execution time, in seconds.
    """
    bitrix = settings.bitrix
    bucket = LeakyBucket.with_reserve(bitrix.requests_per_second, float(bitrix.burst))
    budgets = {
        method: OperatingBudget(bitrix.operating_limit_seconds, bitrix.operating_window_seconds)
        for method in BUDGETED
    }
    return Portal(
        credentials or auth(settings),
        http=HttpClient(
            _way(bitrix, reasons.WEBHOOK if bitrix.webhook_url else reasons.ENDPOINT),
            connections=settings.batch.slots + SPARE_CONNECTIONS,
            on_expiry=partial(metrics.note_expiry, "portal"),
        ),
        throttle=Throttle(bucket=bucket, budgets=budgets, metrics=metrics, patience=patience),
        metrics=metrics,
        timeout=bitrix.timeout_seconds,
    )


def address(rabbit: Rabbit, metrics: Metrics | None = None) -> Address:
    """Return where the broker is; raises CannotStart when its certificates cannot be used."""
    urls = split(rabbit.url.get_secret_value())
    certificates = None
    if is_tls(urls[0]):
        certificates = Certificates(rabbit.ca_file, rabbit.cert_file, rabbit.key_file)
    there = Address(urls, rabbit.heartbeat_seconds, certificates)
    if metrics is not None:
        there.on_expiry = metrics.note_expiry
    try:
        _ = there.tls
    except CertificatesUnusable as error:
        raise CannotStart(f"the broker's TLS: {error}") from None
    return there


def brokers(rabbit: Rabbit) -> str:
    """Return where the broker is, for people: host and port of each node, no user, no secret."""
    urls = rabbit.url.get_secret_value().split(",")
    return ", ".join(urlsplit(url.strip()).netloc.rpartition("@")[2] for url in urls)


def virtual_host(rabbit: Rabbit) -> str:
    """Return the broker's virtual host, as the broker itself calls it."""
    return unquote(urlsplit(split(rabbit.url.get_secret_value())[0]).path[1:]) or "/"


def tracer(settings: Settings) -> Tracer:
    """Return what traces; raises CannotStart when it is asked for and not installed."""
    endpoint = settings.tracing.endpoint
    if endpoint is None:
        return UNTRACED
    try:
        from service.telemetry import spans  # noqa: PLC0415 - an extra that few install
    except ImportError as error:
        raise CannotStart(
            f"IMPORTER_TRACING__ENDPOINT is set, but tracing is not installed ({error.name} is "
            "missing): install crm-importer[tracing], or remove the setting"
        ) from None
    return spans.Spans(
        spans.exporting(endpoint),
        queue=settings.rabbit.intake_queue,
        portal=portal_host(settings),
        share=settings.tracing.share,
    )


def topology(rabbit: Rabbit) -> Topology:
    """Return the exchanges and queues that the settings name."""
    return Topology(
        intake_exchange=rabbit.intake_exchange,
        intake_queue=rabbit.intake_queue,
        results_exchange=rabbit.results_exchange,
        succeeded_queue=rabbit.succeeded_queue,
        failed_queue=rabbit.failed_queue,
        dead_letter_exchange=rabbit.dead_letter_exchange,
        dead_letter_queue=rabbit.dead_letter_queue,
        delivery_limit=rabbit.delivery_limit,
        declare=rabbit.topology == "declare",
        parked=rabbit.parked_name,
        memory=rabbit.memory_name,
    )


def built_broker(settings: Settings, there: Address, metrics: Metrics) -> Broker:
    """Return the connections to the broker; the memory, if any, is given to them later."""
    names, pause = topology(settings.rabbit), settings.pause
    broker = Broker(
        address=there,
        topology=names,
        decoder=decoder(settings),
        encoder=Encoder(names, portal_host=portal_host(settings)),
        early=settings.prefetch,
        metrics=metrics,
    )
    broker.roster.asking = broker.waker.activity.asking = Asking(
        pause.after_seconds, pause.probe_seconds, pause.probe_cap_seconds
    )
    broker.roster.ask(settings.bitrix.external_id_fields)
    return broker


def _text(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _way(bitrix: Bitrix, peer: Peer) -> Way:
    """Return how to reach somebody; raises CannotStart.

    A portal of one's own has an authority of its own; the authorisation server is the maker's, and
    so has one of the system's, unless a proxy takes TLS apart for everybody.
    """
    try:
        believed = trust(bitrix.ca_file, too=peer is reasons.AUTH_SERVER)
    except OSError as error:
        raise CannotStart(f"{reasons.AUTHORITY} cannot be used: {error}") from None
    return Way(peer, believed, _text(bitrix.proxy_url))


def limits(settings: Settings) -> Limits:
    """Return the bounds of the pipeline."""
    batch, retry, pause = settings.batch, settings.retry, settings.pause
    return Limits(
        batch=BatchPolicy(
            batch.max_items,
            batch.window_seconds,
            batch.max_bytes,
            patience=settings.rabbit.hold_seconds / 2,
        ),
        pause=PausePolicy(
            after=pause.after_seconds,
            probe=pause.probe_seconds,
            probe_cap=pause.probe_cap_seconds,
            brake_share=settings.brake.share,
            brake_items=settings.brake.items,
        ),
        rules=Rules(
            retry=RetryPolicy(retry.base_seconds, retry.cap_seconds, retry.max_attempts),
            settle=settings.bitrix.settle_seconds,
            recheck=settings.bitrix.recheck_seconds,
            resend=settings.ambiguous == "resend",
            validation=settings.validation,
            unproved_after=settings.ambiguous_after_seconds,
            ask_again=(pause.probe_seconds, pause.probe_cap_seconds),
            links_wait=settings.links.wait_seconds,
            links_gap=ONE_IN / settings.bitrix.requests_per_second,
        ),
        slots=batch.slots,
        prefetch=settings.prefetch,
        hold=settings.rabbit.hold_seconds,
        remember=settings.claims.remember,
        deadline=settings.shutdown.deadline_seconds,
        call=settings.bitrix.timeout_seconds,
        ask=settings.lookup,
    )
