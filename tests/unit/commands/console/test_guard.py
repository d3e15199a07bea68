"""Proves who may ask the console: names, origins, passwords, cookies, tokens."""

import pytest

from service.commands.console import is_loopback, unguarded
from service.commands.console.guard import (
    ATTEMPT_SECONDS,
    ATTEMPTS,
    SESSION_SECONDS,
    Door,
    Seals,
    is_our_host,
    is_our_origin,
)
from service.settings.process import Console

NOW = 1_000_000.0
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens here


@pytest.mark.parametrize(
    ("host", "listening", "ours"),
    [
        ("127.0.0.1:8081", "127.0.0.1", True),
        ("localhost:9", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("[::1]:8081", "127.0.0.1", True),
        ("evil.example", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("10.0.0.7:8081", "127.0.0.1", False),
        ("console.internal", "127.0.0.1", False),
        ("10.0.0.7:8081", EVERYWHERE, True),
        ("[fd00::7]:8081", "::", True),
        ("pod-1", EVERYWHERE, True),
        ("console.internal:8081", "console.internal", True),
        ("evil.example:8081", EVERYWHERE, False),
        ("localhost:8081", EVERYWHERE, True),
        ("", "127.0.0.1", False),
        (":8081", "127.0.0.1", False),
        ("user@127.0.0.1", "127.0.0.1", False),
        ("127.0.0.1/evil", "127.0.0.1", False),
        ("127.0.0.1:port", "127.0.0.1", False),
        ("[::1", "127.0.0.1", False),
    ],
)
def test_only_names_that_nobody_else_can_bind_are_ours(
    host: str,
    listening: str,
    ours: bool,  # noqa: FBT001 - of the table above
) -> None:
    """Behind loopback those of loopback; elsewhere addresses and this machine's names, too."""
    assert ours is is_our_host(host, listening, ("pod-1",))


@pytest.mark.parametrize(
    ("origin", "site", "ours"),
    [
        ("http://127.0.0.1:8081", "same-origin", True),
        ("https://127.0.0.1:8081", None, True),
        (None, None, True),
        (None, "same-origin", True),
        (None, "cross-site", False),
        ("http://127.0.0.1:8081", "same-site", False),
        ("http://127.0.0.1:9", None, False),
        ("http://127.0.0.1", None, False),
        ("http://evil.example", None, False),
        ("null", None, False),
        ("", None, False),
        ("http://[::1", None, False),
        ("file://127.0.0.1:8081", None, False),
    ],
)
def test_forms_of_other_pages_are_known(
    origin: str | None,
    site: str | None,
    ours: bool,  # noqa: FBT001 - of the table above
) -> None:
    """Host and port must be the same; what a browser calls another site is one."""
    assert ours is is_our_origin(origin, site, "127.0.0.1:8081")


def test_a_cookie_is_read_by_whoever_wrote_it_until_it_expires() -> None:
    """Not by another process, not changed by a sign, not after a working day."""
    seals = Seals()
    session = seals.new(NOW, name="  Ann \n Lee ", let_in=True)
    assert "Ann Lee" == session.name
    cookie = seals.write(session)
    assert session == seals.read(cookie, NOW)
    assert None is seals.read(cookie, NOW + SESSION_SECONDS)
    assert None is Seals().read(cookie, NOW)
    for at in range(len(cookie)):
        other = "A" if cookie[at] != "A" else "B"
        assert None is seals.read(cookie[:at] + other + cookie[at + 1 :], NOW)
    for wrong in ("", ".", "a.b", "é", "\udce9.x", cookie + "x", cookie.partition(".")[0]):
        assert None is seals.read(wrong, NOW)


def test_a_session_that_was_ended_lets_nobody_in() -> None:
    """A copy of its cookie neither; others stay in."""
    seals = Seals()
    one, other = seals.new(NOW, let_in=True), seals.new(NOW, let_in=True)
    seals.end(one)
    assert None is seals.read(seals.write(one.named("Ann")), NOW)
    assert other == seals.read(seals.write(other), NOW)


def test_a_token_is_good_for_its_session_alone() -> None:
    """Whatever the name of whoever sits there."""
    seals = Seals()
    one, other = seals.new(NOW), seals.new(NOW)
    token = seals.token(one)
    assert seals.is_token(token, one)
    assert seals.is_token(token, one.named("Ann"))
    assert not seals.is_token(token, other)
    assert not seals.is_token("", one)
    assert not seals.is_token("é", one)
    assert not Seals().is_token(token, one)


def test_passwords_cannot_be_tried_without_end() -> None:
    """Ten at once, then one every six seconds; a right one takes nothing."""
    door = Door("secret")
    for _ in range(100):
        assert 0 == door.wait(NOW)
        assert door.opens("secret", NOW)
    tried = 0
    while door.wait(NOW) == 0:
        assert not door.opens(f"guess {tried}", NOW)
        tried += 1
    assert ATTEMPTS == tried
    assert 0 < door.wait(NOW) <= ATTEMPT_SECONDS
    assert 0 == door.wait(NOW + ATTEMPT_SECONDS)
    assert not door.opens("again", NOW + ATTEMPT_SECONDS)
    assert door.wait(NOW + ATTEMPT_SECONDS) > 0


@pytest.mark.parametrize("wrong", ["", "Secret", "secret ", "пароль", "\ud800"])
def test_only_the_password_opens(wrong: str) -> None:
    """Every other text is wrong, whatever it is made of."""
    assert not Door("secret").opens(wrong, NOW)
    assert Door("пароль").opens("пароль", NOW)
    assert not Door(None).is_locked


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_needs_no_password(host: str) -> None:
    """Only this machine reaches it."""
    assert is_loopback(host)
    assert "" == unguarded(Console(host=host))


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "10.1.2.3", "console.internal", "fe80::1"])
def test_any_other_host_needs_a_password(host: str) -> None:
    """The mistake names the setting; with a password it is none."""
    assert "IMPORTER_CONSOLE__PASSWORD" in unguarded(Console(host=host))
    assert "" == unguarded(Console.model_validate({"host": host, "password": "x" * 12}))
