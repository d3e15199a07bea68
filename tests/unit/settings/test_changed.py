"""Tests that the log can name the settings that differ from their defaults, never a secret."""

from service.settings.changed import changed
from service.settings.environment import load

HOOK = {"IMPORTER_BITRIX__WEBHOOK_URL": "https://portal.example/rest/1/s3cret/"}


def test_only_what_was_set_to_something_else_is_named() -> None:
    """By the name of the variable, without its prefix."""
    given = {"IMPORTER_BATCH__MAX_ITEMS": "5", "IMPORTER_BATCH__SLOTS": "2"}
    found = changed(load({**HOOK, **given}))
    assert "5" == found["BATCH__MAX_ITEMS"]
    assert "BATCH__SLOTS" not in found


def test_a_secret_is_only_said_to_be_given() -> None:
    """Its value stands nowhere."""
    found = changed(load({**HOOK, "IMPORTER_RABBIT__URL": "amqp://u:pass@host/"}))
    assert ("(given)", "(given)") == (found["BITRIX__WEBHOOK_URL"], found["RABBIT__URL"])
    assert "s3cret" not in str(found)
    assert "pass" not in str(found)
