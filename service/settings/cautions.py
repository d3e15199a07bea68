"""Warns of settings that work but are dangerous: unencrypted and short secrets."""

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from service.domain.addresses import in_clear
from service.settings.tree import PREFIX, Settings

MIN_CHARACTERS = 8
PUBLIC = "guest"
"""The broker's default password, known to everybody; it works from the same machine only."""


class Caution(NamedTuple):
    """A setting, what is dangerous about it, and what to do; without its value."""

    name: str
    found: str
    remedy: str


def cautions(settings: Settings) -> list[Caution]:
    """Return what a person should be warned of at each start."""
    rabbit, bitrix = settings.rabbit, settings.bitrix
    brokers = [url.strip() for url in _text(rabbit.url).split(",")]
    plain = {
        "RABBIT__URL": ("amqps://", brokers),
        "RABBIT__MANAGEMENT_URL": ("https://", [_text(rabbit.management_url)]),
    }
    found = [
        Caution(
            PREFIX + name,
            "the password goes over the network unencrypted",
            f"use {safe} (needed unless the address is on this machine)",
        )
        for name, (safe, urls) in plain.items()
        if any(in_clear(url) for url in urls)
    ]
    webhook = urlsplit(_text(bitrix.webhook_url)).path.strip("/").split("/")
    secrets = {
        "RABBIT__URL": [_password(url) for url in brokers],
        "RABBIT__MANAGEMENT_URL": [_password(_text(rabbit.management_url))],
        "BITRIX__WEBHOOK_URL": webhook[-1:],
        "BITRIX__CLIENT_SECRET": [_text(bitrix.client_secret)],
        "BITRIX__PROXY_URL": [_password(_text(bitrix.proxy_url))],
    }
    return found + [
        Caution(
            PREFIX + name,
            f"the secret has fewer than {MIN_CHARACTERS} characters: it can be guessed, and "
            f"logs cannot hide it reliably",
            "use a longer one",
        )
        for name, values in secrets.items()
        if any(0 < len(value) < MIN_CHARACTERS and value != PUBLIC for value in values)
    ]


def _password(url: str) -> str:
    return unquote(urlsplit(url).password or "")


def _text(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()
