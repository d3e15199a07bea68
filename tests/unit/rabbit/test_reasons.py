"""Reasons: which of the nested errors says most, and what to look at."""

import errno
import socket
import ssl

import pytest
from aiormq.exceptions import AMQPConnectionError, InvalidFrameError, ProbableAuthenticationError
from yarl import URL

from service.rabbit.reasons import node, why, why_ended
from service.rabbit.rights import Rights


def wrapped(cause: BaseException, around: BaseException | None = None) -> BaseException:
    """Return an error as the client library raises it."""
    error = around or AMQPConnectionError("no connection")
    error.__cause__ = cause
    return error


def tls(reason: str) -> ssl.SSLError:
    """Return an error of the TLS library."""
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (ProbableAuthenticationError(), "user or password refused", "IMPORTER_RABBIT__URL"),
        (
            wrapped(ProbableAuthenticationError(), OSError()),
            "user or password refused",
            "IMPORTER_RABBIT__URL",
        ),
        (InvalidFrameError("x"), "the virtual host was refused", "list_permissions"),
        (TimeoutError(), "no answer within 10 s", "firewall"),
        (AMQPConnectionError(errno.ECONNREFUSED, "x"), "nothing listens there", "running"),
        (AMQPConnectionError(socket.EAI_NONAME, "x"), "the host name is not known", "DNS"),
        (wrapped(UnicodeError("label too long")), "the host name is not known", "URL"),
        (
            AMQPConnectionError(errno.EHOSTUNREACH, "no route"),
            "no route to this address (no route)",
            "firewalls",
        ),
        (wrapped(OSError(errno.ECONNREFUSED, "x")), "nothing listens there", "running"),
        (wrapped(ConnectionResetError()), "the connection was cut at once", "amqps"),
        (AMQPConnectionError("closed"), "the connection was cut at once", "amqps"),
        (wrapped(tls("TLSV1_ALERT_UNKNOWN_CA")), "does not trust our", "CERT_FILE"),
        (wrapped(tls("TLSV13_ALERT_CERTIFICATE_REQUIRED")), "requires", "KEY_FILE"),
        (wrapped(tls("WRONG_VERSION_NUMBER")), "the port does not use TLS", "amqp://"),
        (wrapped(tls("UNHEARD_OF")), "TLS failed (unheard of)", "CA_FILE"),
        (ValueError("very-secret"), "failed (ValueError)", "log"),
    ],
)
def test_what_says_most_is_told(error: BaseException, reason: str, remedy: str) -> None:
    """Look below whatever the library wraps around the cause."""
    told = why(error, tls=False)
    assert (True, True) == (reason in told[0], remedy in told[1])
    assert "very-secret" not in "".join(told)


def test_a_cut_over_tls_may_be_about_certificates() -> None:
    """The broker's words can be lost when it hangs up."""
    reason, remedy = why(wrapped(ConnectionResetError()), tls=True)
    assert "the connection was cut at once" == reason
    assert "IMPORTER_RABBIT__CERT_FILE" in remedy


def test_causes_in_a_circle_end() -> None:
    """Look at each error once."""
    one, other = ValueError(), ValueError()
    one.__cause__, other.__cause__ = other, one
    assert "failed (ValueError)" == why(one, tls=False)[0]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://u:very-secret@broker/v?heartbeat=15", "amqp://broker:5672"),
        ("amqps://u:very-secret@broker/", "amqps://broker:5671"),
        ("amqp://broker:1234", "amqp://broker:1234"),
        ("amqp://u:very-secret@[::1]/", "amqp://[::1]:5672"),
    ],
)
def test_addresses_are_shown_without_what_is_secret(url: str, shown: str) -> None:
    """Show host and port."""
    assert shown == node(URL(url))


@pytest.mark.parametrize(
    ("words", "found", "remedy"),
    [
        (
            "ChannelAccessRefused: ACCESS_REFUSED - access to exchange 'e' in vhost '/' refused",
            "access to exchange 'e' in vhost '/' refused",
            "extend the user's patterns",
        ),
        (
            "ACCESS_REFUSED - write access to exchange 'e' in vhost '/' refused for user 'u'",
            "write access to exchange 'e' in vhost '/' refused for user 'u'",
            (
                "extend the user's write pattern; only for a user of this command alone (not of "
                "the importer or a reader), because it removes all other rights: "
                "rabbitmqctl set_permissions -p / u '^$' w r"
            ),
        ),
        ("CONNECTION_FORCED - shutdown", "CONNECTION_FORCED - shutdown", "nothing is lost"),
        (
            "AMQPError: PRECONDITION_FAILED - too large",
            "PRECONDITION_FAILED - too large",
            "nothing",
        ),
        (
            "ConnectionResetError(104, 'reset by peer')",
            "the connection was cut",
            "nothing is lost",
        ),
        ("", "the connection was cut", "nothing is lost"),
    ],
)
def test_what_ended_a_command_is_told_with_the_right_that_is_missing(
    words: str, found: str, remedy: str
) -> None:
    """Each version of the broker words it otherwise; running it again mends no right."""
    ended = why_ended(words, Rights("^$", "w", "r"))
    assert found == ended.found
    assert ended.remedy.startswith(remedy)
