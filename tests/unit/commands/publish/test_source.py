"""Proves how bytes are read, whatever they come from."""

import os
import threading
from pathlib import Path

import pytest

from service.commands.publish.source import CHUNK, Source, Stopped, opened, size_of
from service.factories import CannotStart


def test_a_file_is_read_in_chunks_and_the_position_is_known(tmp_path: Path) -> None:
    """Never as a whole."""
    file = tmp_path / "f"
    file.write_bytes(b"x" * (2 * CHUNK + 5))
    with opened(str(file)) as descriptor:
        source = Source("f", descriptor, lambda: False)
        assert [CHUNK, CHUNK, 5] == [len(chunk) for chunk in source.chunks()]
        assert source.position == size_of(descriptor)


def test_a_pipe_is_read_as_it_comes() -> None:
    """Nobody knows how long it is."""
    reader, writer = os.pipe()
    try:
        chunks = Source("pipe", reader, lambda: False).chunks()
        for text in (b"a\nb", b"c\n"):
            os.write(writer, text)
            assert text == next(chunks)
        assert size_of(reader) is None
    finally:
        os.close(writer)
        os.close(reader)


def test_a_reader_that_waits_can_be_stopped() -> None:
    """Stopped is not the end: what was begun is not judged as if it were whole."""
    reader, writer = os.pipe()
    stop = threading.Event()
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    try:
        with pytest.raises(Stopped):
            next(Source("pipe", reader, stop.is_set).chunks())
    finally:
        timer.join()
        os.close(writer)
        os.close(reader)


def test_what_cannot_be_read_any_more_is_named(tmp_path: Path) -> None:
    """With the reason of the system, not with a traceback."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(CannotStart, match="f cannot be read: Is a directory"):
            next(Source("f", descriptor, lambda: False).chunks())
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("name", ["/nowhere/file", "/tmp", "a\0b"])
def test_what_cannot_be_opened_is_named(name: str) -> None:
    """With the reason."""
    with pytest.raises(CannotStart, match=r"cannot be read|is a folder"), opened(name):
        pass
