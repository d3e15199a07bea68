"""Proves what rows of CSV become, and what is said of those that are no items."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from service.commands.publish.csv_events import of_csv
from service.commands.publish.header import Table
from service.commands.publish.lines import Lines
from service.commands.publish.records import Note, Record, RefusedLine
from service.domain.external_id import ExternalIds
from service.factories import CannotStart
from service.rabbit.decoding import Decoder

DECODER = Decoder(external_ids=ExternalIds("crm-importer"), max_bytes=10_000)
LONGEST = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """What was read: fields of each item, refused rows, warnings of rows and of the file."""

    fields: Sequence[dict[str, object]]
    ids: Sequence[str | None]
    refused: Sequence[str]
    warnings: Sequence[str]
    notes: Sequence[str]


def told(record: Record) -> tuple[str, ...]:
    """Return every warning of an event."""
    return (*record.warnings, *record.documented)


def read(content: bytes, entity_type: int = 2, id_column: str | None = "order") -> Found:
    """Read CSV."""
    lines = Lines(iter([content]), LONGEST)
    found = [*of_csv(lines, DECODER, Table(entity_type, id_column))]
    events = [each for each in found if isinstance(each, Record)]
    bodies = [json.loads(each.body) for each in events]
    return Found(
        [body["fields"] for body in bodies],
        [body.get("id") for body in bodies],
        [f"{each.place}: {each.reason}" for each in found if isinstance(each, RefusedLine)],
        [f"{each.place}: {warning}" for each in events for warning in told(each)],
        [each.text for each in found if isinstance(each, Note)],
    )


# ---- cells ----


@pytest.mark.parametrize("delimiter", [b",", b";", b"\t", b"|"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_cells_and_rows_end_as_spreadsheets_write_them(delimiter: bytes, end: bytes) -> None:
    """In any locale, on any system."""
    rows = [[b"order", b"title", b"comments"], [b"1", b"A", b"a,b;c|d"], [b"2", b"B", b""]]
    rows[1][2] = b'"' + rows[1][2] + b'"'
    content = end.join(delimiter.join(row) for row in rows) + end
    assert [{"title": "A", "comments": "a,b;c|d"}, {"title": "B"}] == read(content).fields


@pytest.mark.parametrize(
    "content",
    [
        b"\n;;\norder;title\n1;2",
        b'"order";"title"\n1;2',
        b'"order";"title";"ufCrm_a,b,c"\n1;2',
        b'"order";"ufCrm_a,\n,b";title\n1;;2',
        b'"order";"ufCrm_ "",,"" b";title\n1;;2',
        b"order ; title \n1;2",
        "\u200border\u00a0;\u2060title\ufeff\n1;2".encode(),
        b'order, title\n1, "2"',
    ],
)
def test_the_header_decides_what_parts_cells(content: bytes) -> None:
    """Not an empty line before it, nor what stands in quotes; blanks around names are none."""
    found = read(content)
    assert ([{"title": "2"}], ["1"]) == (found.fields, found.ids)


@pytest.mark.parametrize("line", [b"sep=,", b"SEP=,", b'"sep=,"', b"sep=,;;;"])
def test_the_line_by_which_excel_names_the_delimiter_is_obeyed(line: bytes) -> None:
    """Whatever stands more often in the header."""
    found = read(line + b"\r\norder,title,ufCrm_a;b;c\r\n1,2;3,4\r\n")
    assert [{"title": "2;3", "ufCrm_a;b;c": "4"}] == found.fields


def test_values_stay_as_they_are() -> None:
    """Strings, digit for digit, with the line ends that a cell has."""
    found = read(b'order,title,opportunity\n1,"x\r\n\ny ""z""",007.50\n2, 5" pipe ,1\n')
    assert [
        {"title": 'x\r\n\ny "z"', "opportunity": "007.50"},
        {"title": ' 5" pipe ', "opportunity": "1"},
    ] == found.fields


def test_text_that_is_kept_from_becoming_a_number_is_that_text() -> None:
    """As programs write it for Excel; a formula stays what it is."""
    found = read(b'order;title;comments\n="007";="1-2";=1+2\n"=""008""";;="a"b\n')
    assert ["007", "008"] == found.ids
    assert [{"title": "1-2", "comments": "=1+2"}, {"comments": '="a"b'}] == found.fields


def test_a_space_behind_every_delimiter_is_no_part_of_a_cell() -> None:
    """It would hide the quotes. Where the header has none, a space is the cell's own."""
    found = read(b'order, title, comments\n1, "a, b", c \n2,d,"e"\n')
    assert [{"title": "a, b", "comments": "c "}, {"title": "d", "comments": "e"}] == found.fields
    assert [{"title": " a"}] == read(b"order,title\n1, a\n").fields


def test_an_empty_cell_is_no_field_and_missing_ones_are_empty() -> None:
    """Spreadsheets leave out the empty cells at the end of a row."""
    found = read(b"order;title;comments\n1;A;x\n2;B\n3;;x\n;;\n  ; \n\n")
    assert [{"title": "A", "comments": "x"}, {"title": "B"}, {"comments": "x"}] == found.fields
    assert [] == found.refused


def test_empty_columns_without_a_name_are_left_out() -> None:
    """At the end, where spreadsheets add them, and between."""
    found = read(b"order;;title;;\n1;;A;;\n2;;B\n3;;C;;;;;\n4;x;D\n5;;E;y\n")
    assert ["1", "2", "3"] == found.ids
    assert [
        "line 5: column 2 of the CSV has no name in the header",
        "line 6: it has 4 cells, the header has 3",
    ] == [each[:53].partition(": put quotes")[0] for each in found.refused]


# ---- rows that are no items ----


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'"x"y,2', "it is not CSV: there is text after the closing quote of a cell"),
        (b"1,2,3", "it has 3 cells, the header has 2"),
        (b",2", "it has no id in column order"),
        (b"  ,2", "it has no id in column order"),
        (b"1,a\rb", "a line end of another kind (CR) stands in it"),
        (b"1\r,a", "a line end of another kind (CR) stands in it"),
        (b"1,", "WRONG_SHAPE"),
        (b"1,\xff", "it is not UTF-8"),
        (b"1,a\0b", "it has a NUL byte"),
        (b'1,"open', "a quoted cell begins here and never ends"),
        (b"x" * (LONGEST + 1), "it is longer than a message may be"),
    ],
)
def test_a_row_that_is_no_item_is_refused_by_number(row: bytes, reason: str) -> None:
    """In words of our own."""
    [refused] = read(b"order,title\n" + row + b"\n").refused
    assert refused.startswith(f"line 2: {reason}")


def test_the_next_row_is_read_again() -> None:
    """A bad row costs no other."""
    found = read(b'order,title\n"x"y,2\n1,A\n1,2,3\n2,B\n')
    assert ["1", "2"] == found.ids


@pytest.mark.parametrize(
    ("content", "last"),
    [(b'1,"open\n2,x\n3,y\n4,z', 5), (b'1,"open\n2,"x"\n4,z', 3), (b'1,"open\n2,\xff\n4,z', 3)],
)
def test_what_an_open_quote_takes_along_is_told(content: bytes, last: int) -> None:
    """No good row goes without a word."""
    lines = Lines(iter([b"order,title\n" + content]), LONGEST)
    found = [each for each in of_csv(lines, DECODER, Table(2)) if isinstance(each, RefusedLine)]
    assert (2, last) == (found[0].place.first, found[0].place.last)


def test_a_quote_that_never_ends_is_not_held() -> None:
    """The file may be of any length."""
    chunks = iter([b'order,title\n1,"open\n', *[b"2,x\n" * 1000] * 5])
    found = [*of_csv(Lines(chunks, LONGEST), DECODER, Table(2, "order"))]
    refused = [each for each in found if isinstance(each, RefusedLine)]
    assert "it is longer than a message may be: is a closing quote missing?" == refused[0].reason
    assert 2_000 < sum(isinstance(each, Record) for each in found)


# ---- the header ----


@pytest.mark.parametrize(
    ("content", "id_column", "says"),
    [
        (b"title,title\n1,2", None, "names title more than once"),
        (b"order_no,title\n1,2", "orderno", "has no column orderno; did you mean order_no?"),
        (b"title\n1", "number", "has no column number; it has: title"),
        (b"Export;;\norder;title\n1;2", "order", "it has: Export; is this a title above"),
        (b"Export;;\norder;title\n1;2", None, "is this a title above the table? Remove it"),
        (b"\xff;title\n1;2", None, "the header of the CSV cannot be read: it is not UTF-8"),
        (b'"order\n1;2', None, "the header of the CSV cannot be read: a quoted cell"),
        (b"x" * (LONGEST + 1), None, "the header of the CSV cannot be read: it is longer"),
    ],
)
def test_a_header_that_names_no_fields_ends_it(
    content: bytes, id_column: str | None, says: str
) -> None:
    """Nothing can be made of the rows below."""
    with pytest.raises(CannotStart) as stopped:
        read(content, id_column=id_column)
    assert says in str(stopped.value)


def test_many_columns_are_not_all_shown() -> None:
    """The sentence stays one that can be read."""
    header = ",".join(f"ufCrm_{n}" for n in range(300))
    with pytest.raises(CannotStart) as stopped:
        read(header.encode(), id_column="zzz")
    assert str(stopped.value).endswith("ufCrm_9 and 290 more")


@pytest.mark.parametrize(
    ("header", "entity_type", "says"),
    [
        (
            'ID;"Название сделки";Сумма;Валюта',
            2,
            '"ID", "Название сделки" (title?), "Сумма" (opportunity?), "Валюта" (currencyId?)',
        ),
        ("Deal name,Amount", 2, '"Deal name" (title?), "Amount" (opportunity?)'),
        ("TITLE,STAGE_ID", 2, '"TITLE" (title?), "STAGE_ID" (stageId?)'),
        ("Название компании;Телефон", 4, '"Название компании" (title?), "Телефон" (PHONE?)'),
        ("Мобильный телефон", 3, '"Мобильный телефон" (PHONE.MOBILE?)'),
        ("lastname", 1032, 'a smart process 1032: "lastname"'),
    ],
)
def test_a_table_of_which_no_column_is_a_field_is_not_sent(
    header: str, entity_type: int, says: str
) -> None:
    """The portal's own export has titles instead of names: each is told with the nearest name."""
    with pytest.raises(CannotStart) as stopped:
        read(header.encode() + b"\n1;2;3;4", entity_type, None)
    assert says in str(stopped.value)
    assert "nothing was published" in str(stopped.value)


def test_columns_that_are_no_fields_are_warned_of_once() -> None:
    """Own fields are known to the portal alone; of an undocumented type nothing is known."""
    content = b"order;title;Amount;foo;ufCrm_1;UF_CRM_2;parentId7\n1;A;2;3;4;5;6\n"
    [note] = read(content).notes
    assert note == (
        'the portal ignores columns that are no fields of a deal: "Amount" (opportunity?), "foo"'
    )
    assert [] == read(content, 36).notes


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        (b"id;title", '; if "id" is the column of ids: add --id-column id'),
        (b"Order No;title", "; if \"Order No\" is the column of ids: add --id-column 'Order No'"),
        (
            b"companyId;title;orderId",
            '; if "orderId" is the column of ids: add --id-column orderId',
        ),
        (b"companyId;title", "; give every row an id, and add --id-column NAME"),
    ],
)
def test_a_table_without_an_id_column_is_warned_of(header: bytes, hint: str) -> None:
    """Once; a corrected row would be a second item."""
    found = read(header + b"\n1;A\n2;B\n", id_column=None)
    assert found.notes[-1].startswith("no --id-column: rows have no ids")
    assert found.notes[-1].endswith(hint)
    assert ([], [None, None]) == (found.warnings, found.ids)


# ---- phones and lists ----


def test_phones_and_addresses_become_what_the_portal_takes() -> None:
    """Of kind WORK, or of the kind behind the dot; several columns make one list."""
    found = read(b"order,name,PHONE,PHONE.mobile,EMAIL,WEB,IM\n1,Ada,+1,+2,a@b.c,b.c,x\n2,B\n", 3)
    assert {
        "name": "Ada",
        "PHONE": [
            {"VALUE": "+1", "VALUE_TYPE": "WORK"},
            {"VALUE": "+2", "VALUE_TYPE": "MOBILE"},
        ],
        "EMAIL": [{"VALUE": "a@b.c", "VALUE_TYPE": "WORK"}],
        "WEB": [{"VALUE": "b.c", "VALUE_TYPE": "WORK"}],
        "IM": [{"VALUE": "x", "VALUE_TYPE": "WORK"}],
    } == found.fields[0]
    assert {"name": "B"} == found.fields[1]
    assert ([], [], []) == (found.warnings, found.notes, found.refused)


@pytest.mark.parametrize(
    ("column", "cell", "values"),
    [
        ("PHONE", "+49 30 100, +49 30 101;030-1002", ["+49 30 100", "+49 30 101", "030-1002"]),
        ("PHONE", "+49 30 100, ext. 5", ["+49 30 100, ext. 5"]),
        ("EMAIL", "a@b.c; d@e.f", ["a@b.c", "d@e.f"]),
        ("EMAIL", "a@b.c\nd@e.f", ["a@b.c", "d@e.f"]),
        ("WEB", "https://a.b/?x=1,2;3", ["https://a.b/?x=1,2;3"]),
    ],
)
def test_a_cell_may_hold_several_phones(column: str, cell: str, values: list[str]) -> None:
    """Where each part is one by itself."""
    [fields] = read(f'order|name|{column}\n1|A|"{cell}"\n'.encode(), 3).fields
    assert values == [each["VALUE"] for each in fields[column]]  # type: ignore[attr-defined]


def test_a_kind_of_phone_that_the_portal_may_not_know_is_warned_of() -> None:
    """Once, with those it knows."""
    assert "PHONE.CELL: the usual ones are" in read(b"order,PHONE.CELL\n1,+1\n", 3).notes[0]


def test_a_phone_of_a_deal_is_warned_of() -> None:
    """Only leads, contacts and companies have phones."""
    assert '"PHONE"' in read(b"order,title,PHONE\n1,A,+1\n").notes[0]


def test_fields_of_several_ids_become_lists() -> None:
    """The portal takes nothing else."""
    [fields] = read(b'order,contactIds,observers\n1,"5, 6;7",8\n').fields
    assert {"contactIds": ["5", "6", "7"], "observers": ["8"]} == fields


def test_empty_parts_of_a_list_are_left_out() -> None:
    """As an empty cell is."""
    content = b'order,title,contactIds,observers,PHONE,EMAIL\n1,A,"1, 2,",",", , \n'
    assert [{"title": "A", "contactIds": ["1", "2"]}] == [*read(content, entity_type=1).fields]


def test_white_space_around_an_id_is_no_part_of_it() -> None:
    """Columns are padded so that people can read them."""
    assert ("1", "2") == tuple(read(b"order ; title\n1 ; x\n 2\xc2\xa0; y\n").ids)


def test_a_lone_end_within_quotes_is_part_of_the_cell() -> None:
    """The next row is read as ever; so is a file in which every line ends so."""
    assert ["a\rb", "c"] == [
        each["title"] for each in read(b'order,title\n1,"a\rb"\n2,c\n').fields
    ]
    assert ["1", "2"] == read(b"order,title\r1,a\r2,b\r").ids
    assert ["1", "2"] == read(b"order,title\n1,a\rb\n1,a\n2,b").ids
    assert ["1", "2"] == read(b"order,title\r\n1,a\r\r\n2,b\r\r\n").ids
    assert ["1", "2"] == read(b"order,title\n1,a\r2,b").ids
    assert ["1", "2"] == read(b'order,title\n1,a\r2,"b\nc"\n').ids


# ---- what a spreadsheet does to values ----


@pytest.mark.parametrize(
    ("header", "row", "says"),
    [
        ("order,name", "1.23457E+12,A", "shortened the number in order (1.23457E+12)"),
        ("order;PHONE", "1;7,9161E+10", "shortened the number in PHONE (7,9161E+10)"),
        ("order,name", "1,#REF!", "name is an error of the spreadsheet (#REF!)"),
        ("order,name", "1,#Н/Д", "name is an error of the spreadsheet (#Н/Д)"),  # noqa: RUF001
        ("order,name", "1,########", "name is an error of the spreadsheet"),
    ],
)
def test_a_value_that_a_spreadsheet_has_spoilt_is_warned_of(
    header: str, row: str, says: str
) -> None:
    """With its line; the row is sent."""
    found = read(f"{header}\n{row}\n".encode(), 3)
    assert 1 == len(found.fields)
    assert found.warnings[0].startswith("line 2: ")
    assert says in found.warnings[0]


@pytest.mark.parametrize(
    ("column", "cell", "kept"),
    [
        ("opportunity", "1200,50", "keeps 1200"),
        ("opportunity", "1 200,50", "keeps 1:"),
        ("opportunity", "12 pcs", "keeps 12"),
        ("assignedById", "Lee", "assignedById"),
    ],
)
def test_a_number_in_local_notation_is_warned_of(column: str, cell: str, kept: str) -> None:
    """With its line, what the portal would keep, and how to write it; the row is sent."""
    found = read(f"order;title;{column}\no-0;A;1\no-1;B;{cell}\n".encode())
    [warning] = found.warnings
    assert warning.startswith(f"line 3: {column} ")
    assert kept in warning
    assert cell == found.fields[1][column]


@pytest.mark.parametrize("cell", ["31.01.2026", "2026-01-31", "2026-01-31T10:00:00"])
def test_a_date_that_the_portal_reads_rightly_is_not_complained_of(cell: str) -> None:
    """Spreadsheets write it as their locale does."""
    assert [] == read(f"order;title;begindate\no-1;A;{cell}\n".encode()).warnings


# ---- columns that refer to other events ----


def links_in(content: bytes) -> list[object]:
    """Return the links of each row."""
    lines = Lines(iter([content]), LONGEST)
    found = of_csv(lines, DECODER, Table(2, "order"))
    return [json.loads(each.body).get("links") for each in found if isinstance(each, Record)]


@pytest.mark.parametrize("arrow", ["->", " -> ", "→"])
def test_a_column_with_an_arrow_holds_the_ids_of_other_events(arrow: str) -> None:
    """One, or several where the field takes several; an empty cell refers to nothing."""
    content = (
        f"order;title;contactId{arrow}3;contactIds{arrow}3;ufCrm_car{arrow}128\n"
        '1;A; customer 7 ;"a, b c\n;d";\n2;B;;  ;car-1\n3;C\n'
    )
    assert [
        {
            "contactId": {"entityTypeId": 3, "id": "customer 7"},
            "contactIds": [{"entityTypeId": 3, "id": each} for each in ("a", "b c", "d")],
        },
        {"ufCrm_car": {"entityTypeId": 128, "id": "car-1"}},
        None,
    ] == links_in(content.encode())


def test_a_list_may_have_items_of_several_types() -> None:
    """Each from its column; of a field that takes one item only one column may be filled in."""
    content = (
        b"order;title;contactIds->3;contactIds->1;dealId->2;dealId->3\n1;A;a;b;c\n2;B;;;c;d\n"
    )
    assert [
        {
            "contactIds": [{"entityTypeId": 3, "id": "a"}, {"entityTypeId": 1, "id": "b"}],
            "dealId": {"entityTypeId": 2, "id": "c"},
        }
    ] == links_in(content)
    assert ["line 3: two columns set dealId: fill in only one of them"] == read(content).refused


@pytest.mark.parametrize("name", ["contactId->", "contactId->x", "->3", "a->0", "a->99999999999"])
def test_half_an_arrow_is_told_before_anything_is_sent(name: str) -> None:
    """With an example."""
    with pytest.raises(CannotStart, match="such as contactId->3"):
        read(f"order;title;{name}\n1;A;x\n".encode())


def test_what_is_said_of_fields_is_said_of_those_that_refer() -> None:
    """A misspelt name, a number that a spreadsheet has shortened, a value beside the reference."""
    found = read(b"order;title;contactID->3\n1;A;1.23E+12\n")
    assert '"contactID->3" (contactId?)' in found.notes[0]
    assert "shortened the number in contactID->3" in found.warnings[0]
    both = read(b"order;title;contactId;contactId->3\n1;A;5;x\n")
    assert "contactId" in both.refused[0]
    assert "is in fields and in links" in both.refused[0]


def test_a_column_that_refers_is_not_taken_for_the_id_of_its_rows() -> None:
    """It is that of others."""
    notes = read(b"title;contactId->3\nA;x\n", id_column=None).notes
    assert any("no --id-column" in note and "contactId" not in note for note in notes)
