"""Starts the real parts, one after another, and takes them down again, whatever happens."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.demo.samples import PORTAL_RULES
from tests.support.broker import Broker
from tests.support.node import RabbitNode, open_broker
from tests.support.processes import PortalProcess, ServiceProcess

SETTLE_SECONDS = 5
ITEM_SECONDS = 0.14
PORTAL = {
    **PORTAL_RULES,
    "rate": 2,
    "burst": 50,
    "operating_limit": 480,
    "default_item_seconds": ITEM_SECONDS,
    "call_seconds": {"crm.item.batchimport": 0.4, "crm.item.list": 0.2},
}
"""A portal of the usual plan: two calls a second, fifty at once, and every item takes its time."""

Say = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Environment:
    """Holds the parts while they run."""

    broker: Broker
    vhost: str
    portal: PortalProcess
    service: ServiceProcess
    settings: Mapping[str, str]

    @property
    def amqp_url(self) -> str:
        """Return where upstream and the importer meet."""
        return self.broker.url(self.vhost)

    @property
    def login(self) -> str:
        """Return how to log in to the broker's pages, where that is no secret."""
        return "   (guest, guest)" if self.broker.address.user == "guest" else ""

    def importer(self) -> ServiceProcess:
        """Return one more importer, not started yet."""
        return ServiceProcess(self.settings)


@contextmanager
def open_environment(say: Say) -> Iterator[Environment]:
    """Start broker, portal and importer; `say` is told before each and when it is ready."""
    with ExitStack() as parts:
        started = time.monotonic()
        say("broker", "starting a RabbitMQ of its own, 10 to 20 s ...")
        broker = parts.enter_context(open_broker())
        vhost = f"demo-{uuid.uuid4().hex[:6]}"
        broker.create_vhost(vhost)
        parts.callback(broker.delete_vhost, vhost)
        own = "of its own" if isinstance(broker, RabbitNode) else "that was there"
        say("", f"a RabbitMQ {own}, virtual host {vhost}, after {_since(started)}")

        started = time.monotonic()
        say("portal", "starting a simulated one ...")
        portal = parts.enter_context(PortalProcess(PORTAL))
        say("", f"2 calls a second, 50 at once, after {_since(started)}")

        started = time.monotonic()
        settings = {
            "IMPORTER_RABBIT__URL": broker.url(vhost),
            "IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url,
            "IMPORTER_BITRIX__SETTLE_SECONDS": str(SETTLE_SECONDS),
        }
        say("importer", "starting it: python -m service run ...")
        service = parts.enter_context(ServiceProcess(settings))
        service.wait_ready()
        say("", f"ready after {_since(started)}")
        yield Environment(broker, vhost, portal, service, settings)


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.1f} s"
