"""Gives calls their address and their credentials, and follows a portal that was renamed."""

import logging

from service.bitrix.errors import redirect_refused
from service.domain import addresses
from service.domain.outcomes import CallFailed

log = logging.getLogger(__name__)


class Home:
    """Where the portal is: as configured, until it says that it has moved."""

    def __init__(self, url: str, *, allow_http: bool = False) -> None:
        """Start at the configured address, which is never shown: it may hold a secret."""
        self.configured = self.url = f"{url.rstrip('/')}/"
        self._allow_http = allow_http

    def __repr__(self) -> str:
        return f"Home({self.host})"

    @property
    def host(self) -> str:
        """The host that was configured; it stays the portal's name in result events."""
        return addresses.host(self.configured)

    def destination(self, location: str) -> str | None:
        """Return our address on the host that a redirect leads to; None if it is no other."""
        return addresses.destination(self.url, location)

    def protects(self, target: str) -> bool:
        """Tell whether a secret would be safe on its way there."""
        return addresses.protected(self.configured, target, allow_http=self._allow_http)

    def trusts(self, target: str) -> bool:
        """Tell whether an address may be given our secret, by its name alone."""
        return self.protects(target) and addresses.akin(self.configured, target)

    def move(self, target: str) -> None:
        """Call the portal there from now on."""
        hosts = {"host": addresses.host(target), "was": addresses.host(self.url)}
        self.url = target
        log.warning("portal has moved: give its new address in the settings", extra=hosts)

    def refuse(self, target: str) -> CallFailed:
        """Say that a redirect leads where no secret of ours may go."""
        there = addresses.host(target)
        log.warning("redirect refused: the host is not trusted", extra={"host": there})
        return CallFailed(redirect_refused(there))


class Webhook:
    """The credential of an incoming webhook: its address. Never shown."""

    def __init__(self, url: str, *, allow_http: bool = False) -> None:
        """Take the webhook's address."""
        self._home = Home(url, allow_http=allow_http)

    def __repr__(self) -> str:
        return f"Webhook({self.host})"

    @property
    def host(self) -> str:
        """The portal's host, which is no secret."""
        return self._home.host

    def address(self, method: str) -> str:
        """Return where to post a call."""
        return f"{self._home.url}{method}"

    async def token(self) -> str:
        """Return nothing: the address is all there is."""
        return ""

    async def renew(self, refused: str, code: str) -> bool:  # noqa: ARG002 - as for tokens
        """Tell that there is nothing to renew."""
        return False

    async def follow(self, location: str) -> bool:
        """Go where a redirect leads; False if that is nowhere else, CallFailed if not trusted."""
        target = self._home.destination(location)
        if target is None:
            return False
        if not self._home.trusts(target):
            raise self._home.refuse(target)
        self._home.move(target)
        return True

    async def close(self) -> None:
        """Have nothing to end."""
