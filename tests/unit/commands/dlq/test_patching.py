"""Proves that a patch changes what it names and nothing else."""

import base64
import gzip
import json
from typing import Any

import pytest

from service.commands.dlq.patching import Unpatchable, patch_of, patched
from tests.unit.commands.dlq.samples import letter

FIELDS = b'{"n":1.10,"big":12345678901234567890,"e":1E5,"title":"old"}'
ITEM = b'{"entityTypeId":2,"id":"e","fields":' + FIELDS + b"}"
WANTED = b'{"n":1.10,"big":12345678901234567890,"e":1E5,"title":"new","stage":7}'
PATCH = patch_of([("title", "new"), ("stage", "7")])
STRUCTURED = "application/cloudevents+json; charset=utf-8"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", b"7"),
        ("1.10", b"1.10"),
        ("null", b"null"),
        ("true", b"true"),
        ('["a", 1]', b'["a", 1]'),
        ('"7"', b'"7"'),
        ("plain words", b'"plain words"'),
        ("", b'""'),
        ("NaN", b'"NaN"'),
        ("007", b'"007"'),
        ("{broken", b'"{broken"'),
        ("\u00e9", '"\u00e9"'.encode()),
    ],
)
def test_a_value_is_json_or_a_string(text: str, expected: bytes) -> None:
    """Digits stay as typed."""
    assert expected == patch_of([("f", text)])["f"]


def test_without_a_patch_the_body_is_the_body() -> None:
    """Not even white space is touched."""
    assert b" { } " == patched(letter(b" { } "), {})


def test_a_plain_event_is_patched() -> None:
    """Other fields keep their digits, other members stay."""
    assert b'{"entityTypeId":2,"id":"e","fields":' + WANTED + b"}" == patched(letter(ITEM), PATCH)


def test_an_event_in_an_envelope_is_patched_there() -> None:
    """Structured CloudEvents, with data as JSON."""
    envelope = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","seq":1.0,"data":%s}'
    for kind in (STRUCTURED, "text/plain", None):
        body = patched(letter(envelope % ITEM, content_type=kind), PATCH)
        assert envelope % (b'{"entityTypeId":2,"id":"e","fields":' + WANTED + b"}") == body


def test_a_byte_order_mark_does_not_hide_the_fields() -> None:
    """Packed or not, it goes with the patch."""
    wanted = b'{"entityTypeId":2,"id":"e","fields":' + WANTED + b"}"
    assert wanted == patched(letter(b"\xef\xbb\xbf" + ITEM), PATCH)
    packed = letter(gzip.compress(b"\xef\xbb\xbf" + ITEM), content_encoding="utf-8, x-gzip")
    assert wanted == gzip.decompress(patched(packed, PATCH))


def test_an_event_in_base64_is_patched_there() -> None:
    """Structured CloudEvents, with data_base64; some writers put a null beside it."""
    envelope = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    for beside in ({}, {"data": None}):
        inside = base64.b64encode(ITEM).decode()
        packed = json.dumps({**envelope, **beside, "data_base64": inside})
        body = patched(letter(packed.encode(), content_type=STRUCTURED), PATCH)
        assert WANTED in base64.b64decode(json.loads(body)["data_base64"])


def test_a_compressed_event_is_compressed_again() -> None:
    """The encoding stays true."""
    body = patched(letter(gzip.compress(ITEM), content_encoding="gzip"), PATCH)
    assert WANTED in gzip.decompress(body)


def test_missing_fields_are_made() -> None:
    """An event that was refused for having none can be mended."""
    body = patched(letter(b'{"entityTypeId":2,"fields":{}}'), PATCH)
    assert b'{"entityTypeId":2,"fields":{"title":"new","stage":7}}' == body


@pytest.mark.parametrize(
    ("content", "properties"),
    [
        (b"\xff", {}),
        (b"[]", {}),
        (b'{"fields":[]}', {}),
        (b'{"a":1,"a":2}', {}),
        (b"not gzip", {"content_encoding": "gzip"}),
        (b"{}", {"content_type": STRUCTURED}),
        (b'{"data_base64":"!"}', {"content_type": STRUCTURED}),
        (gzip.compress(b"0" * 20_000, mtime=0), {"content_encoding": "gzip"}),
    ],
)
def test_what_has_no_fields_cannot_be_patched(content: bytes, properties: dict[str, Any]) -> None:
    """It says why, and touches nothing; nothing is unpacked without bounds."""
    with pytest.raises(Unpatchable):
        patched(letter(content, **properties), PATCH)


LINKED = b'{"entityTypeId":2,"id":"e","fields":{"n":1.10},"links":%s}'
CUSTOMER = '{"entityTypeId":3,"id":"c"}'


@pytest.mark.parametrize(
    ("links", "field", "value", "expected"),
    [
        # The number is known meanwhile: the field stands in links no more.
        (
            b'{"contactId":{"entityTypeId":3,"id":"x"}}',
            "contactId",
            "4711",
            b'{"entityTypeId":2,"id":"e","fields":{"n":1.10,"contactId":4711}}',
        ),
        # Another event was meant; other links keep their bytes.
        (
            b'{"contactId":{"entityTypeId":3,"id":"x"},"b":{"id":1.0}}',
            "contactId",
            CUSTOMER,
            LINKED % b'{"contactId":{"entityTypeId":3,"id":"c"},"b":{"id":1.0}}',
        ),
        # A value becomes a reference, or a list of them.
        (
            b"null",
            "n",
            f"[{CUSTOMER}]",
            b'{"entityTypeId":2,"id":"e","fields":{},"links":{"n":[{"entityTypeId":3,"id":"c"}]}}',
        ),
        (b"{}", "m", "[]", b'{"entityTypeId":2,"id":"e","fields":{"n":1.10,"m":[]}}'),
    ],
)
def test_links_are_mended(links: bytes, field: str, value: str, expected: bytes) -> None:
    """A field stands in fields or in links, as its new value says."""
    assert expected == patched(letter(LINKED % links), patch_of([(field, value)]))


def test_links_that_are_no_object_cannot_be_mended() -> None:
    """Nobody knows what was meant."""
    with pytest.raises(Unpatchable, match="links are no object"):
        patched(letter(LINKED % b"[1]"), PATCH)
