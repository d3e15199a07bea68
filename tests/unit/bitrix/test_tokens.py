"""Tests the token file: whole at any instant, private, and never written over by mistake."""

import json
import os
import stat
from pathlib import Path

import pytest

from service.bitrix.tokens import (
    ROOM,
    StoredTokens,
    TokenFile,
    TokenFileUnusable,
    TokenPair,
    read_pair,
    seconds,
)

LONGEST = 4096
PAIR = TokenPair("refresh-1", "access-1", 1000.0, "member", "https://portal.example/rest/")
KEPT = StoredTokens(PAIR, "https://portal.example/rest/", "https://new.example/rest/")


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    """Give the test a token file that does not exist yet."""
    return TokenFile(tmp_path / "tokens.json")


def written(file: TokenFile, kept: StoredTokens = KEPT) -> TokenFile:
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
        (TokenPair("r", "a", 999.0), True),
        (TokenPair("r", "a", 998.0), False),
        (TokenPair("r", "a", 0.0), True),
        (TokenPair("r"), False),
    ],
)
def test_a_token_is_usable_until_it_is_known_to_be_old(pair: TokenPair, *, usable: bool) -> None:
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
    long = StoredTokens(TokenPair("r" * LONGEST, "a" * LONGEST))
    assert long == written(file, long).read()
    assert KEPT == written(file).read()


@pytest.mark.parametrize("bad", ["r" * (LONGEST + 1), "r\n", "r\ud800", "\u00e4"])
def test_what_can_be_no_token_is_none(bad: str) -> None:
    """It would be written down, kept and sent with every call."""
    assert read_pair({"refresh_token": "r", "access_token": bad}, 0.0) is None
    assert read_pair({"refresh_token": bad, "access_token": "a"}, 0.0) is None
    spared = read_pair({"refresh_token": "r", "member_id": "m" * 10**6}, 0.0)
    assert spared == TokenPair("r")


@pytest.mark.parametrize("name", ["tokens.json", "tokens.json.new"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(file: TokenFile, name: str) -> None:
    """Nor is a file read that has no end."""
    os.mkfifo(file.path.with_name(name))
    file.recover()
    if name == file.path.name:
        with pytest.raises(TokenFileUnusable, match="holds no refresh_token"):
            file.read()


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
    assert StoredTokens(TokenPair("r", "a", 5.0)) == file.read()
    file.path.write_text('{"refresh_token":"r"}')
    assert StoredTokens(TokenPair("r")) == file.read()


def test_a_write_that_was_cut_changes_nothing(file: TokenFile) -> None:
    """The file keeps the last pair; what was prepared is no pair."""
    written(file)
    assert file.lock()
    file.prepare()
    file.unlock()
    file.recover()
    assert KEPT == file.read()
    after = StoredTokens(TokenPair("refresh-2"))
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


def test_a_full_disk_is_noticed_at_the_start(
    file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for a pair is asked for, not only a name; nothing of it stays."""
    monkeypatch.setattr(os, "pwrite", lambda *_: ROOM - 1)
    for act in (file.check, file.prepare):
        with pytest.raises(TokenFileUnusable, match="No space left on device"):
            act()
    assert not list(file.path.parent.glob(".*"))


def test_a_file_that_others_may_read_is_closed_to_them_when_it_is_opened(file: TokenFile) -> None:
    """Not only at the first renewal."""
    written(file).path.chmod(0o644)
    assert KEPT == file.read()
    assert 0o600 == stat.S_IMODE(file.path.stat().st_mode)


def test_a_file_of_somebody_else_is_read_as_it_is(
    file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mode is its owner's affair."""

    def refuse(*_: object) -> None:
        raise PermissionError

    written(file).path.chmod(0o644)
    monkeypatch.setattr(os, "fchmod", refuse)
    assert KEPT == file.read()


@pytest.mark.parametrize("there", [True, False])
def test_a_link_leads_to_the_file_and_stays(tmp_path: Path, *, there: bool) -> None:
    """The pair, the lock and what is prepared lie on the shared volume, not beside the link."""
    volume, disk = tmp_path / "volume", tmp_path / "disk"
    volume.mkdir()
    disk.mkdir()
    if there:
        written(TokenFile(volume / "pair.json"), StoredTokens(TokenPair("older")))
    link = disk / "tokens.json"
    link.symlink_to("../volume/pair.json")
    file = TokenFile(link)
    file.check()
    assert KEPT == written(file).read() == TokenFile(volume / "pair.json").read()
    assert link.is_symlink()
    assert [link] == list(disk.iterdir())
    assert {"pair.json", "pair.json.lock"} == {path.name for path in volume.iterdir()}
    other = TokenFile(volume / "pair.json")
    assert [True, False] == [other.lock(), file.lock()]
    other.unlock()


def test_a_file_in_the_place_of_its_link_counts_from_the_next_turn(tmp_path: Path) -> None:
    """Whoever replaces the file need not know that there was a link."""
    link, fresh = tmp_path / "tokens.json", StoredTokens(TokenPair("fresh"))
    link.symlink_to("pair.json")
    file = written(TokenFile(link))
    written(TokenFile(tmp_path / "fresh"), fresh).path.replace(link)
    assert file.lock()
    assert fresh == file.read()
    file.unlock()


def test_a_link_to_itself_is_named(tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "tokens.json").symlink_to("tokens.json")
    with pytest.raises(TokenFileUnusable, match="cannot be read: Too many levels"):
        TokenFile(tmp_path / "tokens.json").read()


@pytest.mark.parametrize("path", ["/", ".", "..", "", "/tmp/"])
def test_a_folder_is_no_token_file(path: str) -> None:
    """Nothing is put beside it."""
    with pytest.raises(TokenFileUnusable, match=r"is a folder: .*TOKEN_FILE needs the name"):
        TokenFile(Path(path))


def test_a_pipe_is_no_token_file(tmp_path: Path) -> None:
    """Reading it would never end, and nothing stays in it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TokenFileUnusable, match="is a pipe or a device"):
        TokenFile(tmp_path / "pipe")


@pytest.mark.parametrize("odd", [None, 7, [], {}])
def test_an_odd_member_does_not_cost_the_pair(odd: object) -> None:
    """Only the two tokens are needed: those before them are spent."""
    told = {"access_token": "a", "refresh_token": "r", "member_id": odd, "client_endpoint": odd}
    assert TokenPair("r", "a", 5.0) == read_pair(told, 5.0)
    assert None is read_pair({**told, "access_token": odd}, 5.0)
    assert None is read_pair({**told, "refresh_token": odd}, 5.0)


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
