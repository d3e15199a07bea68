"""Proves which lines and rows are item events, and what is said of the others."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest

from service.domain.external_id import ExternalIds
from service.feed.records import Blank, Read, Record, Refused, of_csv, of_json_lines
from service.feed.source import Line
from service.parts import CannotStart
from service.rabbit.decoder import Decoder

DECODER = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=10_000)
GOOD = b'{"entityTypeId":2,"id":"a","fields":{"n":1.10}}'


async def numbered(content: bytes) -> AsyncIterator[Line]:
    """Yield lines as a file would; `<long>` stands for one that was too long."""
    for number, text in enumerate(content.split(b"\n"), start=1):
        yield Line(number, None if text == b"<long>" else text, len(text) + 1)


async def of_lines(content: bytes, entity_type: int | None = None) -> list[Read]:
    """Read JSON Lines."""
    return [read async for read in of_json_lines(numbered(content), DECODER, entity_type)]


async def rows(content: bytes, id_column: str | None = None) -> list[dict[str, object] | str]:
    """Read CSV of type 2: events, and the reasons of what is none, with its line."""
    found: list[dict[str, object] | str] = []
    async for read in of_csv(numbered(content), DECODER, 2, id_column):
        match read:
            case Record():
                found.append(json.loads(read.body))
            case Refused():
                found.append(f"{read.line}: {read.reason}")
            case Blank():
                pass
    return found


async def test_a_line_is_taken_as_it_is() -> None:
    """Byte for byte; a byte order mark is none of it."""
    [read] = await of_lines(b"\xef\xbb\xbf " + GOOD + b" ")
    assert isinstance(read, Record)
    assert (1, GOOD, "application/json", "a") == (
        read.line,
        read.body,
        read.content_type,
        read.event.event_id,
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "NOT_JSON"),
        (b"[]", "WRONG_SHAPE"),
        (b'{"entityTypeId":2}', "WRONG_SHAPE"),
        (b'{"entityTypeId":2,"fields":{"a":1,"a":2}}', "NOT_JSON"),
        (b"<long>", "it is longer than any message may be"),
        (b'{"entityTypeId":2,"fields":{"a":"' + b"x" * 10_000 + b'"}}', "MESSAGE_TOO_LARGE"),
        (b'{"specversion":"1.0","id":"1","type":"t","data":{}}', "WRONG_SHAPE"),
    ],
)
async def test_a_line_that_the_importer_would_refuse_is_refused(line: bytes, reason: str) -> None:
    """By its own decoder, with its number."""
    _, read = await of_lines(GOOD + b"\n" + line)
    assert isinstance(read, Refused)
    assert 2 == read.line
    assert read.reason.startswith(reason)


async def test_a_missing_type_is_filled_in_and_a_given_one_kept() -> None:
    """Digits stay what they were."""
    first, second = await of_lines(b'{"fields":{"n":1.10}}\n' + GOOD, entity_type=31)
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert b'{"entityTypeId":31,"fields":{"n":1.10}}' == first.body
    assert GOOD == second.body


async def test_a_blank_line_is_nothing() -> None:
    """It is neither published nor refused."""
    assert [Blank(1), Blank(3)] == await of_lines(b"\n  ")


@pytest.mark.parametrize("delimiter", [b",", b";", b"\t"])
async def test_cells_are_parted_by_what_the_header_has(delimiter: bytes) -> None:
    """Comma, semicolon or tab."""
    content = delimiter.join([b"a", b"b"]) + b"\n" + delimiter.join([b"1", b"2"])
    assert [{"entityTypeId": 2, "fields": {"a": "1", "b": "2"}}] == await rows(content)


@pytest.mark.parametrize(
    "content",
    [
        b"\n\na;b\n1;2",
        b'"a";"b"\n1;2',
        b'"a,b,c";x\n1;2',
        b'"a,\n,b";x\n1;2',
        b'"a "",,"" b";x\n1;2',
    ],
)
async def test_the_header_decides_what_parts_cells(content: bytes) -> None:
    """Not a blank line before it, nor what stands in quotes."""
    [event] = await rows(content)
    assert isinstance(event, dict)
    assert ["1", "2"] == list(dict(event["fields"]).values())  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'1,"open\n2,x\n3,y\n4,z', "a quoted cell begins there and never ends: lines 2 to 5"),
        (b'1,"open\n2,"x"\n4,z', "it is not CSV: ',' expected after '\"': lines 2 to 3"),
        (b'1,"open\n2,\xff\n4,z', "it is not UTF-8: save the file as UTF-8: lines 2 to 3"),
    ],
)
async def test_what_an_open_quote_takes_along_is_named(content: bytes, expected: str) -> None:
    """No good row goes without a word."""
    found = await rows(b"a,b\n" + content, "a")
    assert f"2: {expected} were not read" == found[0]


@pytest.mark.parametrize("data", [b'"data":' + GOOD, b'"data_base64":"%s"' % b64encode(GOOD)])
async def test_an_envelope_without_a_version_is_an_envelope(data: bytes) -> None:
    """Its source and its data say so."""
    [read] = await of_lines(b'{"id":"1","source":"/s",' + data + b"}", entity_type=31)
    assert isinstance(read, Record)
    assert ("application/cloudevents+json", "/s 1", 2) == (
        read.content_type,
        read.event.event_id,
        read.event.entity_type_id,
    )


async def test_a_quoted_cell_may_span_lines() -> None:
    """The row counts as the line that it begins on."""
    content = b'id,a\n1,"x\n\ny ""z"""\n2\n'
    assert [
        {"entityTypeId": 2, "id": "1", "fields": {"a": 'x\n\ny "z"'}},
        "5: it has 1 cells, the header has 2",
    ] == await rows(content, "id")


async def test_an_empty_cell_is_no_field() -> None:
    """A row of nothing else is no item."""
    content = b"a,b\n,2\n,\n\n"
    assert [{"entityTypeId": 2, "fields": {"b": "2"}}] == await rows(content)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'"x"y,2', "2: it is not CSV"),
        (b"1,2,3", "2: it has 3 cells"),
        (b",2", "2: it has no id in column a"),
        (b"1,", "2: WRONG_SHAPE"),
        (b"1,\xff", "2: it is not UTF-8"),
        (b'1,"open', "2: a quoted cell begins there and never ends"),
        (b"<long>", "2: it is longer than any message may be"),
    ],
)
async def test_a_row_that_is_no_item_is_refused(row: bytes, reason: str) -> None:
    """The header was a,b with the id in a; the next row is read again."""
    found = await rows(b"a,b\n" + row, "a")
    assert isinstance(found[0], str)
    assert found[0].startswith(reason)


@pytest.mark.parametrize(
    "header", [b"a,a\n1,2", b"a,\n1,2", b"b,c\n1,2", b"\xff\xfea\n", b'"a\n', b"<long>\n"]
)
async def test_a_header_that_names_no_fields_ends_it(header: bytes) -> None:
    """Nothing can be made of the rows below."""
    if header == b'"a\n':
        with pytest.raises(CannotStart, match="never ends"):
            await rows(header, "a")
        return
    with pytest.raises(CannotStart):
        await rows(header, "a")
