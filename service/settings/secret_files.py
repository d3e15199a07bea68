"""Reads secrets that were given as files, at the start and again when a file changes."""

import os
import select
import time
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

MAX_BYTES = 65_536
MARK = "\ufeff"
PIPE_SECONDS = 30.0
"""How long a pipe is waited for, such as bash makes for `<(command)`. Files are there at once."""


class Unreadable(Exception):  # noqa: N818 - reads as what it says
    """A file holds no value that could be used; the text says why, without the value."""


class News(NamedTuple):
    """What a file that changed holds now; `flaw` says why that cannot be used."""

    setting: str
    text: str
    flaw: str = ""


def read_value(path: Path) -> str:
    """Return the one line that a file holds; raises Unreadable.

    Editors and shells add what is no part of it: byte order marks, line ends of either kind, white
    space around it; PowerShell writes UTF-16.
    """
    try:
        content = _content(path)
        encoding = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8"
        text = content.decode(encoding)
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from None
    except ValueError:
        raise Unreadable("not a text file") from None
    text = text.strip().strip(MARK).strip()
    if len(content) > MAX_BYTES:
        raise Unreadable("too large for a value")
    if not text.isprintable():
        raise Unreadable("it must hold one line with only the value")
    return text


def _content(path: Path) -> bytes:
    """Return what a file or a pipe holds, one byte too much at most; may raise OSError."""
    content, until = b"", time.monotonic() + PIPE_SECONDS
    # Opening a pipe to which nobody writes would never end.
    with open(path, "rb", buffering=0, opener=_at_once) as file:
        while len(content) <= MAX_BYTES:
            ready, _, _ = select.select([file], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise Unreadable(
                    f"nothing came from this pipe within {PIPE_SECONDS:g} s: name a file"
                )
            piece = file.read(MAX_BYTES + 1 - len(content))
            if piece == b"":
                break
            content += piece or b""
    return content


def _at_once(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)


class SecretFiles:
    """Follows the files of some settings. What matters is their content, not how it came there.

    Kubernetes swaps a link to a folder, others rename or write in place.
    """

    def __init__(self, settings: tuple[str, ...], environ: Mapping[str, str] = os.environ) -> None:
        """Follow those of the settings, by their environment names, that were given as files."""
        given = {name: environ.get(f"{name}_FILE", "").strip() for name in settings}
        self._paths = {name: Path(path) for name, path in given.items() if path}
        self._known: dict[str, News] = {}

    def __bool__(self) -> bool:
        return bool(self._paths)

    def news(self) -> list[News]:
        """Return what changed since it was read last; the first time everything. It blocks."""
        found = [self._read(name, path) for name, path in self._paths.items()]
        fresh = [each for each in found if each != self._known.get(each.setting)]
        self._known |= {each.setting: each for each in fresh}
        return fresh

    def _read(self, name: str, path: Path) -> News:
        try:
            if not path.is_file():
                return News(name, "", "it does not exist, or is not a file")
            text = read_value(path)
        except Unreadable as reason:
            return News(name, "", str(reason))
        except OSError as error:
            return News(name, "", error.strerror or type(error).__name__)
        return News(name, text, "" if text else "it is empty")
