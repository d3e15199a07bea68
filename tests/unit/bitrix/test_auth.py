"""Tests that a credential leads to the portal and shows nothing of itself."""

import pytest

from service.bitrix.auth import Endpoint, Webhook

SECRET = "https://portal.example/rest/1/very-secret/"
OTHER = "https://other.example/rest/1/very-secret/"


def test_a_webhook_never_shows_its_secret() -> None:
    """Its host is all that may be seen."""
    webhook = Webhook(SECRET)
    assert "portal.example" == webhook.host
    assert "Webhook(portal.example)" == repr(webhook) == str(webhook)


def test_a_user_in_the_address_is_no_part_of_the_host() -> None:
    """Nor is a password."""
    assert "portal.example:8443" == Webhook("https://me:pass@portal.example:8443/rest/").host


@pytest.mark.parametrize("url", [SECRET, SECRET.rstrip("/")])
def test_a_method_is_called_below_the_webhook(url: str) -> None:
    """With or without a slash at its end."""
    assert SECRET == Webhook(url).endpoint.url


def test_what_was_found_is_news_once() -> None:
    """And where it was configured is found again like any other place."""
    endpoint = Endpoint(SECRET)
    assert [True, False] == [endpoint.found(OTHER), endpoint.found(OTHER)]
    assert (OTHER, SECRET) == (endpoint.url, endpoint.configured)
    assert endpoint.found(SECRET)
    assert SECRET == endpoint.url


def test_only_a_place_that_was_found_is_doubted() -> None:
    """Once for each loss; the configured one is all that there is to go back to."""
    endpoint = Endpoint(SECRET)
    endpoint.lost(SECRET)
    assert not endpoint.doubt()
    endpoint.found(OTHER)
    endpoint.lost(SECRET)
    assert not endpoint.doubt()
    endpoint.lost(OTHER)
    assert [True, False] == [endpoint.doubt(), endpoint.doubt()]
    endpoint.lost(OTHER)
    endpoint.found(OTHER)
    assert not endpoint.doubt()
