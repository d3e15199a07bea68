"""Gives calls their credentials."""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Webhook:
    """The credential of an incoming webhook: its address. Never shown."""

    url: str

    def __repr__(self) -> str:
        return f"Webhook({self.host})"

    @property
    def host(self) -> str:
        """The portal's host, which is no secret."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def address(self, method: str) -> str:
        """Return where to post a call."""
        return f"{self.url.rstrip('/')}/{method}"
