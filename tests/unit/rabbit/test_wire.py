"""Wire: whatever a publisher may write is read, and goes on byte for byte where it can."""

import random
import struct
from datetime import UTC, datetime

import pamqp.frame
import pytest
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from service.rabbit.copies import DROPPED_BYTES, MAX_HEADER_BYTES, Copy, shortened
from service.rabbit.wire import UNREADABLE, Escaped, Received, text, unmarshal
from tests.support.cases import failing
from tests.support.clocks import least_seconds
from tests.support.raw import long, properties, short, string, table
from tests.support.wild import Wild, deep, many

LIBRARY = pamqp.frame.unmarshal
SECONDS_PER_MEGABYTE = 1.0


def frame(written: bytes) -> bytes:
    """Return the frame that brings properties."""
    payload = struct.pack(">HHQ", 60, 0, 0) + written
    return struct.pack(">BHI", 2, 1, len(payload)) + payload + b"\xce"


def read(**written: bytes) -> Received:
    """Read properties as they come from the broker."""
    data = frame(properties(written))
    used, channel, header = unmarshal(data)
    assert (len(data), 1) == (used, channel)
    assert isinstance(header, ContentHeader)
    assert isinstance(header.properties, Received)
    return header.properties


def again(copy: Copy) -> Basic.Properties:
    """Return what a common client library reads of a copy; it must not fail."""
    _, _, header = LIBRARY(frame(copy.marshal()))
    assert isinstance(header, ContentHeader)
    assert header.properties is not None
    return header.properties


def copy_of(found: Basic.Properties, *, readable: bool) -> Copy:
    """Return a copy with all headers."""
    copy = Copy(found, "m", readable=readable)
    copy.add_theirs(lambda _: True)
    return copy


def test_common_properties_are_read_as_the_library_reads_them() -> None:
    """Every property, and every kind of value that both know."""
    moment = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    original = Basic.Properties(
        content_type="application/json",
        content_encoding="gzip",
        headers={
            "text": "é",
            "n": 5,
            "long": 2**40,
            "small": -3,
            "yes": True,
            "nothing": None,
            "time": moment,
            "list": [1, {"in": "side"}],
            "bytes": bytearray(b"\xff"),
        },
        delivery_mode=1,
        priority=7,
        correlation_id="c",
        reply_to="r",
        expiration="1000",
        message_id="m",
        timestamp=moment,
        message_type="t",
        user_id="guest",
        app_id="shop",
    )
    _, _, header = unmarshal(frame(original.marshal()))
    assert isinstance(header, ContentHeader)
    assert original == header.properties


@pytest.mark.parametrize("number", [1_764_364_800_000_000, 2**64 - 1, 2**63])
def test_a_time_out_of_range_is_no_time(number: int) -> None:
    """It is named, and a dead letter goes without it; an exact copy has it as it came."""
    found = read(timestamp=struct.pack(">Q", number), type=short(b"order"))
    assert (None, "order", ["timestamp"]) == (found.timestamp, found.message_type, found.bent)
    letter = copy_of(found, readable=True)
    assert {"import_dropped_headers": "timestamp"} == letter.headers
    assert (None, "order") == (again(letter).timestamp, again(letter).message_type)
    exact = copy_of(found, readable=False)
    assert struct.pack(">Q", number) in exact.marshal()


def test_a_header_of_the_year_one_is_a_number() -> None:
    """As clients in Go write a time that is not set."""
    zero = struct.pack(">q", -62_135_596_800)
    found = read(headers=table((b"publishedAt", b"T" + zero), (b"tenant", string(b"north"))))
    assert {"publishedAt": -62_135_596_800, "tenant": "north"} == found.headers
    letter = again(copy_of(found, readable=True)).headers or {}
    assert ("north", "publishedAt") == (letter["tenant"], letter["import_dropped_headers"])
    assert zero in copy_of(found, readable=False).marshal()


def test_text_that_is_not_utf8_is_escaped() -> None:
    """Readable, told apart from others, named in the dead letter, exact where it goes back."""
    found = read(correlation_id=short(b"\x8f\xc3a"), type=short(b"Best\xe4tigung"))
    assert {str} == {type(found.correlation_id), type(found.message_type)}
    assert ("\\x8f\\xc3a", "Best\\xe4tigung") == (found.correlation_id, found.message_type)
    letter = again(copy_of(found, readable=True))
    assert ("\\x8f\\xc3a", "Best\\xe4tigung") == (letter.correlation_id, letter.message_type)
    assert {"import_dropped_headers": "correlation_id, type"} == letter.headers
    assert b"Best\xe4tigung" in copy_of(found, readable=False).marshal()


def test_escaped_text_still_fits_its_property() -> None:
    """Four characters stand for one strange byte; a property holds 255."""
    found = read(app_id=short(b"\xff" * 255))
    assert 1020 == len(found.app_id or "")
    assert 255 == len(again(copy_of(found, readable=True)).app_id or "")


def test_a_name_that_is_not_utf8_hides_no_other_header() -> None:
    """Two that differ in a strange byte stay two."""
    found = read(headers=table((b"\xff", string(b"1")), (b"\xfe", string(b"2")), (b"c", b"t\1")))
    assert {"\\xff": "1", "\\xfe": "2", "c": True} == found.headers
    assert {str} == {type(name) for name in found.headers or {}}
    letter = again(copy_of(found, readable=True)).headers or {}
    assert ("1", "2", True) == (letter["\\xff"], letter["\\xfe"], letter["c"])
    assert "\\xff, \\xfe" == letter["import_dropped_headers"]


def test_values_keep_their_bytes() -> None:
    """A double is not made a float, a byte string no other kind, a long name not cut."""
    entries = [
        (b"double", b"d" + struct.pack(">d", 1e300)),
        (b"bytes", string(b"\xff\xfe")),
        (b"n" * 200, b"l" + struct.pack(">q", 1)),
        (b"twice", string(b"first")),
        (b"twice", string(b"second")),
        (b"milliseconds", b"T" + struct.pack(">Q", 1_764_364_800_123)),
    ]
    found = read(headers=table(*entries))
    for readable in (True, False):
        copy = copy_of(found, readable=readable)
        assert table(*entries) in copy.marshal()
        assert "import_dropped_headers" not in (again(copy).headers or {})
    assert "first" == (found.headers or {})["twice"]


@pytest.mark.parametrize("arrays", [True, False])
@pytest.mark.parametrize("levels", [63, 64, 1000, 20_000])
def test_nesting_never_costs_the_reader(levels: int, *, arrays: bool) -> None:
    """Beyond 64 levels it is not read; an exact copy has it, a dead letter names it."""
    written = deep(levels, arrays=arrays)
    found = read(headers=written, app_id=short(b"shop"))
    assert "shop" == found.app_id
    assert written in copy_of(found, readable=False).marshal()
    letter = again(copy_of(found, readable=True)).headers or {}
    assert (levels >= 64) == ("import_dropped_headers" in letter)


def test_an_unknown_kind_of_value_ends_the_headers_only() -> None:
    """Its length is not known: what follows stays bytes, what came before is read."""
    rest = short(b"odd") + b"?what" + short(b"after") + b"V"
    written = long(short(b"before") + string(b"x") + rest)
    found = read(headers=written, app_id=short(b"shop"))
    assert ({"before": "x", UNREADABLE: None}, "shop") == (found.headers, found.app_id)
    assert written in copy_of(found, readable=False).marshal()
    letter = again(copy_of(found, readable=True)).headers or {}
    assert ("x", UNREADABLE) == (letter["before"], letter["import_dropped_headers"])


def test_many_headers_are_read_in_time() -> None:
    """The smallest there are, as many as a frame holds."""
    written = many(65_000)

    def work() -> None:
        copy = copy_of(read(headers=written), readable=True)
        copy.fit(lambda _: False)
        assert len(copy.marshal()) < MAX_HEADER_BYTES + 2_000

    assert least_seconds(work, enough=SECONDS_PER_MEGABYTE) < SECONDS_PER_MEGABYTE


def test_many_headers_that_cannot_be_kept_are_dropped_in_time() -> None:
    """Each with a name of its own, none readable to others."""
    written = table(*((b"\xff%x" % n, b"V") for n in range(18_000)))

    def work() -> None:
        copy = copy_of(read(headers=written), readable=True)
        copy.fit(lambda _: False)
        assert len(str((again(copy).headers or {})["import_dropped_headers"])) <= DROPPED_BYTES

    assert least_seconds(work, enough=SECONDS_PER_MEGABYTE) < SECONDS_PER_MEGABYTE


def test_whatever_may_be_written_is_read_and_goes_on() -> None:
    """A dead letter is readable to a common client, a copy that goes back is exact."""

    def check(seed: int) -> None:
        written = Wild(seed).properties()
        found = read(**written)
        again(copy_of(found, readable=True))
        exact = copy_of(found, readable=False)
        expected = {**written, "delivery_mode": b"\x02", "message_id": short(b"m")}
        expected.setdefault("headers", table())
        assert properties(expected) == exact.marshal()

    assert {} == failing(check, range(400))


def test_no_bytes_at_all_make_the_reader_fail() -> None:
    """Not even such as no broker lets through: cut, stretched, exchanged."""

    def check(seed: int) -> None:
        rng = random.Random(seed)
        written = bytearray(properties(Wild(seed).properties()))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(2, len(written) + 1)
            written[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        found = unmarshal(frame(bytes(written)))[2]
        assert isinstance(found, ContentHeader)
        again(copy_of(found.properties, readable=True))

    assert {} == failing(check, range(200))


def test_other_frames_are_the_librarys() -> None:
    """Heartbeats, methods and bodies are read by it; a broken end is its to refuse."""
    assert isinstance(unmarshal(Heartbeat().marshal())[2], Heartbeat)
    with pytest.raises(pamqp.exceptions.UnmarshalingException):
        unmarshal(frame(properties({}))[:-1] + b"x")


@pytest.mark.parametrize("written", [b"", b"plain", "é".encode(), b"\xff", b"\\xff"])
def test_only_what_is_not_utf8_is_escaped(written: bytes) -> None:
    """Text as it came is just text."""
    found = text(written)
    assert isinstance(found, Escaped) == (written == b"\xff")


def test_text_is_cut_between_characters() -> None:
    """Half a character is none, and what cannot be written is replaced."""
    assert ("éé", "?", "abc") == (shortened("ééé", 5), shortened("\ud800", 9), shortened("abc", 3))
