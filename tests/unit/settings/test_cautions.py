"""What works and is dangerous all the same is told by its setting, without the value."""

import pytest

from service.commands.check.arithmetic import caution_rows
from service.commands.check.rows import RowStatus
from service.settings.cautions import cautions
from service.settings.environment import SettingsInvalid, load

MINIMUM = {"IMPORTER_BITRIX__WEBHOOK_URL": "https://portal.example/rest/1/long-enough-1/"}


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("RABBIT__URL", "amqp://u:long-enough-1@broker.example/", "unencrypted"),
        ("RABBIT__URL", "amqp://127.0.0.1/,amqp://u:long-enough-1@broker/", "unencrypted"),
        ("RABBIT__MANAGEMENT_URL", "http://u:long-enough-1@broker:15672/", "unencrypted"),
        ("RABBIT__URL", "amqps://u:sh0rt-1@broker.example/", "fewer than 8"),
        ("RABBIT__URL", "amqps://u:%73h0rt-1@broker.example/", "fewer than 8"),
        ("RABBIT__MANAGEMENT_URL", "https://u:sh0rt-1@broker:15672/", "fewer than 8"),
        ("BITRIX__PROXY_URL", "http://u:sh0rt-1@proxy:3128/", "fewer than 8"),
        ("BITRIX__WEBHOOK_URL", "https://portal.example/rest/1/sh0rt-1/", "fewer than 8"),
    ],
)
def test_each_danger_is_named_once_and_never_shown(name: str, value: str, word: str) -> None:
    """With what to do, for the log and for the check."""
    settings = load(MINIMUM | {f"IMPORTER_{name}": value})
    (told,) = cautions(settings)
    assert (f"IMPORTER_{name}", True) == (told.name, word in told.found)
    assert "sh0rt-1" not in str(told)
    (row,) = caution_rows(settings)
    assert (RowStatus.WARN, told.remedy) == (row.status, row.remedy)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://guest:guest@127.0.0.1:5672/",
        "amqp://u:long-enough-1@localhost/",
        "amqp://u:long-enough-1@[::1]/",
        "amqps://u:long-enough-1@broker.example/",
        "amqps://broker.example/",
    ],
)
def test_what_is_safe_is_not_warned_of(url: str) -> None:
    """Loopback, TLS, no password, the public one."""
    assert cautions(load(MINIMUM | {"IMPORTER_RABBIT__URL": url})) == []


@pytest.mark.parametrize(
    "name", ["IMPORTER_FOO", "IMPORTER_VERSION", "IMPORTER_RESTART", "IMPORTER_APP__ENV"]
)
def test_a_name_that_is_like_none_gets_no_guess(name: str) -> None:
    """What all names begin with makes nobody alike."""
    with pytest.raises(SettingsInvalid, match="see `crm-importer settings`"):
        load(MINIMUM | {name: "x"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("IMPORTER_BITRIX_WEBHOOK_URL", "IMPORTER_BITRIX__WEBHOOK_URL"),
        ("IMPORTER_RABBIT__URI", "IMPORTER_RABBIT__URL"),
        ("IMPORTER_BATCH__MAX_ITEM", "IMPORTER_BATCH__MAX_ITEMS"),
        ("IMPORTER_BITRIX__WEBHOOK_FILE", "IMPORTER_BITRIX__WEBHOOK_URL"),
        ("IMPORTER_RABBIT_URL_FILE", "IMPORTER_RABBIT__URL_FILE"),
        ("IMPORTER_WEBHOOK_URL", "IMPORTER_BITRIX__WEBHOOK_URL"),
        ("IMPORTER_RETRY_BASE", "IMPORTER_RETRY__BASE_SECONDS"),
        ("IMPORTER_BITRIX_TIMEOUT", "IMPORTER_BITRIX__TIMEOUT_SECONDS"),
        ("IMPORTER_RABBIT__PREFETCH", "IMPORTER_BATCH__PREFETCH"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_one_that_was_meant(name: str, meant: str) -> None:
    """Most mistakes are an underscore or a letter."""
    with pytest.raises(SettingsInvalid, match="is not a setting") as told:
        load(MINIMUM | {name: "x"})
    assert f"did you mean {meant}" in str(told.value)
