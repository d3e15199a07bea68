"""Proves how text is cut into lines, in chunks of any size."""

import pytest

from service.commands.publish.lines import Line, Lines

BOM = b"\xef\xbb\xbf"


def cut(content: bytes, size: int, longest: int = 100) -> list[Line]:
    """Return the lines of a text that comes in chunks of a size."""
    chunks = (content[at : at + size] for at in range(0, len(content), size))
    return [*Lines(chunks, longest)]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_lines_end_as_they_do_on_any_system(size: int) -> None:
    """LF, CRLF, CR; the last one needs no end, and the text of a line is whole."""
    assert [
        Line(1, b"a", b"\r\n"),
        Line(2, b"", b"\n"),
        Line(3, b"bc", b"\r"),
        Line(4, b"", b"\r"),
        Line(5, b"d", b""),
    ] == cut(b"a\r\n\nbc\r\rd", size)
    assert [Line(1, b"a", b"\r")] == cut(b"a\r", size)
    assert [Line(1, b"a", b"\r\n")] == cut(b"a\r\n\x1a", size)
    assert [Line(1, b"\x1a", b"\n"), Line(2, b"b\x1a", b"")] == cut(b"\x1a\nb\x1a", size)


def test_an_empty_text_has_no_line() -> None:
    """Nor has it an empty one."""
    assert [] == cut(b"", 1)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_byte_order_mark_is_no_text_but_is_told(size: int) -> None:
    """Also in the middle of a file, and twice."""
    lines = cut(BOM + b"a\n" + BOM + BOM + b"b\nc" + BOM, size)
    assert [(b"a", True), (b"b", True), (b"c" + BOM, False)] == [
        (line.text, line.is_marked) for line in lines
    ]


def test_a_line_of_nothing_but_marks_is_read_in_time() -> None:
    """The time grows with its length, not with the square."""
    (line,) = cut(BOM * 600_000, 65_536, 2_000_000)
    assert (b"", True) == (line.text, line.is_marked)


@pytest.mark.parametrize("size", [1, 50, 1000])
def test_a_line_that_is_too_long_is_named_and_not_held(size: int) -> None:
    """The next one is whole and has its number."""
    lines = Lines(iter([b"a\n", *[b"x" * size] * 200, b"\nb\n"]), 100)
    assert [Line(1, b"a"), Line(2, None), Line(3, b"b")] == [*lines]


def test_a_line_can_be_put_back() -> None:
    """So that a header can be looked at before it is read."""
    lines = Lines(iter([b"a\nb\n"]), 100)
    assert Line(1, b"a") == lines.peek()
    lines.put_back(next(lines), next(lines))
    assert [b"a", b"b"] == [line.text for line in lines]
    assert lines.peek() is None
