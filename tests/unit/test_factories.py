"""Parts: what they read out of the settings."""

import logging
from pathlib import Path

import pytest

from service import factories
from service.settings.environment import load
from service.settings.tree import Settings
from service.telemetry.logs import configure_logs

WEBHOOK = "https://portal.example/rest/1/hook-secret/"


def secrets(**named: str) -> set[str]:
    """Return the secrets of an environment, names without their prefix."""
    given = {"BITRIX__WEBHOOK_URL": WEBHOOK} | named
    return set(factories.secrets(load({f"IMPORTER_{name}": text for name, text in given.items()})))


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
    found = secrets(BITRIX__PROXY_URL="http://u:fo%2Furth@proxy:3128/")
    assert {"fo%2Furth", "fo/urth"} <= set(found)


APPLICATION = {
    "BITRIX__CLIENT_ID": "app.1",
    "BITRIX__CLIENT_SECRET": "client-secret",
    "BITRIX__REFRESH_TOKEN": "first-token",
    "BITRIX__CLIENT_ENDPOINT": "https://portal.example:8443/rest/",
}


def application(folder: Path, **named: str) -> Settings:
    """Return the settings of an OAuth application."""
    given = {"BITRIX__TOKEN_FILE": str(folder / "tokens.json"), **APPLICATION, **named}
    return load({f"IMPORTER_{name}": text for name, text in given.items()})


def test_an_applications_secrets_are_secrets(tmp_path: Path) -> None:
    """Its id is not."""
    assert {"client-secret", "first-token"} == set(factories.secrets(application(tmp_path)))


def test_tokens_are_masked_once_they_are_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], own_logging: None
) -> None:
    """In the logs that were configured before."""
    (tmp_path / "tokens.json").write_text('{"refresh_token":"kept-r","access_token":"kept-a"}')
    configure_logs(level="INFO", style="json")
    factories.auth(application(tmp_path))
    logging.getLogger("service.x").info("say kept-r and kept-a")
    assert "say *** and ***" in capsys.readouterr().err


def test_the_portal_is_named_as_configured(tmp_path: Path) -> None:
    """Whichever kind of credentials it is."""
    assert "portal.example:8443" == factories.portal_host(application(tmp_path))
    webhook = load({"IMPORTER_BITRIX__WEBHOOK_URL": WEBHOOK})
    assert "portal.example" == factories.portal_host(webhook)
    assert "Webhook(portal.example)" == repr(factories.auth(webhook))


def test_a_token_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    """With one line that names it."""
    with pytest.raises(factories.CannotStart, match=r"absent/tokens\.json cannot be written"):
        factories.auth(application(tmp_path / "absent"))
    (tmp_path / "tokens.json").write_text("{")
    with pytest.raises(factories.CannotStart, match="holds no refresh_token"):
        factories.auth(application(tmp_path))


def test_no_credentials_at_all_stop_the_start() -> None:
    """Where the settings were read without asking for the portal."""
    with pytest.raises(factories.CannotStart, match="WEBHOOK_URL is missing"):
        factories.auth(load({}, portal=False))


@pytest.mark.parametrize("url", ["amqp://guest:guest@a/", "amqp://a/", "amqp://user@a/"])
def test_what_is_public_is_no_secret(url: str) -> None:
    """Mask neither the default password nor nothing at all."""
    assert {"hook-secret"} == secrets(RABBIT__URL=url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://u:p@a", "/"),
        ("amqp://u:p@a/", "/"),
        ("amqp://u:p@a:5672/%2F", "/"),
        ("amqp://u:p@a/crm", "crm"),
        ("amqp://u:p@a/one%20two, amqp://u:p@b/one%20two", "one two"),
    ],
)
def test_virtual_host_is_called_as_the_broker_calls_it(url: str, expected: str) -> None:
    """Its exporter's figures are joined by this name."""
    settings = load({"IMPORTER_RABBIT__URL": url, "IMPORTER_BITRIX__WEBHOOK_URL": WEBHOOK})
    assert expected == factories.virtual_host(settings.rabbit)


def test_an_event_waits_for_a_day_and_one_call_in_ten_asks_for_it() -> None:
    """Of the requests that the portal allows; the operator may choose the time."""
    webhook = {"IMPORTER_BITRIX__WEBHOOK_URL": WEBHOOK}
    rules = factories.limits(load(webhook)).rules
    assert (86_400, 5.0) == (rules.links_wait, rules.links_gap)
    names = ("LINKS__WAIT_SECONDS", "BITRIX__REQUESTS_PER_SECOND")
    given = {f"IMPORTER_{name}": text for name, text in zip(names, ("604800", "5"), strict=True)}
    rules = factories.limits(load(webhook | given)).rules
    assert (604_800, 2.0) == (rules.links_wait, rules.links_gap)
