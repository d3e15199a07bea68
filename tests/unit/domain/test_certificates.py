"""When a certificate ends, read from what OpenSSL wrote."""

import ssl
from datetime import UTC, datetime

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from service.domain.certificates import expiry, soonest_end, unusable

CA = trustme.CA()
EARLY, LATE = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC), datetime(2077, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("end", [EARLY, LATE])
def test_the_end_is_read_in_both_forms_of_time(end: datetime) -> None:
    """Two digits of the year up to 2049, four after."""
    issued = CA.issue_cert("x.example", not_after=end).cert_chain_pems[0].bytes().decode()
    assert end.timestamp() == soonest_end(issued)


def test_of_several_certificates_the_first_to_end_counts() -> None:
    """A chain is worth no more than its weakest link."""
    files = [CA.issue_cert("x.example", not_after=end).cert_chain_pems[0] for end in (LATE, EARLY)]
    assert EARLY.timestamp() == soonest_end("\n".join(each.bytes().decode() for each in files))


def test_a_certificate_that_is_cut_off_has_no_end() -> None:
    """A copy may have stopped in the middle."""
    der = x509.load_pem_x509_certificate(CA.cert_pem.bytes()).public_bytes(Encoding.DER)
    assert [None, None, None] == [expiry(der[: len(der) // 4]), expiry(der[:1]), expiry(b"")]


@given(st.binary(max_size=200), st.integers(0, 2000))
def test_anything_else_has_no_end_and_raises_nothing(noise: bytes, cut: int) -> None:
    """Noise, and certificates that are not whole."""
    der = x509.load_pem_x509_certificate(CA.cert_pem.bytes()).public_bytes(Encoding.DER)
    assert expiry(noise) is None
    assert expiry(der[:cut]) in {None, expiry(der)}
    assert soonest_end(noise.decode("latin-1")) is None


def test_what_cannot_be_used_is_told_in_the_words_of_who_read_it() -> None:
    """OpenSSL's before the system's; else the kind of the error."""
    refused = ssl.SSLError(1, "x")
    refused.reason = "PEM_LIB"
    found = [refused, PermissionError(13, "Permission denied"), ValueError("x")]
    assert ["pem lib", "permission denied", "valueerror"] == [*map(unusable, found)]


def test_a_certificate_that_is_no_base64_has_no_end() -> None:
    """A file may be damaged."""
    text = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"
    assert soonest_end(text) is None
