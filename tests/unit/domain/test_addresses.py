"""Addresses: what may be given a secret, and when a redirect leads to the same portal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.addresses import (
    at_place,
    bracketed,
    destination,
    host,
    in_clear,
    is_tls,
    protected,
    same_place,
    same_zone,
)

HOOK = "https://one.bitrix24.com/rest/1/secret/"
LOOP = "http://127.0.0.1:8000/rest/1/secret/"


@pytest.mark.parametrize(
    ("url", "clear"),
    [
        (HOOK, False),
        ("http://one.bitrix24.com/rest/", True),
        (LOOP, False),
        ("http://[::1]:8000/rest/", False),
        ("http://localhost/rest/", False),
        ("http://127.0.0.1.evil.example/rest/", True),
        ("http://10.0.0.1/rest/", True),
    ],
)
def test_plain_http_is_safe_on_one_machine_alone(url: str, *, clear: bool) -> None:
    """By address or by the one name that means it."""
    assert clear is in_clear(url)


def test_a_broker_is_spoken_to_over_tls_however_its_address_is_written() -> None:
    """Schemes have no case."""
    assert [True, True, False] == [
        is_tls(url) for url in (" AMQPS://b/", "amqps://b/", "amqp://b/")
    ]


def test_a_host_has_no_user() -> None:
    """A password in an address is no part of it."""
    assert "portal.example:8443" == host("https://me:pass@portal.example:8443/rest/")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://two.bitrix24.com/", "https://two.bitrix24.com/rest/1/secret/"),
        ("https://two.bitrix24.com/rest/9/x/profile", "https://two.bitrix24.com/rest/1/secret/"),
        ("//two.bitrix24.com/x", "https://two.bitrix24.com/rest/1/secret/"),
        ("https://me:pw@two.bitrix24.com/", "https://two.bitrix24.com/rest/1/secret/"),
        ("http://one.bitrix24.com/", "http://one.bitrix24.com/rest/1/secret/"),
        ("https://one.bitrix24.com:8443/", "https://one.bitrix24.com:8443/rest/1/secret/"),
        ("https://one.bitrix24.com/auth/", None),
        ("https://ONE.bitrix24.com:443/auth/", None),
        ("/auth/", None),
        ("", None),
        ("ftp://two.bitrix24.com/", None),
        ("https:///rest/", None),
        ("https://[broken/", None),
        ("https://two.bitrix24.com:port/", None),
    ],
)
def test_only_the_host_of_a_redirect_is_taken(location: str, expected: str | None) -> None:
    """The path is ours; the same host is no move."""
    assert expected == destination(HOOK, location)


@given(st.text(max_size=40))
def test_no_redirect_is_an_accident(location: str) -> None:
    """Whatever it says, our path stays ours."""
    found = destination(HOOK, location)
    assert found is None or found.endswith("/rest/1/secret/")


@pytest.mark.parametrize(
    ("old", "new", "allow_http", "expected"),
    [
        (HOOK, "https://x.example/", False, True),
        (HOOK, "http://two.bitrix24.com/", False, False),
        (HOOK, "http://two.bitrix24.com/", True, False),
        (HOOK, LOOP, True, False),
        (LOOP, "http://127.0.0.1:9000/", False, True),
        (LOOP, "http://two.example/", False, False),
        ("http://one.example/", "http://two.example/", True, True),
        ("http://one.example/", "https://one.example/", True, True),
    ],
)
def test_no_move_takes_protection_away(
    old: str, new: str, *, allow_http: bool, expected: bool
) -> None:
    """From https to https alone; from plain HTTP to what the settings would allow."""
    assert expected is protected(old, new, allow_http=allow_http)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (HOOK, "https://two.bitrix24.com/", True),
        (HOOK, "https://two.bitrix24.de/", False),
        (HOOK, "https://bitrix24.com/", False),
        (HOOK, "https://www.bitrix24.com/", False),
        (HOOK, "https://AUTH.bitrix24.com/", False),
        (HOOK, "https://oauth.bitrix24.com/", False),
        (HOOK, "https://helpdesk.bitrix24.com/", False),
        (HOOK, "https://training.bitrix24.com/", False),
        (HOOK, "https://a.two.bitrix24.com/", False),
        (HOOK, "https://two.bitrix24.com.evil.example/", False),
        (HOOK, "https://evilbitrix24.com/", False),
        (HOOK, "https://one.bitrix24.com:8443/", True),
        ("https://a.bitrix24.com.br/", "https://b.bitrix24.com.br/", True),
        ("https://crm.example/", "https://crm.example:8443/", True),
        ("https://crm.example/", "https://new.example/", False),
        ("https://a.example/", "https://b.example/", False),
        (LOOP, "http://localhost:9000/", True),
        (LOOP, "https://two.bitrix24.com/", False),
    ],
)
def test_portals_are_akin_below_one_domain_of_their_maker(
    old: str, new: str, *, expected: bool
) -> None:
    """A suffix of letters is not a domain; anybody can have a name elsewhere."""
    assert expected is same_zone(old, new)


def test_an_address_names_its_host_as_it_stands_in_one() -> None:
    """An IPv6 address has brackets."""
    assert ("[::1]", "x.example") == (bracketed("::1"), bracketed("x.example"))
    assert same_place("https://x.example/a", "https://x.example:443/b")
    assert at_place("http://x.example/a?b", "https://y.example:8/c") == "https://y.example:8/a?b"
