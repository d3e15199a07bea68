"""Secrets given as files: whatever an editor or a shell adds is no part of them."""

import os
from pathlib import Path

import pytest

from service.settings import secret_files
from service.settings.secret_files import News, SecretFiles, Unreadable, read_value

URL = "https://portal.example/rest/1/abcdef123456/"
NAME = "IMPORTER_BITRIX__WEBHOOK_URL"


@pytest.mark.parametrize(
    "content",
    [
        URL.encode(),
        f"{URL}\n".encode(),
        f"{URL}\r\n".encode(),
        f"  \t{URL} \r\n\n".encode(),
        f"\ufeff{URL}\r\n".encode(),
        f"\ufeff\n{URL}".encode(),
        URL.encode("utf-16"),
        f"{URL}\r\n".encode("utf-16"),
        b"\xfe\xff" + URL.encode("utf-16-be"),
    ],
)
def test_what_an_editor_or_a_shell_adds_is_left_out(tmp_path: Path, content: bytes) -> None:
    """Byte order marks, line ends, white space, the UTF-16 of PowerShell."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert read_value(file) == URL


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\x00\xff", "not a text file"),
        (b"one\ntwo\n", "one line"),
        (b"one\x00", "one line"),
        ("one\u200btwo".encode(), "one line"),
        (b"x" * 70_000, "too large"),
    ],
)
def test_what_is_no_value_is_named_without_being_shown(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    """Several lines, control and invisible characters, other encodings, whole files."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(Unreadable, match=reason) as told:
        read_value(file)
    assert "one\n" not in str(told.value)


def test_a_folder_and_nothing_are_named(tmp_path: Path) -> None:
    """In the system's words."""
    for path, reason in ((tmp_path, "directory"), (tmp_path / "absent", "No such file")):
        with pytest.raises(Unreadable, match=reason):
            read_value(path)


def test_a_pipe_is_read_and_one_to_which_nobody_writes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As bash makes one for `<(command)`; the start does not wait for ever."""
    reading, writing = os.pipe()
    os.write(writing, f"{URL}\n".encode())
    os.close(writing)
    assert URL == read_value(Path(f"/dev/fd/{reading}"))
    os.close(reading)
    monkeypatch.setattr(secret_files, "PIPE_SECONDS", 0.01)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unreadable, match="nothing came from this pipe"):
        read_value(tmp_path / "pipe")


def mounted(folder: Path, version: str, value: str) -> None:
    """Change a secret as Kubernetes does: a new folder, and the link to it swapped."""
    (folder / version).mkdir()
    (folder / version / "url").write_text(value)
    (folder / "..new").symlink_to(version)
    (folder / "..new").replace(folder / "..data")
    if not (folder / "url").exists():
        (folder / "url").symlink_to("..data/url")


def test_a_change_is_noticed_once_however_it_comes(tmp_path: Path) -> None:
    """A swapped link to a folder, a rename, writing in place; a gap is told and ends."""
    mounted(tmp_path, "..1", "a")
    files = SecretFiles((NAME, "IMPORTER_RABBIT__URL"), {f"{NAME}_FILE": str(tmp_path / "url")})
    assert files
    assert files.news() == [News(NAME, "a")]
    assert files.news() == []
    mounted(tmp_path, "..2", "b\n")
    assert files.news() == [News(NAME, "b")]
    (tmp_path / "..2" / "url").write_text("c")
    assert files.news() == [News(NAME, "c")]
    (tmp_path / "..2" / "url").unlink()
    assert [bool(each.flaw) for each in files.news()] == [True]
    assert files.news() == []
    (tmp_path / "..2" / "url").write_text("")
    assert [each.flaw for each in files.news()] == ["it is empty"]
    (tmp_path / "..2" / "url").write_text("c")
    assert files.news() == [News(NAME, "c")]


def test_a_file_that_nobody_can_look_at_is_told_and_stops_no_other(tmp_path: Path) -> None:
    """Such as one whose name is too long, or in a folder that was closed."""
    (tmp_path / "url").write_text("a")
    other = "IMPORTER_RABBIT__URL"
    given = {f"{NAME}_FILE": str(tmp_path / ("x" * 300)), f"{other}_FILE": str(tmp_path / "url")}
    first, second = SecretFiles((NAME, other), given).news()
    assert ("File name too long", News(other, "a")) == (first.flaw, second)


def test_secrets_that_were_given_directly_are_not_followed() -> None:
    """There is nothing to follow."""
    assert not SecretFiles((NAME,), {NAME: URL})
