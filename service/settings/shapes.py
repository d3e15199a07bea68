"""The shapes that values of settings have: addresses, names, seconds, files."""

import re
import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from service.domain.certificates import unusable
from service.domain.external_id import may_change

LONGEST = 255
"""Bytes of a name on the broker."""
_HOST = re.compile(r"[\w.:%-]+")


def _amqp_urls(value: SecretStr) -> SecretStr:
    found = [_parts(url.strip()) for url in value.get_secret_value().split(",")]
    schemes = {parts.scheme if parts else "" for parts in found}
    if schemes not in ({"amqp"}, {"amqps"}):
        message = "must be amqp://user:password@host:port/vhost (or all amqps), comma-separated"
        raise ValueError(message)
    if len({unquote(parts.path[1:]) or "/" for parts in found if parts}) > 1:
        message = "must name the same virtual host on every node of the cluster"
        raise ValueError(message)
    return value


def _http(path: str, shape: str) -> AfterValidator:
    """Return the check of an http address: its path, and a user only if its shape shows one."""

    def check(value: str | SecretStr) -> str | SecretStr:
        parts = _parts(value if isinstance(value, str) else value.get_secret_value())
        message = f"must be {shape}"
        if parts is None or parts.scheme not in {"http", "https"} or parts.query or parts.fragment:
            raise ValueError(message)
        if not re.fullmatch(path, parts.path) or ("@" in parts.netloc and "@" not in shape):
            raise ValueError(message)
        return value

    return AfterValidator(check)


def _parts(value: str) -> SplitResult | None:
    """Return the parts of an address; None where no library could ever ask for its host."""
    try:
        parts = urlsplit(value)
        host = (parts.hostname or "").encode("idna").decode("idna")
        if ":" in host or host.replace(".", "").isdecimal():
            ip_address(host)
        usable = value.isprintable() and _HOST.fullmatch(host) is not None and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _listening(value: str) -> str:
    """Return an address to listen on without the brackets of a URL."""
    host = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    parts = _parts(f"http://[{host}]/" if ":" in host else f"http://{host}/")
    if parts is None or parts.netloc.strip("[]") != host:
        message = "must be an address or a name without a port, such as 0.0.0.0, :: or 127.0.0.1"
        raise ValueError(message)
    return host


def _readable(value: Path) -> Path:
    try:
        is_there = value.is_file()
    except OSError as error:
        message = f"names a file that cannot be looked at: {error.strerror}"
        raise ValueError(message) from None
    if not is_there:
        message = "names a file that does not exist or is not a file"
        raise ValueError(message)
    return value


def _authorities(value: Path) -> Path:
    try:
        ssl.create_default_context(cafile=value)
    except ssl.SSLError:
        message = "holds no certificate in PEM"
        raise ValueError(message) from None
    except OSError as error:
        message = f"names a file that cannot be read: {error.strerror}"
        raise ValueError(message) from None
    return value


def unusable_pair(certificate: Path, key: Path) -> str:
    """Return why two files cannot be used as a certificate and its key; empty if they can."""
    try:
        # A key with a password would have us ask for it at a terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, lambda: b"")
    except (OSError, ValueError) as error:
        return unusable(error)
    return ""


def in_its_case(value: object, annotation: object) -> object:
    """Return one of several words as it is written, in whatever case it was given."""
    if get_origin(annotation) is not Literal or not isinstance(value, str):
        return value
    return {each.casefold(): each for each in get_args(annotation)}.get(value.casefold(), value)


def _short(value: str) -> str:
    if len(value.encode("utf-8", "replace")) > LONGEST:
        message = f"must have at most {LONGEST} bytes"
        raise ValueError(message)
    return value


def _kept(value: str) -> str:
    # If the portal changed it, items would never be found: every lost answer would be ambiguous.
    if may_change(value):
        message = "must have no white space at an end, no emoji and no control character"
        raise ValueError(message)
    return value


Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Wait = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
LongWait = Annotated[float, Field(ge=0, le=2_592_000, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(_short)]
Originator = Annotated[Name, AfterValidator(_kept)]
Host = Annotated[str, AfterValidator(_listening)]
TypeId = Annotated[int, Field(ge=1, le=2_147_483_647)]
FieldName = Annotated[str, Field(pattern=r"^[a-z][A-Za-z0-9_]{0,99}$")]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=4096)]
File = Annotated[Path, AfterValidator(_readable)]
Authority = Annotated[Path, AfterValidator(_readable), AfterValidator(_authorities)]
Proxy = Annotated[SecretStr, _http(r"/?", "http://user:password@host:3128/ (or https)")]
Management = Annotated[SecretStr, _http(r"(/[!-~]*)?", "http://user:password@host:15672/")]
Webhook = Annotated[
    SecretStr,
    _http(
        r"/rest/\d+/[^/\s]+/?",
        "https://portal/rest/<user>/<secret>/, without a method such as profile.json behind it",
    ),
]
Endpoint = Annotated[str, _http(r"/rest/?", "https://portal/rest/, the client_endpoint")]
AuthServer = Annotated[str, _http(r"/.+", "https://host/oauth/token/")]
Collector = Annotated[str, _http(r"(/\S*)?", "http://host:4318/v1/traces")]
StatusPage = Annotated[str, _http(r"(/\S*)?", "http://host:8080/status")]
Brokers = Annotated[SecretStr, AfterValidator(_amqp_urls)]
