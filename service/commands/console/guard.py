"""Decides who may ask the console: by Host and Origin, by password, by cookie, by token.

Plain rules; `now` is seconds of one clock.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from service.commands.console import is_loopback

SESSION_SECONDS = 8 * 3600.0
"""How long a cookie is good for: a working day."""
MAX_ENDED = 10_000
"""Sessions that were ended are remembered; a cookie lives for a working day."""
MAX_NAME = 80
"""Characters of an operator's name."""
ATTEMPTS, ATTEMPT_SECONDS = 10.0, 6.0
"""Passwords that may be tried at once, and seconds until one more may be tried, for all users."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a browser's cookie says. `key`: its own; `until`: when it expires."""

    key: str
    until: float
    name: str = ""
    let_in: bool = False

    def named(self, name: str) -> "Session":
        """Return it with the user's name."""
        return replace(self, name=" ".join(name.split())[:MAX_NAME])


class Seals:
    """Writes cookies and form tokens that only this process can have written."""

    def __init__(self) -> None:
        """Take a new secret: a restart ends every session."""
        self._secret = secrets.token_bytes(32)
        self._ended: OrderedDict[str, None] = OrderedDict()

    def new(self, now: float, *, name: str = "", let_in: bool = False) -> Session:
        """Return a session for a browser that has none."""
        made = Session(secrets.token_urlsafe(16), now + SESSION_SECONDS, let_in=let_in)
        return made.named(name)

    def end(self, session: Session) -> None:
        """Let a session be over: a copy of its cookie is good for nothing any more."""
        self._ended[session.key] = None
        while len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def write(self, session: Session) -> str:
        """Return the cookie's value."""
        told = [session.key, session.until, session.name, session.let_in]
        body = base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")
        return f"{body}.{self._seal('cookie', body)}"

    def read(self, cookie: str, now: float) -> Session | None:
        """Return what a cookie says; None where it is not ours, has expired, or was ended."""
        body, _, seal = cookie.partition(".")
        if not _equal(seal, self._seal("cookie", body)):
            return None
        key, until, name, let_in = json.loads(
            base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        )
        is_good = now < until and key not in self._ended
        return Session(key, until, name, let_in) if is_good else None

    def token(self, session: Session) -> str:
        """Return what every form of a session carries."""
        return self._seal("form", session.key)

    def is_token(self, text: str, session: Session) -> bool:
        """Tell whether a form was written for this session."""
        return _equal(text, self.token(session))

    def _seal(self, purpose: str, text: str) -> str:
        told = f"{purpose}:{text}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, told, hashlib.sha256).hexdigest()


class Door:
    """Asks for the password, if there is one; bounds how many may be tried."""

    def __init__(self, password: str | None) -> None:
        """Take the password; None: everybody who reaches the page may come in."""
        self._digest = None if password is None else _digest(password)
        self._left = ATTEMPTS
        self._at = 0.0

    @property
    def is_locked(self) -> bool:
        """Whether a password is needed."""
        return self._digest is not None

    def wait(self, now: float) -> float:
        """Return the seconds until another password may be tried."""
        self._left = min(ATTEMPTS, self._left + (now - self._at) / ATTEMPT_SECONDS)
        self._at = now
        return max(0.0, (1.0 - self._left) * ATTEMPT_SECONDS)

    def opens(self, password: str, now: float) -> bool:
        """Tell whether a password is right, in the same time whatever it is; a wrong one counts.

        The caller has asked `wait`.
        """
        right = hmac.compare_digest(_digest(password), self._digest or b"")
        if not right:
            self.wait(now)
            self._left -= 1.0
        return right


def is_our_host(host: str, listening: str, names: Collection[str] = ()) -> bool:
    """Tell whether a Host header names us.

    A page of somebody else may bind its own name to our address (DNS rebinding). So behind
    loopback only the names of loopback are ours. Elsewhere an address is ours, too, because
    nobody can rebind an address, and the names that this machine has.
    """
    parts = _place(host)
    if parts is None:
        return False
    name = parts[0]
    if is_loopback(name):
        return True
    if is_loopback(listening):
        return False
    return _is_address(name) or name in {listening.lower(), *(each.lower() for each in names)}


def is_our_origin(origin: str | None, site: str | None, host: str) -> bool:
    """Tell whether a form was sent from a page of ours.

    `origin`, `site`: the headers Origin and Sec-Fetch-Site, which every browser of today sends;
    a program that sends neither still needs the form's token.
    """
    if site not in {None, "same-origin"}:
        return False
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and _place(parts.netloc) == _place(host) is not None


def _place(text: str) -> tuple[str, int | None] | None:
    """Return host and port of a Host header; None where it has none."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    is_plain = parts.netloc == text and "@" not in text
    return (host, port) if host and is_plain else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())
