"""Describes a RabbitMQ broker as the tests use it, and wraps one that is already there."""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx

MANAGEMENT_PORT = 15672
TICK_SECONDS = 6.0


class BrokerError(RuntimeError):
    """The broker did not do what it was asked for."""


@dataclass(frozen=True, slots=True)
class Address:
    """Says where a broker listens and who we are to it."""

    host: str
    amqp_port: int
    management_url: str
    user: str = "guest"
    password: str = "guest"
    scheme: str = "amqp"


@dataclass(frozen=True, slots=True)
class Depth:
    """Counts what one queue holds: ready for delivery, and delivered but not acknowledged."""

    ready: int
    unacked: int


class Broker(ABC):
    """Makes virtual hosts and looks into queues; everything else goes over AMQP."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._http = httpx.Client(
            base_url=address.management_url,
            auth=(address.user, address.password),
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=30.0,
            trust_env=False,
        )

    @property
    def management_url(self) -> str:
        """Return the root of the management plugin's HTTP API, with credentials."""
        parts = urlsplit(self.address.management_url)
        return f"{parts.scheme}://{self._credentials}@{parts.netloc}/"

    def url(self, vhost: str = "/") -> str:
        """Return the AMQP address of one virtual host."""
        at = self.address
        place = f"{at.host}:{at.amqp_port}/{quote(vhost, safe='')}"
        return f"{at.scheme}://{self._credentials}@{place}"

    def create_vhost(self, name: str) -> None:
        """Create a virtual host that we may use; about 15 ms."""
        self.api("PUT", f"vhosts/{quote(name, safe='')}")
        self.api(
            "PUT",
            f"permissions/{quote(name, safe='')}/{quote(self.address.user, safe='')}",
            {"configure": ".*", "write": ".*", "read": ".*"},
        )

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all it holds; its connections are closed."""
        self.api("DELETE", f"vhosts/{quote(name, safe='')}")

    def urls(self, vhost: str = "/") -> Sequence[str]:
        """Return the AMQP address at every node."""
        return [self.url(vhost)]

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - any JSON
        """Ask the management plugin; `path` comes after `/api/`."""
        answer = self._http.request(method, f"/api/{path}", json=body)
        if answer.is_error:
            raise BrokerError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def purge(self, vhost: str, queue: str) -> None:
        """Drop what a queue holds ready."""
        self.api("DELETE", f"queues/{quote(vhost, safe='')}/{quote(queue, safe='')}/contents")

    def is_bound(self, vhost: str, exchange: str) -> bool:
        """Tell whether an exchange leads to a queue; a new queue is made first, then bound."""
        path = f"exchanges/{quote(vhost, safe='')}/{quote(exchange, safe='')}/bindings/source"
        return bool(self.api("GET", path))

    def close_connections(self, vhost: str) -> None:
        """Close the AMQP connections that the management plugin knows of.

        It learns of one a moment after it was made: so repeat this until it shows.
        """
        for row in self.api("GET", f"vhosts/{quote(vhost, safe='')}/connections"):
            with suppress(BrokerError):  # it has ended meanwhile
                self.api("DELETE", f"connections/{quote(row['name'], safe='')}")

    @abstractmethod
    def queues(self, vhost: str) -> dict[str, Depth]:
        """Count what every queue of a virtual host holds."""

    def heal(self) -> None:  # noqa: B027 - only a node of our own can be hurt
        """Undo what a test did to the broker itself."""

    def close(self) -> None:
        """Let go of the broker."""
        self._http.close()

    @property
    def _credentials(self) -> str:
        return f"{quote(self.address.user, safe='')}:{quote(self.address.password, safe='')}"


class OwnBroker(Broker):
    """A broker that is ours alone, and may be hurt."""

    @abstractmethod
    def kill(self, *, at_once: bool = False) -> None:
        """Kill a node as a lost machine does; `restart` brings it back with its data.

        `at_once`: without writing out first which queues there are.
        """

    @abstractmethod
    def restart(self) -> None:
        """Start again what was killed."""

    @abstractmethod
    def freeze(self) -> None:
        """Stop a node where it stands: connections stay open and say nothing."""

    @abstractmethod
    def thaw(self) -> None:
        """Let what is frozen go on."""

    @abstractmethod
    def memory_alarm(self, *, on: bool) -> None:
        """Raise or clear the memory alarm, which blocks every connection that publishes."""


class ExistingBroker(Broker):
    """Uses the broker of TEST_RABBIT_URL, and its management plugin for virtual hosts.

    The plugin is expected at port 15672 of the same host, or at TEST_RABBIT_MANAGEMENT_URL.
    """

    def __init__(self, url: str) -> None:
        super().__init__(_address(url))
        try:
            self.api("GET", "overview")
        except (httpx.HTTPError, BrokerError) as error:
            raise BrokerError(
                f"the broker of TEST_RABBIT_URL has no usable management API at "
                f"{self.address.management_url} ({error}); tests make their virtual hosts "
                f"through it, so enable the plugin or set TEST_RABBIT_MANAGEMENT_URL"
            ) from error

    def queues(self, vhost: str) -> dict[str, Depth]:
        """Count by the broker's own figures, which are up to five seconds old: wait them out."""
        time.sleep(TICK_SECONDS)
        totals = "disable_stats=true&enable_queue_totals=true"
        rows = self.api("GET", f"queues/{quote(vhost, safe='')}?{totals}")
        return {
            row["name"]: Depth(row["messages_ready"], row["messages_unacknowledged"])
            for row in rows
        }


def _address(url: str) -> Address:
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    return Address(
        host=host,
        amqp_port=parts.port or (5671 if parts.scheme == "amqps" else 5672),
        management_url=os.environ.get(
            "TEST_RABBIT_MANAGEMENT_URL", f"http://{host}:{MANAGEMENT_PORT}"
        ).rstrip("/"),
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        scheme=parts.scheme,
    )
