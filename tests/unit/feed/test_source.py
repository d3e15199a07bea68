"""Proves how bytes become lines, whatever they come from."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.feed.source import CHUNK, Line, lines, opened, size_of
from service.parts import CannotStart


async def collected(found: AsyncIterator[Line]) -> list[tuple[int, bytes | None, int]]:
    """Return every line as number, text and size."""
    return [(line.number, line.text, line.size) async for line in found]


async def of(
    file: Path, content: bytes, longest: int = 100
) -> list[tuple[int, bytes | None, int]]:
    """Return the lines of a file."""
    await asyncio.to_thread(file.write_bytes, content)
    with opened(str(file)) as descriptor:
        assert len(content) == size_of(descriptor)
        return await collected(lines(descriptor, longest, asyncio.Event()))


async def test_lines_end_as_they_do_on_any_system(tmp_path: Path) -> None:
    """The last one needs no end; sizes add up to the file."""
    expected = [(1, b"a", 3), (2, b"", 1), (3, b"b", 1)]
    assert expected == await of(tmp_path / "f", b"a\r\n\nb")


async def test_an_empty_file_has_no_line(tmp_path: Path) -> None:
    """Nor has it an empty one."""
    assert [] == await of(tmp_path / "f", b"")


async def test_a_line_that_is_too_long_is_named_and_not_held(tmp_path: Path) -> None:
    """Its text is forgotten, its number and size are not; the next line is whole."""
    long = b"x" * (2 * CHUNK)
    expected = [(1, b"a", 2), (2, None, len(long) + 1), (3, b"b", 2)]
    assert expected == await of(tmp_path / "f", b"a\n" + long + b"\nb\n")


async def test_lines_cross_chunks(tmp_path: Path) -> None:
    """A line that begins in one chunk and ends in another is one line."""
    long = b"y" * (CHUNK + 5)
    found = await of(tmp_path / "f", long + b"\nz\n", longest=2 * CHUNK)
    assert [(1, long, len(long) + 1), (2, b"z", 2)] == found


async def test_a_pipe_is_read_as_it_comes() -> None:
    """Nobody knows how long it is."""
    reader, writer = os.pipe()
    try:
        found = lines(reader, 100, asyncio.Event())
        os.write(writer, b"a\nb")
        assert Line(1, b"a", 2) == await anext(found)
        os.write(writer, b"c\n")
        assert Line(2, b"bc", 3) == await anext(found)
        assert size_of(reader) is None
    finally:
        os.close(writer)
        os.close(reader)


async def test_a_silent_pipe_does_not_hold_up_a_stop() -> None:
    """Whoever presses Ctrl-C need not wait for the next line."""
    reader, writer = os.pipe()
    stop = asyncio.Event()
    try:
        reading = asyncio.create_task(collected(lines(reader, 100, stop)))
        await asyncio.sleep(0)
        stop.set()
        assert [] == await reading
    finally:
        os.close(writer)
        os.close(reader)


@pytest.mark.parametrize("name", ["/nowhere/file", "/tmp", "a\0b"])
def test_what_cannot_be_read_is_named(name: str) -> None:
    """With the reason."""
    with pytest.raises(CannotStart, match=r"cannot be read|is a folder"), opened(name):
        pass
