"""Proves that a page changes the fields that were changed, and no other."""

import json
from typing import Any

import pytest

from service.commands.console import editing
from service.commands.console.editing import changes, editable, mark, shown
from service.commands.dlq.patching import patch_of, patched
from tests.unit.commands.dlq.samples import letter

VALUES: list[Any] = [
    "plain",
    "two\nlines",
    "12",
    "true",
    "",
    " edges ",
    "\ttab",
    "a\r\nb",
    "\x1b[31m",
    "\u202e",
    "ü",
    '"quoted"',
    1.5,
    None,
    True,
    [1, "a"],
    {"a": {"b": "\u200f"}},
]


def sent(fields: list[Any], **filled: str) -> dict[str, str]:
    """Return the form as a browser sends it: every line end is two signs."""
    form: dict[str, str] = {}
    for at, field in enumerate(fields):
        if not field.is_large:
            form |= {f"name{at}": field.name, f"mark{at}": field.mark}
            form[f"value{at}"] = field.text.replace("\n", "\r\n")
    return {**form, **filled}


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_form_that_was_not_touched_changes_nothing(value: Any) -> None:  # noqa: ANN401 - JSON
    """Whatever the value: the message goes back byte for byte."""
    body = json.dumps({"entityTypeId": 2, "id": "a", "fields": {"f": value}}).encode()
    one = letter(body)
    assert [] == changes(sent(editable(one)))
    assert body == patched(one, patch_of(changes(sent(editable(one)))))


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_a_page_shows_is_the_value_when_it_is_sent_back(value: Any) -> None:  # noqa: ANN401 - JSON
    """A text that is shown means the value it was shown for; nothing in it is invisible."""
    text = shown(json.dumps(value).encode())
    [(_, patch)] = patch_of([("f", text)]).items()
    assert value == json.loads(patch)
    assert all(each.isprintable() or each in "\n\t" for each in text)


def test_digits_are_shown_as_they_came() -> None:
    """No number is read and written anew."""
    body = b'{"entityTypeId":2,"id":"a","fields":{"f":1.10,"n":12345678901234567890}}'
    assert ["1.10", "12345678901234567890"] == [each.text for each in editable(letter(body))]


def test_changed_and_added_fields_are_sent() -> None:
    """A text that is JSON is that value, any other text a string."""
    body = b'{"entityTypeId":2,"id":"a","fields":{"f":"old","g":"same"}}'
    fields = editable(letter(body))
    form = sent(fields, value0="12", new_name1=" flag ", new_value1="no")
    assert [("f", "12"), ("flag", "no")] == changes(form)
    again = patched(letter(body), patch_of(changes(form)))
    assert {"f": 12, "g": "same", "flag": "no"} == json.loads(again)["fields"]


def test_a_large_value_is_shown_in_part_and_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form of it could lose some of it."""
    monkeypatch.setattr(editing, "MAX_SHOWN", 300)
    body = json.dumps({"entityTypeId": 2, "id": "a", "fields": {"f": "x" * 301, "g": 1}})
    large, small = editable(letter(body.encode()))
    assert large.is_large
    assert 300 > len(large.text)
    assert not small.is_large
    assert [] == changes(sent([large, small]))


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"fields": 3}', b"\xff"])
def test_what_has_no_fields_offers_none(body: bytes) -> None:
    """The page says so instead."""
    assert [] == editable(letter(body))


def test_a_mark_tells_texts_apart() -> None:
    """Also those that cannot be written."""
    assert 3 == len({mark("a"), mark("b"), mark("\ud800")})
