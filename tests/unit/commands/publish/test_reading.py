"""Proves what `publish` makes of the files that people have: each is read, or named as a whole."""

import gzip
import io
import json
import random
import zipfile
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.commands.publish.reading import Wanted, reads
from service.commands.publish.records import Note, Read, Record, RefusedLine
from service.commands.publish.source import Source, opened
from service.domain.external_id import ExternalIds
from service.factories import CannotStart
from service.rabbit.decoding import Decoder

MOST = 10_000
DECODER = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=MOST)
DEALS = Wanted(entity_type=2, id_column="order")
BOM = b"\xef\xbb\xbf"
WORDS = "order;title;comments\r\no-1;Сделка;да\r\no-2;Ещё;нет\r\no-3;Третья;\r\n"


@dataclass(frozen=True, slots=True)
class Found:
    """What was read: item events, refused places with their reason, warnings and notes."""

    events: Sequence[Record]
    refused: Sequence[str]
    warnings: Sequence[str]
    notes: Sequence[str]

    @property
    def items(self) -> list[dict[str, object]]:
        """The events as they would be sent."""
        return [json.loads(each.body) for each in self.events]

    @property
    def fields(self) -> list[object]:
        """The fields of the events."""
        return [each["fields"] for each in self.items]

    @property
    def ids(self) -> list[str]:
        """The ids of the events."""
        return [each.event.event_id for each in self.events]


def told(record: Record) -> tuple[str, ...]:
    """Return every warning of an event."""
    return (*record.warnings, *record.documented)


def read(folder: Path, content: bytes, wanted: Wanted = DEALS, name: str = "file") -> Found:
    """Read a file."""
    file = folder / name
    file.write_bytes(content)
    with opened(str(file)) as descriptor:
        found = [*reads(Source(name, descriptor, lambda: False), wanted, DECODER, MOST + 1)]
    events = [each for each in found if isinstance(each, Record)]
    return Found(
        events,
        [f"{each.place}: {each.reason}" for each in found if isinstance(each, RefusedLine)],
        [f"{each.place}: {warning}" for each in events for warning in told(each)],
        [each.text for each in found if isinstance(each, Note)],
    )


def stop(folder: Path, content: bytes, wanted: Wanted = DEALS, name: str = "file") -> str:
    """Return why a file is not read."""
    with pytest.raises(CannotStart) as stopped:
        read(folder, content, wanted, name)
    return str(stopped.value)


def event(number: int, title: str = "x") -> dict[str, object]:
    """Return an item event."""
    return {"entityTypeId": 2, "id": f"e{number}", "fields": {"title": title}}


def line(number: int, title: str = "x") -> bytes:
    """Return an item event on a line, without its end."""
    return json.dumps(event(number, title), ensure_ascii=False).encode()


# ---- JSON Lines ----

ANY = Wanted()
WITHIN = (
    "WRONG_SHAPE: entityTypeId must be an integer from 1 to 2147483647; if the items are in "
    "its list items: jq -c '.items[]' FILE | crm-importer publish -"
)


def test_a_line_is_taken_byte_for_byte(tmp_path: Path) -> None:
    """But for a byte-order mark and blanks around it."""
    body = b'{"entityTypeId":2,"id":"a","fields":{"n":1.10,"big":12345678901234567890}}'
    [record] = read(tmp_path, BOM + b" " + body + b" \r\n\n", ANY).events
    assert (body, "application/json", "a") == (
        record.body,
        record.content_type,
        record.event.event_id,
    )


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", "NOT_JSON: column 1: it ends too early"),
        (b"[]", "WRONG_SHAPE: "),
        (b"oops", "NOT_JSON: column 1: here a JSON value is missing"),
        (b"{'a': 1}", "NOT_JSON: column 2: here a name in double quotes is missing"),
        (b'{"\xd0\xb8": no}', "NOT_JSON: column 8: this is not JSON"),
        (b'{"entityTypeId":2}', "WRONG_SHAPE: fields must be"),
        (
            b'{"ok":1,"items":[{"a":1}]}',
            WITHIN,
        ),
        (b'{"entityTypeId":2,"fields":{"a":1,"a":2}}', "NOT_JSON: column 39: the name"),
        (b'{"a":"\xff"}', "NOT_JSON: column 7: no UTF-8"),
        (b'{"a":"\x01"}', "NOT_JSON: column 7: a line break or another control character"),
        (b"\0\0", "NOT_JSON: "),
        (b"x" * (MOST + 2), "it is longer than a message may be"),
        (b'{"entityTypeId":2,"fields":{"a":"' + b"x" * (MOST - 35) + b'"}}', "MESSAGE_TOO_LARGE"),
    ],
)
def test_a_bad_line_is_refused_by_number_and_the_others_are_read(
    tmp_path: Path, bad: bytes, reason: str
) -> None:
    """The reason says where in the line, in plain words."""
    found = read(tmp_path, line(1) + b"\n" + bad + b"\n" + line(2) + b"\n", ANY)
    [refusal] = found.refused
    assert refusal.startswith(f"line 2: {reason}")
    assert " at line " not in refusal
    assert ["e1", "e2"] == found.ids


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"a b":[{}]}', '.["a b"][]'),
        ('{"é":[{}]}', '.["é"][]'),
        ('{"a":[{}],"b":[{}]}', ""),
        ('{"a":[1]}', ""),
        ('{"a":{}}', ""),
        ('{"%s":[{}]}' % ("a" * 81), ""),
    ],
)
def test_only_one_list_of_objects_may_be_what_was_meant(
    tmp_path: Path, text: str, named: str
) -> None:
    """A name that jq would misread is quoted for it; a very long one is not repeated."""
    [refusal] = read(tmp_path, text.encode(), ANY).refused
    assert (f"jq -c '{named}' FILE" in refusal) == bool(named)
    assert ("if the items are" in refusal) == bool(named)


def test_a_few_nul_bytes_make_no_other_encoding(tmp_path: Path) -> None:
    """A damaged row is refused by number; the others are read."""
    found = read(tmp_path, b"order,title\no-1,A\no-2,B\0\n")
    assert ["o-1"] == found.ids
    assert "line 3: it has a NUL byte" in found.refused[0]


def test_every_bad_line_has_its_own_number(tmp_path: Path) -> None:
    """An object that never ends takes no other line along."""
    bad = [b'{"entityTypeId":2,', b"oops", b"{", b"[1]", b'{"a":"cut']
    found = read(tmp_path, b"\n".join([line(1), *bad, line(2)]), ANY)
    assert [f"line {n}" for n in range(2, 7)] == [each.split(":")[0] for each in found.refused]
    assert ["e1", "e2"] == found.ids


def test_a_missing_type_is_filled_in_and_a_given_one_kept(tmp_path: Path) -> None:
    """Digits stay what they were."""
    first, second = read(
        tmp_path, b'{"id":"p","fields":{"n":1.10}}\n' + line(1), Wanted(entity_type=31)
    ).events
    assert b'{"entityTypeId":31,"id":"p","fields":{"n":1.10}}' == first.body
    assert line(1) == second.body


@pytest.mark.parametrize("text", ['{"id":"a","id":"b","fields":{"a":1}}', "{}", "{ }"])
def test_a_type_that_is_filled_in_hides_no_mistake(tmp_path: Path, text: str) -> None:
    """A member that is named twice is refused as ever."""
    found = read(tmp_path, text.encode(), Wanted(entity_type=31))
    assert [] == found.events
    [refused] = found.refused
    assert "NOT_JSON: the body is not JSON" not in refused


@pytest.mark.parametrize(
    "data", [b'"data":' + line(1), b'"data_base64":"%s"' % b64encode(line(1))]
)
def test_an_envelope_without_a_version_is_an_envelope(tmp_path: Path, data: bytes) -> None:
    """Its source and its data say so."""
    wanted = Wanted(entity_type=31)
    [record] = read(tmp_path, b'{"id":"1","source":"/s",' + data + b"}", wanted).events
    assert ("application/cloudevents+json", "/s 1", 2) == (
        record.content_type,
        record.event.event_id,
        record.event.entity_type_id,
    )


def test_what_the_importer_ignores_of_a_line_is_warned_of(tmp_path: Path) -> None:
    """An unknown member, and that there is no id."""
    found = read(tmp_path, b'{"entityTypeId":2,"fields":{"title":"a"},"action":"x"}', ANY)
    first, second = found.warnings
    assert first.startswith('line 1: the member "action" is ignored')
    assert second.startswith("line 1: no id was given")


# ---- JSON over several lines, and lists ----


def test_an_object_may_take_several_lines(tmp_path: Path) -> None:
    """One or many, among others on one line; a broken one costs no others."""
    spread = [json.dumps(event(n), indent=2).encode() for n in range(4)]
    spread[2] = spread[2].replace(b'"title"', b"title")
    found = read(tmp_path, b"\n".join([*spread, line(4)]), ANY)
    assert ["e0", "e1", "e3", "e4"] == found.ids
    assert spread[0] == found.events[0].body
    [refusal] = found.refused
    assert refusal.startswith("line 15: NOT_JSON: line 19, column 5: here a name")


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_list_is_read_item_by_item(tmp_path: Path, indent: int | None, end: bytes) -> None:
    """On one line or many; brackets and quotes within a text are text."""
    items = [event(1, 'a]}{["\\'), event(2, "z" * 5_000), 7, "text", {"entityTypeId": 2}]
    content = json.dumps(items, indent=indent).encode().replace(b"\n", end)
    found = read(tmp_path, BOM + content, ANY)
    assert items[:2] == found.items
    starts = {None: [1, 1, 1], 0: [16, 17, 18], 2: [16, 17, 18]}[indent]
    assert [
        f"line {n} (item {i} of the list)" for n, i in zip(starts, (3, 4, 5), strict=True)
    ] == [each.split(":")[0] for each in found.refused]


def test_an_item_of_a_list_that_is_too_long_is_named_and_not_held(tmp_path: Path) -> None:
    """The next one is read, and its line is right."""
    content = b'[{"a": "\n' + b"x" * 600_000 + b'\n"},\n' + line(1) + b",\n{]"
    found = read(tmp_path, content, ANY)
    assert ["e1"] == found.ids
    assert found.refused[0] == "line 1 (item 1 of the list): it is longer than a message may be"
    assert found.refused[1].startswith("line 5 (item 3 of the list): NOT_JSON: ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[" + line(1) + b',\n{"a": 1', "line 2 (item 2 of the list): NOT_JSON: it begins here"),
        (
            b"[" + line(1) + b",\n",
            "line 2 (item 2 of the list): NOT_JSON: the list ends too early",
        ),
        (b"[" + line(1) + b"]\n" + line(2), "line 2 (item 2 of the list): NOT_JSON: text after"),
        (b"[" + line(1) + b"]]", "line 1 (item 2 of the list): NOT_JSON: text after"),
    ],
)
def test_a_list_that_is_cut_off_says_so(tmp_path: Path, content: bytes, reason: str) -> None:
    """What came before is read."""
    found = read(tmp_path, content, ANY)
    assert ["e1"] == found.ids
    assert 1 == len(found.refused)
    assert found.refused[0].startswith(reason)


# ---- files joined to one ----


@pytest.mark.parametrize("between", [b"", b"\n", BOM, b"\n" + BOM, b",\n", BOM + BOM])
def test_json_files_joined_to_one_are_read(tmp_path: Path, between: bytes) -> None:
    """With and without line ends and byte-order marks between them."""
    assert ["e1", "e2"] == read(tmp_path, line(1) + between + line(2), ANY).ids
    lists = b"[" + line(1) + b"]" + between + b"[" + line(2) + b"]"
    assert ["e1", "e2"] == read(tmp_path, lists, ANY).ids


def test_objects_on_one_line_are_read_whatever_stands_in_their_texts(tmp_path: Path) -> None:
    """Brackets and quotes in a text end nothing; a comma may follow the last one."""
    odd = b'{"id":"}{","entityTypeId":2,"fields":{"title":"\\"},{\\\\"}}'
    assert ["}{", "e1", "}{"] == read(tmp_path, odd + line(1) + b" , " + odd + b",\n", ANY).ids
    found = read(tmp_path, line(1) + b"{" + line(2) + b"\n" + line(3), ANY)
    assert (["e3"], 1) == (found.ids, len(found.refused))


@pytest.mark.parametrize(
    "joined",
    [
        b"order,title\no-1,A\norder,title\no-2,B\n",
        b"\xef\xbb\xbforder,title\no-1,A\n\xef\xbb\xbforder,title\no-2,B\n",
        b"order,title\no-1,A\xef\xbb\xbforder,title\no-2,B\n",
        b"order,title\no-1,A\n\xef\xbb\xbftitle;order\nB;o-2\n",
        b"sep=,\norder,title\no-1,A\nsep=;\norder;title\no-2;B\n",
    ],
)
def test_csv_files_joined_to_one_are_read(tmp_path: Path, joined: bytes) -> None:
    """The header that comes again is no item, and may have its columns in another order."""
    found = read(tmp_path, joined)
    assert [{"title": "A"}, {"title": "B"}] == found.fields
    assert ["o-1", "o-2"] == found.ids
    assert ["is a header again"] == [note.split(maxsplit=2)[2][:17] for note in found.notes]


def test_a_file_joined_without_a_header_ends_it(tmp_path: Path) -> None:
    """Nobody knows what its columns are."""
    reason = stop(tmp_path, b"order,title\no-1,A\n" + BOM + b"Lee,o-2\n")
    assert reason.startswith("line 3: another file begins here")


# ---- encodings and packed files ----


@pytest.mark.parametrize(
    "content",
    [
        WORDS.encode(),
        BOM + WORDS.encode(),
        WORDS.encode("utf-16"),
        WORDS.encode("utf-16-le"),
        WORDS.encode("utf-16-be"),
        b"\xfe\xff" + WORDS.encode("utf-16-be"),
        WORDS.encode("utf-32"),
        gzip.compress(WORDS.encode()),
        gzip.compress(WORDS[:30].encode()) + gzip.compress(WORDS[30:].encode()) + bytes(20),
        gzip.compress(WORDS.encode("utf-16")),
    ],
)
def test_unicode_and_gzip_are_recognised(tmp_path: Path, content: bytes) -> None:
    """With and without a byte-order mark; for JSON Lines alike."""
    found = read(tmp_path, content)
    assert [{"title": "Сделка", "comments": "да"}, {"title": "Ещё", "comments": "нет"}] == (
        found.fields[:2]
    )
    assert ["o-1", "o-2", "o-3"] == found.ids


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_lines_in_utf_16_are_read(tmp_path: Path, encoding: str) -> None:
    """As PowerShell writes them."""
    lines = [event(1, "Привет 😀"), event(2, "plain")]
    text = "".join(json.dumps(each, ensure_ascii=False) + "\r\n" for each in lines)
    assert lines == read(tmp_path, text.encode(encoding), ANY).items


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (WORDS, "windows-1251"),
        (WORDS, "cp866"),
        ("order;title\no-1;Größe\no-2;Müller\no-3;Café\n", "windows-1252"),
        ("заказ;title\no-1;x\n", "windows-1251"),
        ("größe;title\no-1;x\n", "windows-1252"),
        ("price;title\n1;100 €\n2;“a” … b\n3;€\n", "windows-1252"),
    ],
)
def test_another_encoding_is_named_and_read_when_it_is_given(
    tmp_path: Path, text: str, encoding: str
) -> None:
    """Never guessed in silence: a wrong guess is a wrong name in the CRM."""
    content = text.encode(encoding)
    assert f"--encoding {encoding}" in stop(tmp_path, content, Wanted(entity_type=2), "a.csv")
    wanted = Wanted(entity_type=2, id_column=text.split(";", maxsplit=1)[0], encoding=encoding)
    found = read(tmp_path, content, wanted)
    assert text.splitlines()[1].split(";")[1] == dict(found.fields[0])["title"]  # type: ignore[call-overload]


def test_a_row_in_another_encoding_is_refused_by_number(tmp_path: Path) -> None:
    """The others are read: it may be the only damaged one."""
    found = read(tmp_path, b"order;title\no-1;\xd1\xe4\xe5\xeb\xea\xe0\no-2;B\n")
    [refusal] = found.refused
    assert refusal.startswith("line 2: it is not UTF-8")
    assert "--encoding windows-1251" in refusal
    assert ["o-2"] == found.ids


def test_a_byte_that_is_no_text_in_the_named_encoding_costs_its_line(tmp_path: Path) -> None:
    """0x81 is nothing in Windows-1252."""
    wanted = Wanted(entity_type=2, id_column="order", encoding="windows-1252")
    found = read(tmp_path, b"order;title\no-1;\x81\no-2;B\n", wanted)
    assert (["o-2"], 1) == (found.ids, len(found.refused))


def packed_with(*names: str) -> bytes:
    """Return a zip archive with files of these names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (packed_with("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook: open it"),
        (packed_with("[Content_Types].xml", "word/document.xml"), "a Word document"),
        (packed_with("Index/Document.iwa"), "a Numbers document: export it as CSV"),
        (packed_with("[Content_Types].xml", "docProps/thumbnail.jpeg"), "an Office document"),
        (packed_with("leads.csv"), "a zip archive: unpack it first: unzip -p 'my file' |"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "an old Excel workbook"),
        (b"<html><table><tr><td>ID</td></tr></table></html>", "a page of HTML or XML"),
        (b'\xef\xbb\xbf<?xml version="1.0"?><Workbook/>', "a page of HTML or XML"),
        (b"BZh91AY&SY", "packed with bzip2"),
        (b"\xfd7zXZ\x00\x00", "packed with xz"),
        (b"\x28\xb5\x2f\xfd\x04", "packed with zstd"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"leads.csv" + bytes(248) + b"ustar\x0000", "a tar archive"),
        (bytes(10_000), "a binary file"),
        (random.Random(1).randbytes(30_000), "a binary file"),
        (gzip.compress(gzip.compress(WORDS.encode())), "packed with gzip twice"),
        (gzip.compress(random.Random(1).randbytes(30_000)), "a binary file"),
    ],
)
def test_what_is_no_text_is_named_as_a_whole(tmp_path: Path, content: bytes, says: str) -> None:
    """By its first bytes, whatever its name: not line by line."""
    reason = stop(tmp_path, content, DEALS, "my file")
    assert says in reason
    assert 1 == len(reason.splitlines())


def test_a_gzip_file_that_is_cut_off_says_so_after_what_it_had(tmp_path: Path) -> None:
    """What could be unpacked was read."""
    content = gzip.compress(b"".join(line(n, f"{n * n}") + b"\n" for n in range(3000)))
    file = tmp_path / "file"
    file.write_bytes(content[:-50])
    found: list[Read] = []
    with opened(str(file)) as descriptor, pytest.raises(CannotStart, match="is cut off"):
        found.extend(reads(Source("file", descriptor, lambda: False), ANY, DECODER, MOST))
    assert 2_000 < sum(isinstance(each, Record) for each in found) < 3_000


# ---- how it is chosen what a file is ----


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.csv", b"order;title\n1;A", DEALS),
        ("a.TSV", b"order\ttitle\n1\tA", DEALS),
        ("a.csv.gz", gzip.compress(b"order;title\n1;A"), DEALS),
        ("a.txt", b"order|title\n1|A", DEALS),
        ("a", b"order,title\n1,A", DEALS),
        ("a.json", b"order,title\n1,A", Wanted("csv", 2, "order")),
        ("a.csv", b'{"id":"1","entityTypeId":2,"fields":{"title":"A"}}', ANY),
    ],
)
def test_content_and_name_say_what_a_file_is(
    tmp_path: Path, name: str, content: bytes, wanted: Wanted
) -> None:
    """JSON begins with a bracket, whatever the name."""
    assert [{"title": "A"}] == read(tmp_path, content, wanted, name).fields


@pytest.mark.parametrize(
    ("content", "wanted", "says"),
    [
        (b"a;b\n", Wanted("csv"), "a CSV needs --entity-type"),
        (line(1), Wanted(id_column="x"), "--id-column is for CSV; in JSON"),
        (b"a;b\n", Wanted("jsonl", 2, "a"), "add --format csv"),
    ],
)
def test_options_that_do_not_fit_the_file_are_named(
    tmp_path: Path, content: bytes, wanted: Wanted, says: str
) -> None:
    """With the one that does."""
    assert says in stop(tmp_path, content, wanted)


def test_csv_without_options_is_hinted_at(tmp_path: Path) -> None:
    """Before its lines are refused."""
    assert "--format csv" in read(tmp_path, b"order,title\n1,A", ANY).notes[0]


def test_values_that_the_portal_would_change_are_warned_of_in_json_too(tmp_path: Path) -> None:
    """With the line; fields that nobody documented, and types, are left to the importer."""
    contact = {"entityTypeId": 3, "id": "c", "fields": {"name": "Ada", "PHONE": "+100"}}
    deal = {"entityTypeId": 2, "id": "d", "fields": {"opportunity": "1200,50", "ufCrm_1": "1,5"}}
    other = {"entityTypeId": 36, "id": "o", "fields": {"opportunity": "1200,50"}}
    exact = (
        b'{"entityTypeId":2,"id":"e","fields":{"opportunity":1200.50,"x":1e-99999999999999999999}}'
    )
    lines = [json.dumps(each).encode() for each in (contact, deal, other)]
    phone, number = read(tmp_path, b"\n".join([*lines, exact]), ANY).warnings
    assert phone.startswith("line 1: PHONE is not kept")
    assert number.startswith("line 2: opportunity is not a plain number, the portal keeps 1200")
