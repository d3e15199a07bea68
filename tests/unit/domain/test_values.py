"""Values: judged as PHP keeps them, by the recorded answers of PHP itself."""

import json

import pytest

from service.domain.values import Flaw, judge
from tests.support import php_values
from tests.support.judging import disagreements, misreadings
from tests.support.php import recorded


def test_the_record_has_every_value_of_the_table() -> None:
    """Whoever adds a value asks PHP: `python -m tests.support.php` writes the record."""
    assert php_values.table() == [document for document, _ in recorded()]


def test_numbers_are_converted_and_judged_as_php_keeps_them() -> None:
    """Nothing is lost unsaid, and nothing that is kept is complained of."""
    assert [] == disagreements(recorded())


def test_dates_are_read_as_php_reads_them() -> None:
    """The same texts are dates to both, and the same days."""
    assert [] == misreadings(recorded())


def said(kind: str, value: object) -> str:
    """Return the only complaint of a value."""
    ((_, text),) = judge(kind, value, None)
    return text


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("double", "1200,50", "keeps 1200"),
        ("double", "1 200,50", "keeps 1"),
        ("double", "12 pcs", "keeps 12"),
        ("double", "abc", "keeps 0"),
        ("integer", "12.75", "keeps 12"),
        ("user", "Ada", "keeps 0"),
        ("crm_company", "5,6", "keeps 5"),
        ("crm_contact", "C_5", "keeps 0"),
        ("user", True, "keeps 1"),
        ("string", 89701010000000000000, "keeps 8.970101E+19"),
        ("integer", "99999999999999999999", "keeps 9223372036854775807"),
        ("date", "2026-02-31", "read as 2026-03-03"),
        ("date", "10.11.12", "keeps the day of the import"),
        ("date", "soon", "the field is skipped"),
        ("datetime", "1989, May 27", "keeps the current year"),
        ("money", "1200,50|EUR", "keeps none"),
    ],
)
def test_a_complaint_names_what_the_portal_keeps_and_the_remedy(
    kind: str, value: object, kept: str
) -> None:
    """The reader need not know PHP."""
    text = said(kind, value)
    assert kept in text
    assert "send " in text


@pytest.mark.parametrize(
    "value", ["2026-01-31T23:30:00-08:00", "2026-01-31T10:00:00Z", "31.01.2026 10:00 MSK"]
)
def test_a_time_zone_is_complained_of_only_in_a_date_field(value: str) -> None:
    """The portal keeps the day that it is in its own zone."""
    assert "has a time zone" in said("date", value)
    assert [] == list(judge("datetime", value, None))


@pytest.mark.parametrize("value", ["1200.50|EUR", "-3", 7])
def test_an_amount_that_the_portal_reads_is_no_flaw(value: object) -> None:
    """With its currency, or without one."""
    assert [] == list(judge("money", value, None))


@pytest.mark.parametrize("value", [True, "true", "y", "Y"])
def test_four_values_mean_yes(value: object) -> None:
    """PHP compares exactly."""
    assert [] == list(judge("boolean", value, None))


@pytest.mark.parametrize("value", ["TRUE", "True", "yes", "Yes", "on", "1", 1, "да", "x"])
def test_every_other_yes_becomes_no(value: object) -> None:
    """Also in capitals."""
    assert [Flaw.BOOLEAN] == [flaw for flaw, _ in judge("boolean", value, None)]


@pytest.mark.parametrize("value", [False, 0, "0", "n", "N", "no", "No", "false", "off", "", None])
def test_what_means_no_is_no_flaw(value: object) -> None:
    """It becomes what it says."""
    assert [] == list(judge("boolean", value, None))


@pytest.mark.parametrize("kind", ["double", "integer", "user"])
def test_a_number_is_no_flaw_where_one_is_expected(kind: str) -> None:
    """Up to what a JSON number holds exactly."""
    assert [] == [*judge(kind, 7, None), *judge(kind, -7, None)]


@pytest.mark.parametrize("value", ["", "0", None, [], {}, False])
def test_what_php_calls_empty_is_no_flaw(value: object) -> None:
    """The portal stores nothing, as was meant."""
    assert [] == list(judge("date", value, None))


@pytest.mark.parametrize("digits", ["1" * 4300, "-" + "9" * 30, "1" + "0" * 300])
def test_numbers_of_any_length_are_judged(digits: str) -> None:
    """Neither an exception nor a second."""
    value = json.loads(digits)
    for kind in ("double", "integer", "string", "date", "user", "money", "boolean"):
        assert all(len(text) < 200 for _, text in judge(kind, value, frozenset({"1"})))


@pytest.mark.parametrize("kind", ["double", "integer", "user"])
@pytest.mark.parametrize("value", [[1], ["x"]])
def test_a_value_that_is_no_number_at_all_is_judged_elsewhere(kind: str, value: object) -> None:
    """Lists have rules of their own."""
    assert [] == list(judge(kind, value, None))


@pytest.mark.parametrize(("value", "complaints"), [("31-12-26", 1), ("26-12-26", 0)])
def test_a_short_date_with_the_day_first_is_complained_of(value: str, complaints: int) -> None:
    """Where day and year are the same, nothing is misread."""
    assert complaints == len(list(judge("date", value, None)))


@pytest.mark.parametrize(("value", "complaints"), [(10**20 + 1, 1), (5, 0), ("x", 0)])
def test_a_number_beyond_64_bits_is_complained_of_whatever_the_field(
    value: object, complaints: int
) -> None:
    """PHP has no such integers."""
    assert complaints == len(list(judge("another", value, None)))
