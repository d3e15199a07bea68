"""An application against the simulated portal: processes that share and lose the token file."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from service.bitrix import application
from service.bitrix.tokens import TokenFile
from service.domain.outcomes import CallFailed, CallKind, PauseReason
from tests.integration.bitrix.renewing import transport
from tests.support.amqp import wait_until
from tests.support.patience import patient
from tests.support.processes import PortalProcess, Program

REFRESH = "oauth.token"
SEED = 20260822


class Caller(Program):
    """Runs a process that calls the portal as an application until it is killed."""

    def __init__(self, portal: PortalProcess, file: Path) -> None:
        super().__init__("tests.integration.bitrix.renewing", portal.url, str(file))

    @property
    def url(self) -> str:
        """Return nothing: it serves nobody."""
        return ""

    def said(self) -> Counter[str]:
        """Count what its calls came to."""
        return Counter(self.stdout().splitlines())


@contextmanager
def portal(**settings: object) -> Iterator[PortalProcess]:
    """Start a portal of one's own."""
    with PortalProcess(settings) as process:
        yield process


def kept(file: Path) -> int:
    """Return the number of the refresh token in a token file; 0 for the one of the start.

    Before the first pair is written there is no file: then the one of the start counts.
    """
    if not file.exists():
        return 0
    name: str = json.loads(file.read_text())["refresh_token"]
    return int(name.removeprefix("refresh-0").removeprefix("-") or 0)


def issued(process: PortalProcess) -> int:
    """Count the pairs that the authorisation server has given out."""
    calls = process.ledger()["calls"]
    return sum(call["method"] == REFRESH and call["error"] is None for call in calls)


async def test_two_processes_never_spend_one_refresh_token_twice(tmp_path: Path) -> None:
    """Both start with nothing but the first one, and go on through expiry after expiry."""
    file = tmp_path / "tokens.json"
    with portal(token_seconds=patient(0.15)) as remote:
        with Caller(remote, file) as one, Caller(remote, file) as two:
            await wait_until(lambda: issued(remote) >= 15, what="renewals")
            for each in (one, two):
                await wait_until(partial(_goes_on, each, 8), what="ten answers of each")
            said = one.said() + two.said()
        assert {"answered"} == set(said)
        assert set() == remote.summary()["errors"].keys() - {"expired_token"}


async def test_two_processes_renew_once_when_the_portal_says_expired(tmp_path: Path) -> None:
    """Whoever is second takes the pair of the first."""
    file = tmp_path / "tokens.json"
    with portal() as remote, Caller(remote, file) as one, Caller(remote, file) as two:
        for round_ in range(1, 4):
            for each in (one, two):
                seen = each.said()["answered"]
                await wait_until(partial(_goes_on, each, seen), what="two answers")
            assert round_ == issued(remote)
            remote.control("POST", "tokens", {"expire": True})
        assert {"answered"} == set(one.said() + two.said())


def _goes_on(caller: Caller, seen: int) -> bool:
    return caller.said()["answered"] > seen + 1


async def test_a_kill_never_costs_a_pair_that_was_written_or_could_have_been(
    tmp_path: Path,
) -> None:
    """The file is whole at any instant, and at most the one answer under way is lost."""
    chance, file = random.Random(SEED), tmp_path / "tokens.json"
    with portal(token_seconds=0.0) as remote:
        lost = 0
        for _ in range(10):
            before, there = issued(remote), file.exists()
            with Caller(remote, file) as caller:
                await wait_until(partial(_more, remote, before), what="a renewal")
                await asyncio.sleep(chance.uniform(0, 0.05))
                caller.kill()
            await wait_until(lambda: remote.summary()["open"] == 0, what="the last answer")
            TokenFile(file).recover()
            assert file.exists() >= there
            behind = issued(remote) - lost - kept(file)
            assert behind in {0, 1}
            if behind:
                lost = issued(remote)
                remote.settings({"refresh_token": "refresh-0"})
                file.write_text(json.dumps({"refresh_token": "refresh-0"}))


def _more(remote: PortalProcess, before: int) -> bool:
    return issued(remote) > before


async def test_concurrent_calls_renew_once(tmp_path: Path) -> None:
    """One renewal serves all who wait for it."""
    with portal() as remote:
        calling = transport(remote.url, tmp_path / "tokens.json")
        for round_ in (1, 2, 3):
            await asyncio.gather(*(calling("profile", b"{}") for _ in range(4)))
            assert round_ == issued(remote)
            remote.control("POST", "tokens", {"expire": True})
        await calling.close()


async def test_a_slow_renewal_ends_although_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call gives up in time to be sent again; the pair is not lost with it."""
    monkeypatch.setattr(application, "PATIENCE_SECONDS", 0.1)
    file = tmp_path / "tokens.json"
    with portal() as remote:
        remote.faults([{"kind": "hang_after_commit", "method": REFRESH, "seconds": 0.6}])
        calling = transport(remote.url, file)
        with pytest.raises(CallFailed) as failed:
            await calling("profile", b"{}")
        fault = failed.value.fault
        assert (CallKind.UNAVAILABLE, PauseReason.AUTH_SERVER) == (fault.kind, fault.pause)
        await wait_until(file.exists, what="the pair")
        assert {"ID"} <= (await calling("profile", b"{}"))["result"].keys()
        assert 1 == issued(remote)
        await calling.close()


async def test_closing_waits_for_the_pair(tmp_path: Path) -> None:
    """A stop in the middle of a renewal costs nothing."""
    file = tmp_path / "tokens.json"
    with portal() as remote:
        remote.faults([{"kind": "hang_after_commit", "method": REFRESH, "seconds": 0.3}])
        calling = transport(remote.url, file)
        task = asyncio.create_task(calling("profile", b"{}"))
        await wait_until(lambda: REFRESH in remote.summary()["calls"], what="the renewal")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await calling.close()
        assert 1 == kept(file)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "html", "status": 503},
        {"kind": "cut_before_commit"},
        {"kind": "not_json_200", "committed": False},
        {"kind": "refuse", "code": "CONNECTION_ERROR", "status": 401},
        {"kind": "redirect", "location": "https://elsewhere.example/"},
    ],
)
async def test_trouble_of_the_auth_server_passes(tmp_path: Path, fault: dict[str, object]) -> None:
    """The next call renews."""
    with portal() as remote:
        remote.faults([{"method": REFRESH, **fault}])
        calling = transport(remote.url, tmp_path / "tokens.json")
        with pytest.raises(CallFailed) as failed:
            await calling("profile", b"{}")
        assert CallKind.UNAVAILABLE is failed.value.fault.kind
        assert PauseReason.AUTH_SERVER is failed.value.fault.pause
        await calling("profile", b"{}")
        await calling.close()


@pytest.mark.parametrize(
    ("code", "pause"),
    [
        ("PAYMENT_REQUIRED", PauseReason.PLAN),
        ("invalid_client", PauseReason.CREDENTIALS),
        ("wrong_client", PauseReason.CREDENTIALS),
        ("insufficient_scope", PauseReason.SCOPE),
    ],
)
async def test_a_refusal_of_the_auth_server_needs_a_person(
    tmp_path: Path, code: str, pause: PauseReason
) -> None:
    """With the same names as a refusal of the portal."""
    with portal() as remote:
        remote.faults([{"kind": "refuse", "method": REFRESH, "code": code}])
        calling = transport(remote.url, tmp_path / "tokens.json")
        with pytest.raises(CallFailed) as failed:
            await calling("profile", b"{}")
        assert (CallKind.BARRED, pause) == (failed.value.fault.kind, failed.value.fault.pause)
        await calling.close()


async def test_what_is_sent_is_a_form_and_an_auth_member(tmp_path: Path) -> None:
    """No secret in an address."""
    with portal() as remote:
        calling = transport(remote.url, tmp_path / "tokens.json")
        await calling("crm.item.list", b'{"entityTypeId":2}')
        await calling("profile", b"{}")
        *_, listed, profile = remote.ledger()["calls"]
        assert {"auth": "access-0-1", "entityTypeId": 2} == json.loads(listed["body"])
        assert ({"auth": "access-0-1"}, "body") == (json.loads(profile["body"]), profile["auth"])
        await calling.close()
