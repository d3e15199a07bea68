"""Tests the token file: whole at any instant, private, and never written over by mistake."""

import json
import os
import stat
from pathlib import Path

import pytest

from service.bitrix.tokens import ROOM, Kept, Pair, TokenFile, TokenFileUnusable, seconds

PAIR = Pair("refresh-1", "access-1", 1000.0, "member", "https://portal.example/rest/")
KEPT = Kept(PAIR, "https://portal.example/rest/", "https://new.example/rest/")


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    """Give the test a token file that does not exist yet."""
    return TokenFile(tmp_path / "tokens.json")


def written(file: TokenFile, kept: Kept = KEPT) -> TokenFile:
    """Write a pair as the service does."""
    assert file.lock()
    file.prepare()
    file.commit(kept)
    file.unlock()
    return file


def test_a_pair_never_shows_its_tokens() -> None:
    """Not even beside others."""
    for text in (repr(PAIR), str(PAIR), repr(KEPT)):
        assert "-1" not in text


@pytest.mark.parametrize(
    ("pair", "usable"),
    [
        (PAIR, True),
        (Pair("r", "a", 999.0), True),
        (Pair("r", "a", 998.0), False),
        (Pair("r", "a", 0.0), True),
        (Pair("r"), False),
    ],
)
def test_a_token_is_usable_until_it_is_known_to_be_old(pair: Pair, *, usable: bool) -> None:
    """A time that nobody knows does not end it."""
    assert usable is pair.usable(998.0)


def test_what_is_written_is_read(file: TokenFile) -> None:
    """With its place; none is not a mistake."""
    assert None is file.read()
    assert KEPT == written(file).read()


def test_only_we_may_read_the_file(file: TokenFile) -> None:
    """Whatever the mask of the process, and whatever was there before."""
    file.path.write_text("{}")
    file.path.chmod(0o644)
    before = os.umask(0)
    try:
        written(file)
    finally:
        os.umask(before)
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in file.path.parent.iterdir()}


def test_a_long_pair_is_written_whole(file: TokenFile) -> None:
    """Beyond the room that was set aside as well."""
    long = Kept(Pair("r" * ROOM * 2, "a" * ROOM))
    assert long == written(file, long).read()
    assert KEPT == written(file).read()


def test_one_at_a_time_writes(file: TokenFile) -> None:
    """Two of one process are two."""
    other = TokenFile(file.path)
    assert [True, False] == [file.lock(), other.lock()]
    file.unlock()
    assert other.lock()
    other.unlock()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "null", '{"refresh_token":""}', '{"refresh_token":7}', "\xff"]
)
def test_a_damaged_file_is_named_and_left_alone(file: TokenFile, text: str) -> None:
    """Its content is not shown."""
    file.path.write_text(text, encoding="latin-1")
    with pytest.raises(TokenFileUnusable, match=r"tokens\.json holds no refresh_token") as caught:
        file.read()
    assert "\n" not in str(caught.value)
    assert text == file.path.read_text(encoding="latin-1")


def test_an_answer_of_the_authorisation_server_is_a_file(file: TokenFile) -> None:
    """People may put there what they got, or a refresh token alone."""
    told = {"access_token": "a", "refresh_token": "r", "expires": 5, "expires_in": 3600, "x": []}
    file.path.write_text(json.dumps(told))
    assert Kept(Pair("r", "a", 5.0)) == file.read()
    file.path.write_text('{"refresh_token":"r"}')
    assert Kept(Pair("r")) == file.read()


def test_a_write_that_was_cut_changes_nothing(file: TokenFile) -> None:
    """The file keeps the last pair; what was prepared is no pair."""
    written(file)
    assert file.lock()
    file.prepare()
    file.unlock()
    file.recover()
    assert KEPT == file.read()
    after = Kept(Pair("refresh-2"))
    assert after == written(file, after).read()


def test_a_pair_that_was_written_in_full_is_not_lost(file: TokenFile) -> None:
    """A process that dies before the last step leaves it for the next one."""
    text = written(file).path.read_text().replace("refresh-1", "refresh-2")
    file.path.with_name("tokens.json.new").write_text(text + " " * 100)
    file.recover()
    kept = file.read()
    assert kept is not None
    assert "refresh-2" == kept.pair.refresh_token
    assert not file.path.with_name("tokens.json.new").exists()


def test_a_file_that_was_put_there_later_is_not_written_over(file: TokenFile) -> None:
    """A person's word is the last."""
    left = file.path.with_name("tokens.json.new")
    left.write_text(written(file).path.read_text().replace("refresh-1", "refresh-2"))
    later = left.stat().st_mtime + 1
    os.utime(file.path, (later, later))
    file.recover()
    assert KEPT == file.read()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Before a token is spent."""
    file = TokenFile(tmp_path / "absent" / "tokens.json")
    for act in (file.check, file.lock, file.prepare):
        with pytest.raises(TokenFileUnusable, match="IMPORTER_BITRIX__TOKEN_FILE needs a folder"):
            act()


def test_a_check_leaves_no_pair(file: TokenFile) -> None:
    """Only the lock stays."""
    file.check()
    assert ["tokens.json.lock"] == [path.name for path in file.path.parent.iterdir()]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5.0),
        (0.5, 0.5),
        (0, 0.0),
        (-1, 0.0),
        (True, 0.0),
        ("5", 0.0),
        (1e300, 0.0),
        (None, 0.0),
    ],
)
def test_a_time_is_a_number_that_can_be_one(value: object, expected: float) -> None:
    """Anything else is not known."""
    assert expected == seconds(value)
