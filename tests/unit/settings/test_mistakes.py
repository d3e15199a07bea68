"""What is wrong with a value is said in plain words, and a word in any case is taken."""

import pytest

from service.settings.environment import SettingsInvalid, load


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("BATCH__SLOTS", "two", "must be a whole number"),
        ("BATCH__SLOTS", "2.5", "must be a whole number"),
        ("BATCH__SLOTS", "9" * 5000, "must be a shorter whole number"),
        ("BATCH__MAX_ITEMS", "21", "must be at most 20"),
        ("BATCH__MAX_ITEMS", "0", "must be at least 1"),
        ("BATCH__WINDOW_SECONDS", "soon", "must be a number, such as 2 or 0.5"),
        ("RABBIT__HOLD_SECONDS", "0", "must be above 0"),
        ("RABBIT__HOLD_SECONDS", "inf", "must be a number, and not infinite"),
        ("BITRIX__ALLOW_HTTP", "perhaps", "must be true or false"),
        ("LOG__LEVEL", "loud", "must be one of: DEBUG, INFO, WARNING, ERROR"),
        ("LOOKUP", "often", "must be one of: doubtful, always, never"),
        ("RABBIT__INTAKE_QUEUE", "x" * 256, "must have at most 255 characters"),
        ("BITRIX__EXTERNAL_ID_FIELDS", "{", 'must be JSON, such as {"7": "ufCrm_123"}'),
        ("BITRIX__EXTERNAL_ID_FIELDS", "[]", 'must be a JSON object, such as {"7": "ufCrm_123"}'),
        (
            "BITRIX__EXTERNAL_ID_FIELDS",
            '{"7":"UF_CRM"}',
            "must name a field in camelCase, such as ufCrm_123",
        ),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(name: str, value: str, says: str) -> None:
    """What it must be, with its unit or an example; never the words of a library."""
    with pytest.raises(SettingsInvalid) as caught:
        load({f"IMPORTER_{name}": value}, portal=False)
    assert f"IMPORTER_{name} is wrong: {says}" in caught.value.mistakes


@pytest.mark.parametrize(
    ("name", "value"),
    [("LOG__LEVEL", "debug"), ("LOG__FORMAT", "Console"), ("VALIDATION", "OFF")],
)
def test_a_word_is_taken_in_any_case(name: str, value: str) -> None:
    """Everybody writes `debug`."""
    settings = load({f"IMPORTER_{name}": value}, portal=False)
    assert {"DEBUG", "console", "off"} & {
        settings.log.level,
        settings.log.format,
        settings.validation,
    }
