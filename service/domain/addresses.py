"""Decides which addresses may be given a secret, and whether a moved portal is still the same."""

import ipaddress
from urllib.parse import SplitResult, urljoin, urlsplit

PORTS = {"http": 80, "https": 443}
ZONES = frozenset(
    {
        "bitrix24.by",
        "bitrix24.cn",
        "bitrix24.co",
        "bitrix24.com",
        "bitrix24.com.br",
        "bitrix24.com.tr",
        "bitrix24.de",
        "bitrix24.es",
        "bitrix24.eu",
        "bitrix24.fr",
        "bitrix24.id",
        "bitrix24.in",
        "bitrix24.it",
        "bitrix24.jp",
        "bitrix24.kz",
        "bitrix24.mx",
        "bitrix24.pl",
        "bitrix24.ru",
        "bitrix24.tech",
        "bitrix24.ua",
        "bitrix24.uk",
        "bitrix24.vn",
    }
)
"""Domains whose subdomains only the maker of the portal can give away."""
NO_PORTALS = frozenset({"auth", "helpdesk", "oauth", "training", "www"})
"""Subdomains that are the maker's own sites, not portals."""


def host(url: str) -> str:
    """Return the host of an address, with its port; that is no secret."""
    return urlsplit(url).netloc.rpartition("@")[2]


def bracketed(name: str) -> str:
    """Return a host as it stands before a port: an IPv6 address in brackets."""
    return f"[{name}]" if ":" in name else name


def in_clear(url: str) -> bool:
    """Tell whether an address would send a secret in the clear to another machine."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "amqp"} and not _is_loopback(parts.hostname or "")


def is_tls(url: str) -> bool:
    """Tell whether the broker at an address is spoken to over TLS."""
    return urlsplit(url.strip()).scheme == "amqps"


def destination(url: str, location: str) -> str | None:
    """Return our address on the host that a redirect leads to; None if that is no other host.

    Only scheme, host and port are taken from a redirect: the path is ours.
    """
    try:
        parts = urlsplit(urljoin(url, location.strip()))
        usable = parts.scheme in PORTS and bool(parts.hostname)
        old, new = _origin(urlsplit(url)), _origin(parts)
    except ValueError:
        return None
    if not usable or old == new:
        return None
    return urlsplit(url)._replace(scheme=parts.scheme, netloc=host(parts.geturl())).geturl()


def same_place(one: str, other: str) -> bool:
    """Tell whether two addresses are of one scheme, host and port."""
    return _origin(urlsplit(one)) == _origin(urlsplit(other))


def at_place(url: str, place: str) -> str:
    """Return an address on the scheme, host and port of another."""
    there = urlsplit(place)
    return urlsplit(url)._replace(scheme=there.scheme, netloc=host(place)).geturl()


def protected(old: str, new: str, *, allow_http: bool) -> bool:
    """Tell whether a secret is as well protected on its way to the new address."""
    if urlsplit(new).scheme == "https":
        return True
    return urlsplit(old).scheme == "http" and (allow_http or not in_clear(new))


def same_zone(old: str, new: str) -> bool:
    """Tell whether two addresses belong to one portal by their names alone."""
    before, after = urlsplit(old).hostname or "", urlsplit(new).hostname or ""
    if before == after or (_is_loopback(before) and _is_loopback(after)):
        return True
    zone = _zone(before)
    return zone is not None and zone == _zone(after)


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)


def _zone(name: str) -> str | None:
    """Return the maker's domain directly below which a portal has its name."""
    first, _, zone = name.partition(".")
    return zone if first and first not in NO_PORTALS and zone in ZONES else None


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
