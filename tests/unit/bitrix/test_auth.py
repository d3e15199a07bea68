"""Tests that a credential leads to the portal and shows nothing of itself."""

import pytest

from service.bitrix.auth import Webhook

SECRET = "https://portal.example/rest/1/very-secret/"


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
    assert SECRET + "profile" == Webhook(url).address("profile")
