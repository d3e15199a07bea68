"""Recognises by its first bytes what a file is, and says what to do with what is no text."""

import re

GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
_SAMPLE = 65_536
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_CSV = "open it and save it as 'CSV UTF-8'"
_UNPACK = "unpack it first"
_ZIPPED = (
    (b"xl/", f"an Excel workbook: {_CSV}"),
    (b"opendocument.spreadsheet", f"a LibreOffice workbook: {_CSV}"),
    (b"word/", "a Word document: put the items into a table and save that as 'CSV UTF-8'"),
    (b".iwa", "a Numbers document: export it as CSV, with the encoding UTF-8"),
    (b"[Content_Types].xml", f"an Office document: {_CSV}"),
)
_KINDS = (
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        f"an old Excel workbook (or another Office file): {_CSV}",
    ),
    (b"%PDF", "a PDF: ask for the data as CSV or JSON"),
    (b"{\\rtf", "a rich text document: save it as plain text in UTF-8"),
    (b"BZh", f"packed with bzip2: {_UNPACK}: bzip2 -dc FILE | crm-importer publish -"),
    (b"\xfd7zXZ\x00", f"packed with xz: {_UNPACK}: xz -dc FILE | crm-importer publish -"),
    (b"\x28\xb5\x2f\xfd", f"packed with zstd: {_UNPACK}: zstd -dc FILE | crm-importer publish -"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive: {_UNPACK}, then publish the files in it"),
    (b"Rar!", f"a rar archive: {_UNPACK}, then publish the files in it"),
    (b"PAR1", "a Parquet file: export it as CSV or JSON Lines"),
    (b"Obj\x01", "an Avro file: export it as CSV or JSON Lines"),
    (b"SQLite format 3", "an SQLite database: export a table of it as CSV"),
    (b"\x89PNG", "a picture: ask for the data as CSV or JSON"),
    (b"\xff\xd8\xff", "a picture: ask for the data as CSV or JSON"),
    (b"GIF8", "a picture: ask for the data as CSV or JSON"),
    (b"\x7fELF", "a program: name the file with the item events"),
)
_PAGE = re.compile(rb"\s*<(?:!doctype\s|html|\?xml|head|meta|table|style)", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_FEW = 4
_CYRILLIC = "\N{CYRILLIC CAPITAL LETTER A}", "\N{CYRILLIC SMALL LETTER YA}"
_FOREIGN_LINES = 3
_FIRST_OTHER, _LAST_DOS = 0x80, 0xAF
_DOS_WORD = re.compile(rb"[\x80-\xaf\xe0-\xef]{3}")
"""A word of code page 866 ("CSV (MS-DOS)"): no other Cyrillic encoding has most letters below
0xB0."""
_UNPRINTED = "\r\n\t\f\xa0\xad\u200b\u2028\ufeff"


def not_text(head: bytes) -> str | None:
    """Return what a file is that holds no lines of text, and what to do; None for text."""
    head = head[:_SAMPLE]
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return next(
            (kind for mark, kind in _ZIPPED if mark in head),
            f"a zip archive: {_UNPACK}: unzip -p FILE | crm-importer publish -",
        )
    for mark, kind in _KINDS:
        if head.startswith(mark):
            return kind
    if head[257:262] == b"ustar":
        return f"a tar archive: {_UNPACK}: tar -xOf FILE | crm-importer publish -"
    plain = head.removeprefix(BOM)
    if _PAGE.match(plain):
        return f"a page of HTML or XML (some programs name such a file .xls): {_CSV}"
    return None


def is_binary(head: bytes) -> bool:
    """Tell whether more than one byte in twenty is a control character that no text has."""
    head = head[:_SAMPLE]
    return len(_CONTROL.findall(head)) > max(_FEW, len(head) // 20)


def wide_encoding(head: bytes) -> str | None:
    """Return the name of UTF-16 or UTF-32 where a file is that, with its mark or without."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if _is_damaged_text(head[:_SAMPLE]):
        return None
    head = head[: min(_SAMPLE, len(head) - len(head) % 2)]
    for zeros, name in ((head[1::2], "utf-16-le"), (head[::2], "utf-16-be")):
        if zeros.count(0) * 20 > len(zeros) and _reads_as(head, name):
            return name
    return None


def _is_damaged_text(sample: bytes) -> bool:
    """Tell whether a few NUL bytes stand in what is plain text without them."""
    rest = sample.replace(b"\0", b"")
    return len(rest) * 4 > len(sample) * 3 and not _CONTROL.search(rest) and _is_utf_8(rest)


def foreign_encoding(head: bytes) -> str | None:
    """Return the likely encoding of a file of which no line with other letters is UTF-8.

    A few such lines may be damaged ones: those are refused by number.
    """
    lines = [line for line in head[:_SAMPLE].splitlines() if not line.isascii()]
    if len(lines) < _FOREIGN_LINES or any(map(_is_utf_8, lines)):
        return None
    return likely(b"\n".join(lines))


def likely(text: bytes) -> str:
    """Return which of the usual one-byte encodings a text that is not UTF-8 is most likely in."""
    other = [each for each in text if each >= _FIRST_OTHER]
    dos = sum(each <= _LAST_DOS for each in other)
    if dos * 5 > len(other) * 2 and _DOS_WORD.search(text):
        return "cp866"
    letters = [each for each in text.decode("cp1251", "replace") if each > "\x7f"]
    first, last = _CYRILLIC
    cyrillic = sum(first <= each <= last for each in letters)
    # Western text has its few marked letters between plain ones; Cyrillic words have no others.
    plain = len(re.findall(rb"[A-Za-z][\xc0-\xff]|[\xc0-\xff][A-Za-z]", text))
    is_cyrillic = cyrillic * 2 > len(letters) and plain * 3 < cyrillic
    return "windows-1251" if is_cyrillic else "windows-1252"


def _is_utf_8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _reads_as(sample: bytes, encoding: str) -> bool:
    """Tell whether a sample, perhaps cut within a character, reads as text."""
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 2:
            return False
        text = sample[: error.start].decode(encoding)
    odd = sum(not each.isprintable() and each not in _UNPRINTED for each in text)
    return odd * 100 <= len(text)
