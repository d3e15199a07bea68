"""Parts: what they read out of the settings."""

import pytest

from service import parts
from service.settings.environment import load

WEBHOOK = "https://portal.example/rest/1/hook-secret/"


def secrets(**named: str) -> set[str]:
    """Return the secrets of an environment, names without their prefix."""
    given = {"BITRIX__WEBHOOK_URL": WEBHOOK} | named
    return set(parts.secrets(load({f"IMPORTER_{name}": text for name, text in given.items()})))


def test_webhook_secret_is_a_secret() -> None:
    """Name the secret part alone: it may stand in any address."""
    assert {"hook-secret"} == secrets()


def test_passwords_of_every_broker_are_secrets() -> None:
    """Name them as they are written and as they are meant."""
    found = secrets(RABBIT__URL="amqp://u:one%2Fslash@a/,amqp://u:two@b/")
    assert {"hook-secret", "one%2Fslash", "one/slash", "two"} == found


def test_management_password_is_a_secret() -> None:
    """Name it too."""
    assert "third" in secrets(RABBIT__MANAGEMENT_URL="http://u:third@broker:15672/")


@pytest.mark.parametrize("url", ["amqp://guest:guest@a/", "amqp://a/", "amqp://user@a/"])
def test_what_is_public_is_no_secret(url: str) -> None:
    """Mask neither the default password nor nothing at all."""
    assert {"hook-secret"} == secrets(RABBIT__URL=url)
