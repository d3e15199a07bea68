"""Chooses how a file is read: its name, its first bytes and the command line say so.

What it yields is all that `publish` knows of a file, so another command can judge the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from service.commands.publish.csv_events import of_csv
from service.commands.publish.formats import BOM
from service.commands.publish.header import Table
from service.commands.publish.json_lines import of_json_lines
from service.commands.publish.json_list import of_json_list
from service.commands.publish.lines import Lines
from service.commands.publish.records import Note, Read
from service.commands.publish.source import Source
from service.commands.publish.text import plain_text
from service.factories import CannotStart
from service.rabbit.decoding import Decoder

_BLANK = b" \t\r\n" + BOM
_CSV_NAMES = ".csv", ".tsv", ".tab"
_DELIMITERS = b",;\t|"
_MAX_BLANK = 65_536

Form = Literal["csv", "lines", "list"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says of the file."""

    form: str = "auto"
    entity_type: int | None = None
    id_column: str | None = None
    encoding: str | None = None


def reads(source: Source, wanted: Wanted, decoder: Decoder, longest: int) -> Iterator[Read]:
    """Yield every item event of a file, and what is none; no line is longer than `longest` bytes.

    Raises CannotStart for a file of which nothing can be read, or whose rest cannot be.
    """
    head, rest = _begun(plain_text(source.chunks(), source.name, wanted.encoding))
    chunks = chain([head], rest)
    match _form(source.name, head.lstrip(_BLANK), wanted):
        case "csv":
            if wanted.entity_type is None:
                raise CannotStart(
                    "a CSV needs --entity-type: the entity type of its rows, 2 for deals"
                )
            table = Table(wanted.entity_type, wanted.id_column)
            yield from of_csv(Lines(chunks, longest), decoder, table)
        case "list":
            yield from of_json_list(chunks, longest, decoder, wanted.entity_type)
        case "lines":
            if head.strip(_BLANK) and not head.lstrip(_BLANK).startswith(b"{"):
                yield Note("this is not JSON; if it is CSV, add --format csv --entity-type N")
            yield from of_json_lines(Lines(chunks, longest), decoder, wanted.entity_type)


def _form(name: str, head: bytes, wanted: Wanted) -> Form:
    """Return what a file is; for `auto`, its first character says more than its name."""
    is_json = head.startswith((b"{", b"["))
    is_named = name.lower().removesuffix(".gz").endswith(_CSV_NAMES)
    line = head.splitlines()[0] if head else b""
    looks_like_csv = wanted.entity_type is not None and any(each in _DELIMITERS for each in line)
    is_likely = is_named or wanted.id_column is not None or looks_like_csv
    if wanted.form == "csv" or (wanted.form == "auto" and not is_json and is_likely):
        return "csv"
    if wanted.id_column is not None:
        raise CannotStart(
            "--id-column is for CSV; in JSON, each event holds its own id"
            if is_json
            else "--id-column is for CSV: add --format csv"
        )
    return "list" if head.startswith(b"[") else "lines"


def _begun(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the beginning of a text, up to something to see, and what follows."""
    head = b""
    for chunk in chunks:
        head += chunk
        if head.strip(_BLANK) or len(head) > _MAX_BLANK:
            break
    return head, chunks
