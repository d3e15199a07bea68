"""Proves that showing a letter is bounded and safe, whatever lies in it."""

import gzip
import json
import shlex

import pytest

from service.commands.dlq.showing import (
    MAX_SHOWN,
    Found,
    as_json,
    body_lines,
    described,
    how_to_show,
    listed,
)
from service.rabbit.letters import Letter
from tests.unit.commands.dlq.samples import body, letter, ours

MOST = 10_000_000
BOMB = gzip.compress(b"0" * 50_000_000)


def named(event_id: str) -> Letter:
    """Return a letter of an event id."""
    return letter(body(id=event_id), headers=ours(event_id=None))


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (BOMB, "gzip"),
        (gzip.compress(b"a" * 200_000) + gzip.compress(b"b"), "gzip"),
        (b"x" * 500_000, None),
        (b"\xff" * 500_000, None),
        (b'{"data":"' + b"x" * 500_000 + b'"}', None),
    ],
)
def test_a_large_body_is_shown_in_part(content: bytes, encoding: str | None) -> None:
    """It says that there is more."""
    *lines, last = body_lines(letter(content, content_encoding=encoding), MOST)
    assert "(… more)" == last
    assert MAX_SHOWN == sum(map(len, lines))


def test_a_body_is_unpacked_no_further_than_a_message_may_be() -> None:
    """A small letter does not fill the memory."""
    [line] = body_lines(letter(BOMB, content_encoding="gzip"), 99)
    assert "0" * 100 == line


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            gzip.compress(b"[1,", mtime=0) + gzip.compress(b"2]", mtime=0),
            ["[", "  1,", "  2", "]"],
        ),
        (b"no gzip", ["(not a whole gzip stream)", "no gzip"]),
        (gzip.compress(b"", mtime=0), []),
    ],
)
def test_a_body_is_unpacked(content: bytes, expected: list[str]) -> None:
    """All of its parts; what is no gzip is shown as it came."""
    assert expected == list(body_lines(letter(content, content_encoding="gzip"), MOST))


def test_half_a_gzip_stream_is_told() -> None:
    """What is there is shown escaped."""
    half = gzip.compress(b"0" * 5_000)[:-4]
    first, *_ = body_lines(letter(half, content_encoding="gzip"), MOST)
    assert "(not a whole gzip stream)" == first


def test_every_value_is_one_line() -> None:
    """Tables and lists as values, line ends in ids, and nothing where nothing is known."""
    named = {"a": {"b": 1}, "cc": ["x"], "d": None, "e": "", "f": "1\n2", "g": b"raw", "h": 0}
    assert [
        ("a   {'b': 1}", ""),
        ("cc  ['x']", ""),
        ("f   1\ufffd2", ""),
        ("g   raw", ""),
        ("h   0", ""),
    ] == list(listed(named))
    assert [] == list(listed({"a": None}))


def test_the_warnings_of_a_failed_event_are_shown() -> None:
    """They often say why it failed."""
    headers = ours(warnings="TITLE is unknown\nno id was given")
    lines = list(described(letter(headers=headers), MOST, can_look_up=True))
    assert 1 == sum("TITLE is unknown; no id was given" in text for _, text in lines)
    lines = list(described(letter(), MOST, can_look_up=True))
    assert not any(head.startswith("warnings") for head, _ in lines)


def test_the_commands_of_a_letter_can_be_pasted() -> None:
    """The id stands in them, quoted as a shell needs it."""
    awkward = named("Заказ 'a' $(b)")
    heads = [head for head, _ in described(awkward, MOST, can_look_up=True)]
    [command] = [head.strip() for head in heads if "crm-importer" in head]
    wanted = ["crm-importer", "dlq", "redrive", "--id=Заказ 'a' $(b)", "--set", "FIELD=VALUE"]
    assert wanted == shlex.split(command)


def test_an_id_may_be_shortened() -> None:
    """The beginning of one id is enough, with the mark of tables; an exact one wins."""
    for wanted in ("order-1…", "order-17"):
        found = Found(wanted)
        for each in ("order-17", "else", "order-17"):
            found.add(named(each))
        assert ({"order-17": 2}, 2) == (found.ids, len(found.letters))
    found = Found("order-1")
    for each in ("order-17", "order-18", "order-1", "order-19"):
        found.add(named(each))
    assert ({"order-1": 1}, ["order-1"]) == (found.ids, [each.event_id for each in found.letters])


def test_another_event_is_not_shown_because_its_id_begins_so() -> None:
    """It is only named; a NUL, which no argument holds, is left out with what follows it."""
    found = Found("amb")
    for each in ("amb7", "amb7", "am"):
        found.add(named(each))
    assert ({"amb7": 2}, []) == (found.ids, found.letters)
    assert "crm-importer dlq show amb7" == how_to_show("amb7")
    cut = shlex.split(how_to_show("a\0b"))[-1]
    found = Found(cut)
    found.add(named("a\0b"))
    assert ["a\0b"] == [each.event_id for each in found.letters]


@pytest.mark.parametrize("wanted", ["order", "order…"])
def test_ids_that_begin_alike_are_named(wanted: str) -> None:
    """None of them is shown: which was meant, nobody knows; and not all of 60,000."""
    found = Found(wanted)
    for number in range(300):
        found.add(named(f"order-{number}"))
    assert ([], 100) == (found.letters, len(found.ids))


def test_letters_of_one_id_are_shown_up_to_a_bound() -> None:
    """The memory of a command is bounded; how many there are is told."""
    found = Found("e")
    for _ in range(150):
        found.add(letter())
    assert ({"e": 150}, 100) == (found.ids, len(found.letters))


def test_what_an_event_refers_to_is_shown() -> None:
    """Field by field; of an event without links nothing is said."""
    links = {
        "contactIds": [{"entityTypeId": 3, "id": "a"}, {"entityTypeId": 3, "id": "b"}],
        "companyId": {"entityTypeId": 4, "id": "c", "originatorId": "1c"},
    }
    body = json.dumps({"entityTypeId": 2, "id": "o", "fields": {"n": 1}, "links": links}).encode()
    lines = list(described(letter(body), MOST, can_look_up=True))
    assert 1 == sum("contactIds: 3/a, 3/b; companyId: 4/c of 1c" in text for _, text in lines)
    shown = as_json(letter(body), MOST, can_look_up=True)
    assert ["contactIds: 3/a, 3/b", "companyId: 4/c of 1c"] == shown["refersTo"]
    plain = list(described(letter(), MOST, can_look_up=True))
    assert not any(head.startswith("refers to") for head, _ in plain)
