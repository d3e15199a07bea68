"""Tests when an application renews its token, what it writes first, and whom it follows."""

import asyncio
import json
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from service.bitrix import application as application_module
from service.bitrix.application import MAX_HOSTS, Application
from service.bitrix.auth import Endpoint
from service.bitrix.errors import auth_server_trouble, classify_refresh
from service.bitrix.tokens import TokenFile, TokenFileUnusable, TokenPair
from service.domain.network import Cause
from service.domain.outcomes import CallFailed, CallKind, Fault

ENDPOINT = "https://portal.example/rest/"
MOVED = "https://crm.new.example/rest/"
INVALID = classify_refresh("invalid_grant", "", 400)


class Server:
    """Stands in for the authorisation server: pairs in order, or a script of faults."""

    def __init__(self, path: Path) -> None:
        """Issue pairs for the portal."""
        self.spent: list[str] = []
        self.script: deque[Fault] = deque()
        self.endpoint = ENDPOINT
        self.member = "member"
        self._path = path
        self.meanwhile: dict[str, Any] | None = None

    def rekey(self, secret: str) -> None:
        """Need no secret."""

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Return the next pair; `meanwhile` somebody else may write the file."""
        self.spent.append(refresh_token)
        await asyncio.sleep(0)
        if self.meanwhile is not None:
            self._path.write_text(json.dumps(self.meanwhile))
        if self.script:
            raise CallFailed(self.script.popleft())
        number = len(self.spent)
        return TokenPair(f"r{number}", f"a{number}", 2000.0, self.member, self.endpoint)


class Harness:
    """One application, its file, its server, and a clock on the wall."""

    def __init__(self, folder: Path) -> None:
        """Start with no file."""
        self.path = folder / "tokens.json"
        self.server = Server(self.path)
        self.now = 1000.0
        self.revealed: list[str] = []

    def put(self, **pair: Any) -> None:
        """Write the file as somebody else does."""
        self.path.write_text(json.dumps(pair))

    def kept(self) -> dict[str, Any]:
        """Return what the file holds."""
        kept: dict[str, Any] = json.loads(self.path.read_text())
        return kept

    def application(self, seed: str = "r0") -> Application:
        """Start the application."""
        return Application(
            Endpoint(ENDPOINT),
            store=TokenFile(self.path),
            server=self.server,
            seed=seed,
            reveal=self.revealed.append,
            wall=lambda: self.now,
        )


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """Give the test a harness."""
    return Harness(tmp_path)


async def fault_of(application: Application) -> Fault:
    """Return why there is no token."""
    with pytest.raises(CallFailed) as failed:
        await application.token()
    return failed.value.fault


async def test_the_first_token_comes_from_the_settings(harness: Harness) -> None:
    """Then the file is all that counts."""
    application = harness.application()
    assert "a1" == await application.token()
    assert ["a1", "a1"] == [await application.token() for _ in range(2)]
    assert ["r0"] == harness.server.spent
    assert ("r1", 2000.0) == (harness.kept()["refresh_token"], harness.kept()["expires"])
    assert {"r0", "r1", "a1"} <= set(harness.revealed)


async def test_a_file_comes_before_the_settings(harness: Harness) -> None:
    """The refresh token there is the younger one."""
    harness.put(access_token="a", refresh_token="r", expires=0)
    assert "a" == await harness.application().token()
    assert [] == harness.server.spent
    harness.put(refresh_token="r")
    assert "a1" == await harness.application().token()
    assert ["r"] == harness.server.spent


async def test_a_token_known_to_be_old_is_not_tried(harness: Harness) -> None:
    """It is renewed first, once for all who want it."""
    harness.put(access_token="a", refresh_token="r", expires=999)
    application = harness.application()
    assert ["a1"] * 3 == await asyncio.gather(*(application.token() for _ in range(3)))
    assert ["r"] == harness.server.spent


async def test_another_process_renewed_first(harness: Harness) -> None:
    """Its pair is taken from the file, nothing is spent."""
    harness.put(access_token="a", refresh_token="r")
    application = harness.application()
    harness.put(access_token="b", refresh_token="s")
    assert await application.renew("a", "expired_token")
    assert "b" == await application.token()
    assert [] == harness.server.spent


async def test_a_token_that_is_no_longer_ours_needs_no_renewal(harness: Harness) -> None:
    """Somebody here was faster."""
    harness.put(access_token="a", refresh_token="r")
    assert await harness.application().renew("older", "expired_token")
    assert [] == harness.server.spent


@pytest.mark.parametrize("code", ["NO_AUTH_FOUND", "invalid_token"])
async def test_a_young_token_is_not_the_reason_of_a_refusal(harness: Harness, code: str) -> None:
    """An unreadable item must not make us renew again and again."""
    application = harness.application()
    await application.token()
    assert not await application.renew("a1", code)
    assert ["r0"] == harness.server.spent
    assert await application.renew("a1", "expired_token")
    assert ["r0", "r1"] == harness.server.spent


@pytest.mark.parametrize("code", ["NO_AUTH_FOUND", "invalid_token"])
async def test_a_refused_token_of_unknown_age_is_renewed(harness: Harness, code: str) -> None:
    """Once; and a young one is replaced by what a person put into the file."""
    harness.put(access_token="a", refresh_token="r")
    application = harness.application()
    assert await application.renew("a", code)
    harness.put(refresh_token="given")
    assert await application.renew("a1", code)
    assert ["r", "given"] == harness.server.spent


async def test_an_invalid_grant_is_final_only_if_nobody_changed_the_file(harness: Harness) -> None:
    """The store is read again; what is new there is tried."""
    harness.put(refresh_token="r")
    application = harness.application()
    harness.server.script.append(INVALID)
    assert (CallKind.BARRED, "credentials") == (
        (fault := await fault_of(application)).kind,
        fault.pause,
    )
    harness.server.script.append(INVALID)
    harness.server.meanwhile = {"refresh_token": "s", "access_token": "b"}
    assert "b" == await application.token()
    assert ["r", "r"] == harness.server.spent


async def test_nothing_is_spent_while_nothing_can_be_written(harness: Harness) -> None:
    """A full disk or a folder of somebody else's waits for a person."""
    application = harness.application()
    blocked = harness.path.with_name("tokens.json.new")
    blocked.mkdir()
    assert ("TOKEN_FILE_UNUSABLE", CallKind.BARRED) == (
        (fault := await fault_of(application)).code,
        fault.kind,
    )
    assert [] == harness.server.spent
    blocked.rmdir()
    assert "a1" == await application.token()


async def test_a_pair_that_could_not_be_written_is_not_lost(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try writes it, and spends nothing."""
    application = harness.application()
    commit = TokenFile.commit

    def fail(*_: object) -> None:
        raise TokenFileUnusable("full")

    monkeypatch.setattr(TokenFile, "commit", fail)
    assert "TOKEN_FILE_UNUSABLE" == (await fault_of(application)).code
    monkeypatch.setattr(TokenFile, "commit", commit)
    assert "a1" == await application.token()
    assert ["r0"] == harness.server.spent
    assert "r1" == harness.kept()["refresh_token"]


async def test_a_damaged_file_is_a_persons_affair(harness: Harness) -> None:
    """Nothing is spent, nothing written."""
    application = harness.application()
    harness.path.write_text("{")
    fault = await fault_of(application)
    assert (CallKind.BARRED, "credentials") == (fault.kind, fault.pause)
    assert ([], "{") == (harness.server.spent, harness.path.read_text())


async def test_trouble_of_the_server_passes(harness: Harness) -> None:
    """The next call asks again."""
    application = harness.application()
    harness.server.script.append(auth_server_trouble(Cause("out", "wait")))
    assert CallKind.UNAVAILABLE is (await fault_of(application)).kind
    assert "a2" == await application.token()
    assert ["r0", "r0"] == harness.server.spent


def test_no_file_and_no_token_is_a_mistake(harness: Harness) -> None:
    """Said at the start."""
    with pytest.raises(TokenFileUnusable, match="does not exist"):
        harness.application(seed="")


async def test_nothing_of_a_secret_is_shown(harness: Harness) -> None:
    """Not by the object, nor by what it raises."""
    application = harness.application(seed="very-secret")
    harness.server.script.append(INVALID)
    fault = await fault_of(application)
    assert "very-secret" not in f"{application!r} {fault!r} {Endpoint(ENDPOINT)!r}"
    assert "Application(portal.example)" == repr(application)


async def test_a_host_is_confirmed_if_the_server_names_it(harness: Harness) -> None:
    """For our member alone; a name that the server does not know gets nothing."""
    application = harness.application()
    await application.token()
    assert not await application.confirms_host("https://crm.other.example/rest/")
    harness.server.endpoint = MOVED
    assert await application.confirms_host(MOVED)
    assert not await application.confirms_host(MOVED.replace("https", "http"))
    assert ENDPOINT == application.endpoint.url


async def test_a_stranger_is_asked_about_once(harness: Harness) -> None:
    """Each question costs a renewal."""
    application = harness.application()
    await application.token()
    for _ in range(3):
        assert not await application.confirms_host("https://crm.other.example/rest/")
    assert 2 == len(harness.server.spent)


async def test_not_every_new_stranger_is_asked_about(harness: Harness) -> None:
    """A portal that names another host with each answer costs no renewal each time."""
    application = harness.application()
    await application.token()
    for number in range(3 * MAX_HOSTS):
        assert not await application.confirms_host(f"https://crm{number}.example/rest/")
    assert 1 + MAX_HOSTS == len(harness.server.spent)


async def test_another_member_is_another_portal(harness: Harness) -> None:
    """Even at the address that it is redirected to."""
    application = harness.application()
    await application.token()
    harness.server.endpoint, harness.server.member = MOVED, "somebody"
    assert not await application.confirms_host(MOVED)


async def test_where_the_portal_was_found_outlives_the_process(harness: Harness) -> None:
    """Until it is found where it was configured again."""
    application = harness.application()
    await application.token()
    for place in (MOVED, ENDPOINT):
        application.endpoint.found(place)
        application.note()
        await application.close()
        assert place == harness.kept()["found_endpoint"]
        assert place == harness.application().endpoint.url
    assert "portal.example" == application.host


async def test_a_change_of_the_settings_wins_over_what_was_noted(harness: Harness) -> None:
    """The place was found from another address."""
    harness.put(
        refresh_token="r", configured_endpoint="https://older.example/rest/", found_endpoint=MOVED
    )
    assert ENDPOINT == harness.application().endpoint.url


async def test_a_lock_that_is_held_for_long_is_named_once(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A frozen process holds it for ever; who can end it must know where to look."""
    monkeypatch.setattr(application_module, "LOCK_SECONDS", 0.0)
    monkeypatch.setattr(application_module, "POLL_SECONDS", 0.001)
    application, other, tries = harness.application(), TokenFile(harness.path), 0
    lock = TokenFile.lock

    def counted(file: TokenFile) -> bool:
        nonlocal tries
        tries += 1
        if tries == 4:
            other.unlock()
        return lock(file)

    assert other.lock()
    monkeypatch.setattr(TokenFile, "lock", counted)
    assert "a1" == await application.token()
    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert str(harness.path.with_name("tokens.json.lock")) == vars(record)["lock"]
