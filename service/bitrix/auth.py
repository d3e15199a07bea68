"""Gives calls their address and their credentials, and follows a portal that was renamed."""

import logging

from service.bitrix.errors import redirect_fruitless, redirect_refused
from service.domain import addresses
from service.domain.outcomes import CallFailed, Fault

log = logging.getLogger(__name__)


class Endpoint:
    """Where the portal is: as configured, until it has answered at another place.

    A redirect alone moves nothing: it may be somebody else's. What was found may be lost again;
    then the configured address is asked before the next call.
    """

    def __init__(self, url: str, *, allow_http: bool = False) -> None:
        """Start at the configured address, which is never shown: it may hold a secret."""
        self.configured = self.url = f"{url.rstrip('/')}/"
        self._allow_http = allow_http
        self._doubted = False

    def __repr__(self) -> str:
        return f"Home({self.host})"

    @property
    def host(self) -> str:
        """The host that was configured; it stays the portal's name in result events."""
        return addresses.host(self.configured)

    def rekey(self, url: str) -> bool:
        """Take the same portal's address with another secret; False if it is another portal's.

        Where the portal has moved to, it stays.
        """
        url = f"{url.rstrip('/')}/"
        if not addresses.same_place(self.configured, url):
            return False
        found = self.url
        self.configured = self.url = url
        if not addresses.same_place(found, url):
            self.url = addresses.at_place(url, found)
        return True

    def protects(self, target: str) -> bool:
        """Tell whether a secret would be safe on its way there."""
        return addresses.protected(self.configured, target, allow_http=self._allow_http)

    def trusts(self, target: str) -> bool:
        """Tell whether an address may be given our secret, by its name alone."""
        return self.protects(target) and addresses.same_zone(self.configured, target)

    def found(self, place: str) -> bool:
        """Call the portal from now on where it has answered; True if that is news."""
        self._doubted = False
        if place == self.url:
            return False
        hosts = {"host": addresses.host(place), "was": addresses.host(self.url)}
        self.url = place
        if place == self.configured:
            log.info("portal is back at its configured address", extra=hosts)
        else:
            log.warning("portal has moved: put its new address into the settings", extra=hosts)
        return True

    def lost(self, place: str) -> None:
        """Note that nothing of the portal came from a place: it may be where it was before."""
        self._doubted = self._doubted or place == self.url != self.configured

    def doubt(self) -> bool:
        """Tell, once after a loss, whether to ask at the configured address first."""
        doubted, self._doubted = self._doubted, False
        return doubted

    def refuse(self, target: str) -> CallFailed:
        """Say that a redirect leads where no secret of ours may go."""
        there = addresses.host(target)
        log.warning("redirect refused: the host is not trusted", extra={"host": there})
        return CallFailed(redirect_refused(there))

    def redirect_failed(self, place: str, fault: Fault) -> CallFailed:
        """Say that a redirect led where no result came from."""
        there = addresses.host(place)
        shown = {"host": there, "code": fault.code, "http_status": fault.http_status}
        log.warning("redirect not followed: the host gave no result", extra=shown)
        return CallFailed(redirect_fruitless(fault, there))


class Webhook:
    """The credential of an incoming webhook: its address. Never shown."""

    def __init__(self, url: str, *, allow_http: bool = False) -> None:
        """Take the webhook's address."""
        self.endpoint = Endpoint(url, allow_http=allow_http)

    def __repr__(self) -> str:
        return f"Webhook({self.host})"

    def rekey(self, secret: str) -> bool:
        """Take the address with another secret; False if it is another portal's."""
        return self.endpoint.rekey(secret)

    @property
    def host(self) -> str:
        """The portal's host, which is no secret."""
        return self.endpoint.host

    async def token(self) -> str:
        """Return nothing: the address is all there is."""
        return ""

    async def renew(self, refused: str, code: str) -> bool:  # noqa: ARG002 - as for tokens
        """Tell that there is nothing to renew."""
        return False

    async def confirms_host(self, target: str) -> bool:  # noqa: ARG002 - as for applications
        """Say that nothing could be asked about a host."""
        return False

    def note(self) -> None:
        """Write nothing down: after a restart the first call is redirected again."""

    async def close(self) -> None:
        """Have nothing to end."""
