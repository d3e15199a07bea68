"""Tests how often a call goes again: for its token, for its address, and no more."""

import json
from collections import deque
from collections.abc import Callable

import httpx
import pytest

from service.bitrix.auth import Webhook
from service.bitrix.exchange import Auth, Exchange
from service.domain.outcomes import CallFailed, CallKind, Fault

SECRET = "very-secret"
OLD, NEW = "https://one.bitrix24.com", "https://two.bitrix24.com"
GOOD = httpx.Response(200, json={"result": 1})
EXPIRED = httpx.Response(401, json={"error": "expired_token"})
NO_AUTH = httpx.Response(401, json={"error": "NO_AUTH_FOUND"})
Sent = list[tuple[str, bytes]]


def moved(to: str, status: int = 302) -> httpx.Response:
    """Return a redirect as a renamed portal gives it."""
    return httpx.Response(status, headers={"Location": to}, text="<html>")


class Client:
    """Stands in for the HTTP client: answers in order, and what was posted where."""

    def __init__(self, answers: tuple[httpx.Response | Exception, ...]) -> None:
        """Keep the answers."""
        self.answers = deque(answers)
        self.sent: Sent = []

    async def post(self, address: str, *, content: bytes) -> httpx.Response:
        """Answer, or break."""
        self.sent.append((address, content))
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        """Close nothing."""


class Application:
    """Stands in for an application: `a0`, then `a1` …, as often as it may renew."""

    def __init__(self, renewals: int) -> None:
        """Renew so often, then say that it would not help."""
        self.renewals, self.number = renewals, 0

    def address(self, method: str) -> str:
        """Return where to post a call."""
        return f"{OLD}/rest/{method}"

    async def token(self) -> str:
        """Return the token."""
        return f"a{self.number}"

    async def renew(self, refused: str, code: str) -> bool:  # noqa: ARG002 - the protocol's
        """Count up, while that is left."""
        assert f"a{self.number}" == refused
        if self.number == self.renewals:
            return False
        self.number += 1
        return True

    async def follow(self, location: str) -> bool:  # noqa: ARG002 - the protocol's
        """Go nowhere."""
        return False

    async def close(self) -> None:
        """End nothing."""


class Stage:
    """An exchange with what it sent, told and paid."""

    def __init__(self, client: Client, auth: Auth) -> None:
        """Build the exchange."""
        self.client, self.told, self.paid = client, list[tuple[str, str]](), 0
        self.exchange = Exchange(
            auth, timeout=5.0, connections=1, watch=self._watch, toll=self._toll
        )

    def _watch(self, method: str, result: str, seconds: float) -> None:
        assert seconds >= 0
        self.told.append((method, result))

    async def _toll(self) -> None:
        self.paid += 1

    async def fault(self) -> Fault:
        """Return how a call fails."""
        with pytest.raises(CallFailed) as failed:
            await self.exchange("profile", b"{}")
        return failed.value.fault


Staging = Callable[..., Stage]


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Staging:
    """Give the test a way to build a stage from answers."""

    def stage(*answers: httpx.Response | Exception, renewals: int | None = None) -> Stage:
        client = Client(answers)
        monkeypatch.setattr(httpx, "AsyncClient", lambda **_: client)
        webhook = Webhook(f"{OLD}/rest/1/{SECRET}/")
        return Stage(client, webhook if renewals is None else Application(renewals))

    return stage


async def test_a_token_goes_into_the_body(staged: Staging) -> None:
    """In front, whatever follows; an address with a token would be logged by others."""
    stage = staged(GOOD, GOOD, renewals=0)
    await stage.exchange("profile", b"{}")
    await stage.exchange("crm.item.list", b'{"a":1}')
    assert [
        (f"{OLD}/rest/profile", b'{"auth":"a0"}'),
        (f"{OLD}/rest/crm.item.list", b'{"auth":"a0","a":1}'),
    ] == stage.client.sent


async def test_a_call_refused_for_its_token_goes_again_with_the_next(staged: Staging) -> None:
    """It pays for the portal's bucket; the caller sees nothing of it."""
    stage = staged(EXPIRED, GOOD, renewals=9)
    assert {"result": 1} == await stage.exchange("profile", b"{}")
    assert ["a0", "a1"] == [json.loads(body)["auth"] for _, body in stage.client.sent]
    assert ([("profile", "barred"), ("profile", "ok")], 1) == (stage.told, stage.paid)


@pytest.mark.parametrize(("answer", "kind"), [(EXPIRED, "barred"), (NO_AUTH, "suspect")])
async def test_a_token_that_does_not_help_ends_it(
    staged: Staging, answer: httpx.Response, kind: str
) -> None:
    """The second may have been another process's, and old as well; not the third."""
    stage = staged(*[answer] * 9, renewals=9)
    assert kind == (await stage.fault()).kind
    assert 3 == len(stage.client.sent)
    stage = staged(*[answer] * 9, renewals=0)
    assert kind == (await stage.fault()).kind
    assert 1 == len(stage.client.sent)


@pytest.mark.parametrize("answer", [EXPIRED, NO_AUTH])
async def test_a_webhook_has_nothing_to_renew(staged: Staging, answer: httpx.Response) -> None:
    """It is refused at once."""
    stage = staged(answer)
    await stage.fault()
    assert ([], 0) == (list(stage.client.answers), stage.paid)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_renamed_portal_gets_the_same_post(
    staged: Staging, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With its body, at once, and from then on; it is said once, without the secret."""
    stage = staged(moved(f"{NEW}/rest/x", status), GOOD, GOOD)
    await stage.exchange("profile", b'{"a":1}')
    await stage.exchange("profile", b"{}")
    path = f"/rest/1/{SECRET}/profile"
    assert [(OLD + path, b'{"a":1}'), (NEW + path, b'{"a":1}'), (NEW + path, b"{}")] == (
        stage.client.sent
    )
    assert ["portal has moved: give its new address in the settings"] == caplog.messages
    assert SECRET not in str([vars(record) for record in caplog.records])
    assert 1 == stage.paid


@pytest.mark.parametrize(
    "to",
    ["https://stranger.example/", "http://two.bitrix24.com/", "https://two.bitrix24.com.evil/"],
)
async def test_a_stranger_gets_nothing(staged: Staging, to: str) -> None:
    """The call is refused as it stands; a person must look."""
    stage = staged(moved(to))
    fault = await stage.fault()
    assert (CallKind.BARRED, "REDIRECT_REFUSED") == (fault.kind, fault.code)
    assert 1 == len(stage.client.sent)


@pytest.mark.parametrize("to", ["", "/auth/", f"{OLD}/auth/", "https://[broken"])
async def test_a_redirect_to_nowhere_else_is_tried_later(staged: Staging, to: str) -> None:
    """A page of maintenance, perhaps."""
    fault = await staged(moved(to)).fault()
    assert (CallKind.UNAVAILABLE, "HTTP_302") == (fault.kind, fault.code)


async def test_redirects_do_not_go_on_for_ever(staged: Staging) -> None:
    """One per call."""
    stage = staged(moved(NEW), moved(OLD))
    assert CallKind.UNAVAILABLE is (await stage.fault()).kind


async def test_a_doubtful_call_never_goes_again(staged: Staging) -> None:
    """The portal may have executed it; when it left is told to whoever looks it up."""
    for broken in (httpx.ReadTimeout("x"), httpx.Response(502), httpx.Response(200)):
        stage = staged(broken, renewals=9)
        fault = await stage.fault()
        assert CallKind.AMBIGUOUS is fault.kind
        assert fault.sent_at > 0
        assert 1 == len(stage.client.sent)


async def test_a_repeated_call_is_dated_by_its_last_post(staged: Staging) -> None:
    """Else it would be looked up too early."""
    stage = staged(EXPIRED, httpx.ReadTimeout("x"), renewals=1)
    fault = await stage.fault()
    assert CallKind.AMBIGUOUS is fault.kind
    assert [("profile", "barred"), ("profile", "ambiguous")] == stage.told
