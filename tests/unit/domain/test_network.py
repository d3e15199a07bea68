"""Tests what is said of a connection that failed: why, and what to do."""

import errno
import socket
import ssl

import pytest

from service.domain.network import CUT, Cause, Peer, causes, why

PORTAL = Peer("the portal", "URL", "CA_FILE")
BROKER = Peer("the broker", "URL", "CA_FILE", "CERT_FILE", "amqp://", "amqps://")


def tls(reason: str | None) -> ssl.SSLError:
    """Return an error of the TLS library with its reason."""
    error = ssl.SSLError(1, "said so")
    error.reason = reason  # type: ignore[assignment]  # None where the library gives none
    return error


def unfinished() -> ssl.SSLWantReadError:
    """Return what the TLS library says while a handshake goes on."""
    error = ssl.SSLWantReadError(2, "said so")
    error.reason = "WANT_READ"
    return error


def refused(code: int) -> ssl.SSLCertVerificationError:
    """Return a refusal of a certificate with the library's code."""
    error = ssl.SSLCertVerificationError(1, "said so")
    error.verify_code, error.verify_message = code, "said so."
    return error


def told(error: BaseException, peer: Peer = PORTAL, *, secure: bool = True) -> Cause | None:
    """Return why a connection failed, after five seconds."""
    return why(error, peer, tls=secure, seconds=5.0)


@pytest.mark.parametrize(
    ("error", "found", "remedy"),
    [
        (TimeoutError(), "no answer within 5 s", "firewall"),
        (UnicodeError(), "the host name is not known", "URL"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "the host name is not known", "URL"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "the DNS does not answer", "DNS"),
        (OSError(errno.ECONNREFUSED, "x"), "nothing listens", "the portal is running"),
        (OSError("[Errno 1] a, [Errno 111] b"), "nothing listens", "the portal is running"),
        (OSError(errno.ENETUNREACH, "no net"), "no route to this address (no net)", "routes"),
        (OSError(errno.EHOSTUNREACH, ""), "no route to this address", "routes"),
        (OSError(errno.EPERM, "x"), "blocks the connection", "network policies"),
        (OSError(errno.EMFILE, "too many"), "cannot be reached (too many)", "running"),
        (tls("WRONG_VERSION_NUMBER"), "does not use TLS", "begins with http://"),
        (tls("UNSUPPORTED_PROTOCOL"), "unsafe", "TLS 1.2"),
        (tls("TLSV1_ALERT_UNKNOWN_CA"), "TLS failed (tlsv1 alert unknown ca)", "look at CA_FILE"),
        (tls("OTHER_REASON"), "TLS failed (other reason)", "look at CA_FILE"),
        (tls(None), "TLS failed (no reason given)", "look at CA_FILE"),
        (refused(20), "authority that is not trusted", "CA_FILE"),
        (refused(62), "for another name (said so)", "URL"),
        (refused(64), "for another name", "URL"),
        (refused(10), "has expired", "renew it"),
        (refused(9), "not valid yet", "clock"),
        (refused(1), "not accepted (said so.)", "CA_FILE"),
    ],
)
def test_what_failed_names_its_cause_and_the_remedy(
    error: BaseException, found: str, remedy: str
) -> None:
    """The settings to look at are named as the user knows them."""
    cause = told(error)
    assert cause is not None
    assert found in cause.found
    assert remedy in cause.remedy


@pytest.mark.parametrize(
    ("reason", "found"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "requires a client certificate"),
        ("TLSV1_ALERT_UNKNOWN_CA", "does not trust our certificate"),
        ("OTHER_REASON", "TLS failed"),
    ],
)
def test_our_own_certificate_is_named_where_we_may_have_one(reason: str, found: str) -> None:
    """Where there is no setting for one, its remedy would lead nowhere."""
    cause = told(tls(reason), BROKER)
    assert cause is not None
    assert found in cause.found
    assert "CERT_FILE" in cause.remedy


@pytest.mark.parametrize(
    ("error", "peer", "secure", "remedy"),
    [
        (ConnectionResetError(errno.ECONNRESET, "x"), BROKER, False, "amqps://"),
        (EOFError(), BROKER, True, "CERT_FILE"),
        (tls("UNEXPECTED_EOF_WHILE_READING"), PORTAL, True, "uses TLS"),
    ],
)
def test_a_cut_asks_for_what_may_have_been_meant(
    error: BaseException, peer: Peer, *, secure: bool, remedy: str
) -> None:
    """Only the cut arrives, never its reason."""
    cause = told(error, peer, secure=secure)
    assert cause is not None
    assert CUT == cause.found
    assert remedy in cause.remedy


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), OSError("x"), OSError(errno.EMFILE, ""), unfinished()],
)
def test_nothing_is_said_where_nothing_is_known(error: BaseException) -> None:
    """Whoever asks shows the error itself."""
    assert told(error) is None


def test_every_error_below_is_looked_at_once() -> None:
    """Causes, contexts, arguments and the members of a group; also in a circle."""
    deep, beside, first = TimeoutError(), EOFError(), ValueError("first")
    middle = RuntimeError(deep)
    group = BaseExceptionGroup("several", [middle, beside])
    first.__cause__, beside.__context__ = group, first
    assert [first, group, middle, beside, deep] == sorted(
        causes(first), key=[first, group, middle, beside, deep].index
    )
    assert told(first) == told(deep)


def test_what_only_the_protocol_tells_comes_before_the_network() -> None:
    """A peer's own words say more than a cut; what TLS says comes first of all."""
    own = Cause("it said why", "do so")
    assert own == why(EOFError(), PORTAL, tls=True, seconds=5.0, own=lambda _: own)
    assert own != why(refused(10), PORTAL, tls=True, seconds=5.0, own=lambda _: own)
