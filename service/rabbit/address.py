"""Where the broker is, and how to get in: asked again at each dial."""

import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from yarl import URL

from service.domain.certificates import soonest_end, unusable

CONNECT_SECONDS = 10.0
PORTS = {"amqp": 5672, "amqps": 5671}


class CertificatesUnusable(OSError):  # noqa: N818 - reads as what it says
    """The files of our certificates cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files that TLS needs; none at all: the system's authorities, no certificate of ours."""

    authority: Path | None = None
    ours: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Read the files; raises CertificatesUnusable. They are exchanged while we run."""
        try:
            context = ssl.create_default_context(cafile=self.authority)
            if self.ours is not None:
                # A key with a password would have us ask for it at a terminal.
                context.load_cert_chain(self.ours, self.key, password=lambda: b"")
        except (OSError, ValueError) as error:
            told = unusable(error)
        else:
            return context
        # Not from within: what lies below would be read as the failure of a connection.
        raise CertificatesUnusable(f"the certificates cannot be used: {told}")

    def expiries(self) -> dict[str, float]:
        """Return when the certificates in the files end, by what they are; what can be read."""
        files = {"authority": self.authority, "client": self.ours}
        found: dict[str, float] = {}
        for which, path in files.items():
            with suppress(OSError):
                end = soonest_end(path.read_text("ascii", errors="replace")) if path else None
                found |= {} if end is None else {which: end}
        return found


@dataclass(slots=True)
class Address:
    """Where the broker is and how to get in; several nodes are tried in turn.

    `certificates`: None without TLS. `on_expiry` is told, at each dial, when a certificate ends.
    """

    urls: Sequence[str]
    heartbeat: float
    certificates: Certificates | None = None
    on_expiry: Callable[[str, float], None] = field(default=lambda *_: None)

    def with_heartbeat(self) -> list[URL]:
        """Return the addresses with the heartbeat the client library reads from them."""
        return [
            URL(url).update_query(heartbeat=str(max(1, round(self.heartbeat))))
            for url in self.urls
        ]

    def turn(self, number: int) -> URL:
        """Return the address for the dial of a number: one node after the other."""
        nodes = self.with_heartbeat()
        return nodes[number % len(nodes)]

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What TLS needs, read now; None without TLS. Raises CertificatesUnusable."""
        if self.certificates is None:
            return None
        for which, end in self.certificates.expiries().items():
            self.on_expiry(which, end)
        return self.certificates.context()

    def rekey(self, urls: str) -> bool:
        """Take the same nodes' addresses with another user or password, for the next dial.

        False if they are other nodes or another virtual host: two links must not part.
        """
        given = split(urls)
        if sorted(map(_place, given)) != sorted(map(_place, self.urls)):
            return False
        self.urls = given
        return True


def split(urls: str) -> list[str]:
    """Return the addresses in the text of a setting."""
    return [url.strip() for url in urls.split(",")]


def _place(url: str) -> tuple[str, str, int, str]:
    parts = urlsplit(url)
    port = parts.port or PORTS.get(parts.scheme, 0)
    return parts.scheme, parts.hostname or "", port, parts.path.lstrip("/")
