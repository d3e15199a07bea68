"""Reads when a certificate expires, before OpenSSL's own check fails."""

import re
import ssl
from datetime import UTC, datetime

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME, _ANY_TIME = 0xA0, 0x17, 0x18
_LONG = 0x80


def soonest_end(text: str) -> float | None:
    """Return when the first certificate to end in a PEM text does; None where none can be read."""
    try:
        ends = [expiry(ssl.PEM_cert_to_DER_cert(each)) for each in _PEM.findall(text)]
    except ValueError:
        return None
    return min((end for end in ends if end is not None), default=None)


def expiry(certificate: bytes) -> float | None:
    """Return the end of a certificate in DER, as seconds of the epoch; None for anything else.

    RFC 5280 §4.1: version, serial number, signature, issuer, validity; the last holds two times.
    """
    try:
        _, body, _ = _take(certificate, 0)
        _, to_be_signed, _ = _take(body, 0)
        kind, _, place = _take(to_be_signed, 0)
        for _ in range(3 if kind == _VERSION else 2):
            _, _, place = _take(to_be_signed, place)
        _, validity, _ = _take(to_be_signed, place)
        _, _, place = _take(validity, 0)
        kind, text, _ = _take(validity, place)
        form = {_UTC_TIME: "%y%m%d%H%M%SZ", _ANY_TIME: "%Y%m%d%H%M%SZ"}[kind]
        return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC).timestamp()
    except (IndexError, KeyError, ValueError, OverflowError):
        return None


def unusable(error: Exception) -> str:
    """Return why certificates could not be used, in the words of OpenSSL or the system."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or type(error).__name__).lower().replace("_", " ")


def _take(data: bytes, place: int) -> tuple[int, bytes, int]:
    """Return the kind and content of an element, and where the next one begins."""
    kind, size, place = data[place], data[place + 1], place + 2
    if size >= _LONG:
        count = size - _LONG
        size, place = int.from_bytes(data[place : place + count], "big"), place + count
    if place + size > len(data):
        raise IndexError
    return kind, data[place : place + size], place + size
