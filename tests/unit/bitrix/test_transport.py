"""Tests how often a call goes again: for its token, for its address, and no more."""

import asyncio
import json
from collections import deque
from collections.abc import Callable

import httpx
import pytest

from service.bitrix.auth import Endpoint, Webhook
from service.bitrix.http import Reply, Unanswered
from service.bitrix.transport import MAX_REDIRECTS, Auth, Transport
from service.domain.network import Cause
from service.domain.outcomes import CallFailed, CallKind, Fault
from tests.virtual_time import START, run

SECRET = "very-secret"
OLD, NEW = "https://one.bitrix24.com", "https://two.bitrix24.com"
THIRD, OWN = "https://three.bitrix24.com", "https://crm.own.example"
GOOD = httpx.Response(200, json={"result": 1})
EXPIRED = httpx.Response(401, json={"error": "expired_token"})
NO_AUTH = httpx.Response(401, json={"error": "NO_AUTH_FOUND"})
FOREIGN = httpx.Response(401, json={"error": "INVALID_CREDENTIALS"})
PAGE = httpx.Response(404, text="<html>")
DEAD = httpx.ConnectError("x")
CALL = ("crm.item.batchImport", b'{"a":1}')
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

    async def post(self, url: str, body: bytes, *, seconds: float) -> Reply:
        """Answer, or break."""
        assert seconds > 0
        self.sent.append((url, body))
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            late = isinstance(answer, httpx.TimeoutException)
            left = not isinstance(answer, httpx.ConnectError)
            raise Unanswered(Cause("broken", "mend it"), left=left, late=late)
        return Reply(answer.status_code, answer.headers, answer.content)

    async def close(self) -> None:
        """Close nothing."""


class Application:
    """Stands in for an application: `a0`, then `a1` …, as often as it may renew."""

    def __init__(self, renewals: int) -> None:
        """Renew so often, then say that it would not help."""
        self.renewals, self.number, self.notes = renewals, 0, 0
        self.endpoint = Endpoint(f"{OLD}/rest/")

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

    async def confirms_host(self, target: str) -> bool:
        """Know one host that has another name."""
        return target == f"{OWN}/rest/"

    def note(self) -> None:
        """Count the notes."""
        self.notes += 1

    async def close(self) -> None:
        """End nothing."""


class Harness:
    """An exchange with what it sent, told and paid."""

    def __init__(self, client: Client, auth: Auth) -> None:
        """Build the exchange."""
        self.client, self.told, self.paid = client, list[tuple[str, str]](), 0
        self.auth = auth
        self.transport = Transport(
            auth,
            http=client,
            timeout=5.0,
            on_response=self._on_response,
            before_repeat=self._before_repeat,
        )

    def _on_response(self, method: str, fault: Fault | None, seconds: float) -> None:
        assert seconds >= 0
        self.told.append((method, "ok" if fault is None else str(fault.kind)))

    async def _before_repeat(self) -> None:
        self.paid += 1

    async def fault(self) -> Fault:
        """Return how a call fails."""
        with pytest.raises(CallFailed) as failed:
            await self.transport("profile", b"{}")
        return failed.value.fault

    async def call(self) -> str:
        """Make a call that changes something; return how it fails."""
        try:
            await self.transport(*CALL)
        except CallFailed as failed:
            return f"{failed.fault.kind} {failed.fault.code}"
        return "ok"

    def posts(self) -> list[tuple[str, str]]:
        """Return which methods were posted to which hosts since the last question."""
        sent = [(a.partition("/rest/")[0], a.rpartition("/")[2]) for a, _ in self.client.sent]
        self.client.sent.clear()
        return sent


Staging = Callable[..., Harness]


@pytest.fixture
def harness_of() -> Staging:
    """Give the test a way to build a harness from answers."""

    def harness(*answers: httpx.Response | Exception, renewals: int | None = None) -> Harness:
        client = Client(answers)
        webhook = Webhook(f"{OLD}/rest/1/{SECRET}/")
        return Harness(client, webhook if renewals is None else Application(renewals))

    return harness


async def test_a_token_goes_into_the_body(harness_of: Staging) -> None:
    """In front, whatever follows; an address with a token would be logged by others."""
    harness = harness_of(GOOD, GOOD, renewals=0)
    await harness.transport("profile", b"{}")
    await harness.transport("crm.item.list", b'{"a":1}')
    assert [
        (f"{OLD}/rest/profile", b'{"auth":"a0"}'),
        (f"{OLD}/rest/crm.item.list", b'{"auth":"a0","a":1}'),
    ] == harness.client.sent


async def test_a_call_refused_for_its_token_goes_again_with_the_next(harness_of: Staging) -> None:
    """It pays for the portal's bucket; the caller sees nothing of it."""
    harness = harness_of(EXPIRED, GOOD, renewals=9)
    assert {"result": 1} == await harness.transport("profile", b"{}")
    assert ["a0", "a1"] == [json.loads(body)["auth"] for _, body in harness.client.sent]
    assert ([("profile", "barred"), ("profile", "ok")], 1) == (harness.told, harness.paid)


@pytest.mark.parametrize(("answer", "kind"), [(EXPIRED, "barred"), (NO_AUTH, "suspect")])
async def test_a_token_that_does_not_help_ends_it(
    harness_of: Staging, answer: httpx.Response, kind: str
) -> None:
    """The second may have been another process's, and old as well; not the third."""
    harness = harness_of(*[answer] * 9, renewals=9)
    assert kind == (await harness.fault()).kind
    assert 3 == len(harness.client.sent)
    harness = harness_of(*[answer] * 9, renewals=0)
    assert kind == (await harness.fault()).kind
    assert 1 == len(harness.client.sent)


@pytest.mark.parametrize("answer", [EXPIRED, NO_AUTH])
async def test_a_webhook_has_nothing_to_renew(harness_of: Staging, answer: httpx.Response) -> None:
    """It is refused at once."""
    harness = harness_of(answer)
    await harness.fault()
    assert ([], 0) == (list(harness.client.answers), harness.paid)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_renamed_portal_gets_the_same_post(
    harness_of: Staging, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Once it has answered a question there, and from then on; it is said without the secret."""
    harness = harness_of(moved(f"{NEW}/rest/x", status), GOOD, GOOD, GOOD)
    await harness.transport(*CALL)
    await harness.transport(*CALL)
    path = f"/rest/1/{SECRET}/"
    assert [
        (f"{OLD}{path}{CALL[0]}", CALL[1]),
        (f"{NEW}{path}profile", b"{}"),
        (f"{NEW}{path}{CALL[0]}", CALL[1]),
        (f"{NEW}{path}{CALL[0]}", CALL[1]),
    ] == harness.client.sent
    assert ["portal has moved: put its new address into the settings"] == caplog.messages
    assert SECRET not in str([vars(record) for record in caplog.records])
    assert 2 == harness.paid


@pytest.mark.parametrize(
    ("answer", "fails"),
    [
        (DEAD, "unavailable CONNECTION_LOST"),
        (httpx.ReadTimeout("x"), "unavailable CALL_TIMED_OUT"),
        (httpx.ReadError("x"), "unavailable CONNECTION_LOST"),
        (PAGE, "unavailable HTTP_404"),
        (httpx.Response(200, text="<html>"), "unavailable UNREADABLE_ANSWER"),
        (httpx.Response(413), "unavailable HTTP_413"),
        (httpx.Response(404, json={"error": "NOT_FOUND"}), "unavailable NOT_FOUND"),
        (NO_AUTH, "unavailable NO_AUTH_FOUND"),
        (FOREIGN, "barred INVALID_CREDENTIALS"),
        (moved("/auth/"), "unavailable HTTP_302"),
    ],
)
async def test_a_redirect_alone_moves_nothing(
    harness_of: Staging, answer: httpx.Response | Exception, fails: str
) -> None:
    """Where no result comes from, the call itself is never sent, and the next one stays home."""
    for renewals in (None, 0):
        harness = harness_of(moved(NEW), answer, GOOD, renewals=renewals)
        assert fails == await harness.call()
        assert [(OLD, CALL[0]), (NEW, "profile")] == harness.posts()
        assert "ok" == await harness.call()
        assert [(OLD, CALL[0])] == harness.posts()
        if isinstance(harness.auth, Application):
            assert 0 == harness.auth.notes


async def test_a_redirect_that_leads_nowhere_names_the_host(
    harness_of: Staging, caplog: pytest.LogCaptureFixture
) -> None:
    """For whoever must find out who redirects."""
    fault = await harness_of(moved(NEW), DEAD).fault()
    assert fault.message.startswith("the portal redirects to two.bitrix24.com, where it does not")
    assert ["redirect not followed: the host gave no result"] == caplog.messages
    assert SECRET not in str([vars(record) for record in caplog.records])


async def test_an_old_token_is_renewed_at_the_new_place(harness_of: Staging) -> None:
    """The portal redirects before it looks at one; what is found is noted once."""
    harness = harness_of(moved(OWN), EXPIRED, GOOD, GOOD, renewals=9)
    assert "ok" == await harness.call()
    assert [(OLD, CALL[0]), (OWN, "profile"), (OWN, "profile"), (OWN, CALL[0])] == harness.posts()
    assert isinstance(harness.auth, Application)
    assert (1, 1) == (harness.auth.number, harness.auth.notes)


async def test_a_portal_renamed_twice_is_found(harness_of: Staging) -> None:
    """Every host on the way must be trusted."""
    harness = harness_of(moved(NEW), moved(THIRD), GOOD, GOOD)
    assert "ok" == await harness.call()
    posts = [(OLD, CALL[0]), (NEW, "profile"), (THIRD, "profile"), (THIRD, CALL[0])]
    assert posts == harness.posts()
    harness = harness_of(moved(NEW), moved("https://stranger.example/"))
    assert "barred REDIRECT_REFUSED" == await harness.call()


async def followed(harness: Harness) -> Harness:
    """Let the portal be found at its new place."""
    assert "ok" == await harness.call()
    assert NEW == harness.posts()[-1][0]
    return harness


@pytest.mark.parametrize(
    ("broken", "fails"),
    [
        (DEAD, "unavailable CONNECTION_LOST"),
        (PAGE, "ambiguous HTTP_404"),
        (httpx.ReadTimeout("x"), "ambiguous CALL_TIMED_OUT"),
        (FOREIGN, "barred INVALID_CREDENTIALS"),
    ],
)
async def test_a_portal_that_is_lost_is_asked_for_where_it_was(
    harness_of: Staging, broken: httpx.Response | Exception, fails: str
) -> None:
    """With a question that changes nothing; from its first result on it is there again."""
    harness = await followed(harness_of(moved(NEW), GOOD, GOOD, broken, GOOD, GOOD, GOOD))
    assert fails == await harness.call()
    assert [(NEW, CALL[0])] == harness.posts()
    assert ["ok", "ok"] == [await harness.call(), await harness.call()]
    assert [(OLD, "profile"), (OLD, CALL[0]), (OLD, CALL[0])] == harness.posts()


@pytest.mark.parametrize(
    "was", [DEAD, PAGE, FOREIGN, moved(NEW), moved("https://stranger.example/"), moved("/auth/")]
)
async def test_a_portal_that_was_away_is_found_where_it_had_moved(
    harness_of: Staging, was: httpx.Response | Exception
) -> None:
    """The old name may have ended, or be somebody else's; that never keeps a call back."""
    harness = await followed(harness_of(moved(NEW), GOOD, GOOD, DEAD, was, GOOD, GOOD))
    assert "unavailable CONNECTION_LOST" == await harness.call()
    harness.posts()
    assert ["ok", "ok"] == [await harness.call(), await harness.call()]
    assert [(OLD, "profile"), (NEW, CALL[0]), (NEW, CALL[0])] == harness.posts()


async def test_a_portal_that_was_away_may_have_moved_on(harness_of: Staging) -> None:
    """The configured address leads to where it is now."""
    harness = await followed(harness_of(moved(NEW), GOOD, GOOD, DEAD, moved(THIRD), GOOD, GOOD))
    await harness.call()
    harness.posts()
    assert "ok" == await harness.call()
    assert [(OLD, "profile"), (THIRD, "profile"), (THIRD, CALL[0])] == harness.posts()


async def test_an_answer_of_the_portal_is_no_loss(harness_of: Staging) -> None:
    """A limit or a refusal says that it is there."""
    busy = httpx.Response(503, json={"error": "QUERY_LIMIT_EXCEEDED"})
    harness = await followed(harness_of(moved(NEW), GOOD, GOOD, busy, GOOD))
    assert "throttled QUERY_LIMIT_EXCEEDED" == await harness.call()
    assert "ok" == await harness.call()
    assert [(NEW, CALL[0])] * 2 == harness.posts()


@pytest.mark.parametrize(
    "to",
    ["https://stranger.example/", "http://two.bitrix24.com/", "https://two.bitrix24.com.evil/"],
)
async def test_a_stranger_gets_nothing(harness_of: Staging, to: str) -> None:
    """The call is refused as it stands; a person must look."""
    harness = harness_of(moved(to))
    fault = await harness.fault()
    assert (CallKind.BARRED, "REDIRECT_REFUSED") == (fault.kind, fault.code)
    assert 1 == len(harness.client.sent)


@pytest.mark.parametrize("to", ["", "/auth/", f"{OLD}/auth/", "https://[broken"])
async def test_a_redirect_to_nowhere_else_is_tried_later(harness_of: Staging, to: str) -> None:
    """A page of maintenance, perhaps."""
    fault = await harness_of(moved(to)).fault()
    assert (CallKind.UNAVAILABLE, "HTTP_302") == (fault.kind, fault.code)


async def test_redirects_do_not_go_on_for_ever(harness_of: Staging) -> None:
    """Neither in a circle, nor ever further."""
    harness = harness_of(moved(NEW), moved(OLD), moved(NEW), GOOD)
    assert "unavailable HTTP_302" == await harness.call()
    assert [(OLD, CALL[0]), (NEW, "profile"), (OLD, CALL[0])] == harness.posts()
    further = [moved(f"https://n{number}.bitrix24.com/") for number in range(9)]
    harness = harness_of(*further)
    assert "unavailable HTTP_302" == await harness.call()
    assert 1 + MAX_REDIRECTS == len(harness.posts())


async def test_a_doubtful_call_never_goes_again(harness_of: Staging) -> None:
    """The portal may have executed it; when it left is told to whoever looks it up."""
    for broken in (httpx.ReadTimeout("x"), httpx.Response(502), httpx.Response(200)):
        harness = harness_of(broken, renewals=9)
        fault = await harness.fault()
        assert CallKind.AMBIGUOUS is fault.kind
        assert fault.sent_at > 0
        assert 1 == len(harness.client.sent)


async def test_a_repeated_call_is_dated_by_its_last_post(harness_of: Staging) -> None:
    """Else it would be looked up too early."""
    harness = harness_of(EXPIRED, httpx.ReadTimeout("x"), renewals=1)
    fault = await harness.fault()
    assert CallKind.AMBIGUOUS is fault.kind
    assert [("profile", "barred"), ("profile", "ambiguous")] == harness.told


@pytest.mark.parametrize(("told", "sent_at"), [(20.0, 20.0), (None, 30.0)])
def test_a_call_counts_as_sent_when_its_body_had_left_else_at_its_end(
    told: float | None, sent_at: float
) -> None:
    """The portal's own clock starts there: after a slow upload it may work on for as long."""

    class Slow(Client):
        async def post(self, url: str, body: bytes, *, seconds: float) -> Reply:
            await asyncio.sleep(30.0)
            left_at = None if told is None else START + told
            cause = Cause(f"{url}, {len(body)} bytes, {seconds:g} s", "mend it")
            raise Unanswered(cause, left=True, late=True, sent_at=left_at)

    async def story() -> float:
        webhook = Webhook(f"{OLD}/rest/1/{SECRET}/")
        return (await Harness(Slow(()), webhook).fault()).sent_at

    assert START + sent_at == run(story())
