"""Proves that filters stand in addresses and forms as they were meant."""

from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import pytest

from service.commands.console.filters import address, form_filters, letter_address, read_filters
from service.commands.option_values import UNREADABLE, entity_type, since


def test_filters_are_read_as_the_options_of_the_command() -> None:
    """Kind, code, type, since, id; white space around what is no text counts for nothing."""
    found = read_filters(
        {"kind": " rejected", "code": "X", "type": "128 ", "since": "2h ", "id": "a", "page": "2"}
    )
    selection = found.selection
    assert ("rejected", "X", 128, {"a"}) == (
        selection.kind,
        selection.code,
        selection.entity_type_id,
        set(selection.ids),
    )
    assert selection.since is not None
    assert 0 == selection.since.second
    assert () == found.mistakes
    assert found == read_filters(
        {name: values[0] for name, values in parse_qs(found.query[1:]).items()}
    )


def test_letters_of_unreadable_type_can_be_meant_alone() -> None:
    """A form for one of them is not about all letters of its id."""
    found = read_filters({"id": "twin", "type": "unknown"})
    assert (UNREADABLE, ()) == (found.selection.entity_type_id, found.mistakes)
    assert read_filters({"type": "unknown"}, read_type=entity_type).mistakes


@pytest.mark.parametrize(
    ("name", "value"),
    [("type", "x"), ("type", "0"), ("since", "yesterday"), ("kind", "bad"), ("type", "9" * 20)],
)
def test_a_filter_that_cannot_be_read_is_named_and_not_used(name: str, value: str) -> None:
    """It never selects other letters than all."""
    found = read_filters({name: value})
    assert [True] == [mistake.startswith(f"{name}: ") for mistake in found.mistakes]
    assert read_filters({}).selection == found.selection


@pytest.mark.parametrize("name", ["id", "code", "kind", "type", "since"])
def test_a_filter_that_is_too_long_is_named_and_stays_in_the_address(name: str) -> None:
    """A form with it is refused: it never means all letters."""
    found = read_filters({name: "x" * 1001})
    [mistake] = found.mistakes
    assert mistake.startswith(f"{name}: it is longer than 1,000")
    assert form_filters({"which": found.query[1:]}).mistakes
    assert () == read_filters({"id": "x" * 1000}).mistakes


def test_an_age_becomes_a_time_in_an_address_that_is_to_last() -> None:
    """Opened a minute later it means the same letters."""
    found = read_filters({"since": "2h", "code": "X"})
    again = read_filters(dict(parse_qsl(found.fixed.query[1:])))
    assert found.selection == again.selection
    assert {"code": "X"} == read_filters({"code": "X"}).fixed.texts


def test_white_space_is_a_part_of_ids_and_codes() -> None:
    """Without it they are others; an id of nothing else never becomes any id."""
    found = read_filters({"id": " a\n", "code": "X "})
    assert ({" a\n"}, "X ") == (set(found.selection.ids), found.selection.code)
    assert "?code=X&id=a" == found.trimmed
    for whole in ({"id": "a b"}, {"id": " "}, {"id": " a", "code": " "}):
        assert not read_filters(whole).trimmed


def test_a_time_is_taken_as_it_is() -> None:
    """It selects what the same time selects in a command, also from an address that lasts."""
    for text in ("2026-11-30T11:45:30Z", "2026-11-30T11:45:30.250Z", "2026-11-30T13:45:30+02:00"):
        found = read_filters({"since": text})
        assert since(text) == found.selection.since
        assert since(text) == read_filters(found.fixed.texts).selection.since


def test_a_form_carries_any_id_unchanged() -> None:
    """Line ends, white space at an end, signs of every alphabet."""
    for event_id in (" ", "\n", " a ", "a\r\nb", "заказ 1", "a&b=c", "\x00"):
        which = address(id=event_id).partition("?")[2]
        assert {event_id} == set(form_filters({"which": which}).selection.ids)


@pytest.mark.parametrize(
    "event_id",
    ["a", "a/b", "/shop order 1", "ü", "a?b#c", "..", "a/../b", ".", "./a", "", "%2e%2e"],
)
def test_every_event_has_an_address(event_id: str) -> None:
    """No part of it is taken out of a path by browsers."""
    parts = urlsplit(letter_address(event_id))
    assert not {".", ".."} & set(unquote(parts.path).split("/")[2:]) or parts.query
    if parts.query:
        assert [event_id] == parse_qs(parts.query, keep_blank_values=True)["id"]
    else:
        assert event_id == unquote(parts.path.removeprefix("/dead-letters/"))


def test_an_address_leaves_out_what_is_empty() -> None:
    """Links stay short."""
    assert "/dead-letters" == address(kind=None, code="")
    assert "/dead-letters?code=X&type=2" == address(code="X", type=2)
