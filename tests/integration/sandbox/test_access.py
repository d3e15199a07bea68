"""Access: credentials, states of the portal, tokens and limits, over a socket."""

import asyncio

import httpx
import pytest

from tests.integration.sandbox.calls import call, error, imported, scripted
from tests.sandbox import Portal

REFRESH = {
    "grant_type": "refresh_token",
    "client_id": "app.sandbox",
    "client_secret": "app-secret",
    "refresh_token": "refresh-0",
}


async def _with_token(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/rest/profile.json", json={"auth": token})


@pytest.mark.parametrize("path", ["/rest/1/wrong/", "/rest/2/sandbox-secret/"])
async def test_wrong_webhook_is_refused(client: httpx.AsyncClient, path: str) -> None:
    """Answer 401 INVALID_CREDENTIALS to a wrong user or secret."""
    assert (401, "INVALID_CREDENTIALS") == error(await client.post(f"{path}profile", json={}))


async def test_rotated_secret_closes_the_old_webhook(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Let the webhook be regenerated at run time."""
    portal.configure(secret="new")
    assert (401, "INVALID_CREDENTIALS") == error(await imported(client))
    answer = await client.post(f"/{portal.webhook_path}profile", json={})
    assert 200 == answer.status_code


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("credentials", 401, "INVALID_CREDENTIALS"),
        ("scope", 401, "insufficient_scope"),
        ("plan", 401, "ACCESS_DENIED"),
        ("overload", 503, "OVERLOAD_LIMIT"),
        ("deleted", 403, "PORTAL_DELETED"),
        ("auth_server", 401, "CONNECTION_ERROR"),
    ],
)
async def test_troubled_portal_refuses_before_anything_happens(
    portal: Portal, client: httpx.AsyncClient, state: str, status: int, code: str
) -> None:
    """Answer the state's own code, create nothing, and recover at once."""
    portal.configure(state=state)
    assert (status, code) == error(await imported(client))
    assert [] == portal.ledger.items
    portal.configure(state="ok")
    assert 200 == (await imported(client)).status_code


async def test_html_states_hit_everything_or_only_the_import(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Answer with a page instead of JSON, and leave look-ups alone where asked."""
    portal.configure(state="html503")
    assert [503, 503] == [
        (await imported(client)).status_code,
        (await call(client, "profile")).status_code,
    ]
    portal.configure(state="import_html503")
    assert [503, 200] == [
        (await imported(client)).status_code,
        (await call(client, "profile")).status_code,
    ]


async def test_tokens_are_taken_from_body_or_header(client: httpx.AsyncClient) -> None:
    """Accept both places, let the header win, and refuse what is unknown."""
    assert 200 == (await _with_token(client, "access-0")).status_code
    assert (401, "NO_AUTH_FOUND") == error(await _with_token(client, "unknown"))
    assert (401, "NO_AUTH_FOUND") == error(await client.post("/rest/profile", json={}))
    bearer = {"Authorization": "Bearer access-0"}
    answer = await client.post("/rest/profile", json={"auth": "unknown"}, headers=bearer)
    assert 200 == answer.status_code


async def test_refresh_rotates_the_pair(portal: Portal, client: httpx.AsyncClient) -> None:
    """Issue a new pair, make the old refresh token worthless, keep the access token valid."""
    answer = await client.post("/oauth/token/", data=REFRESH)
    issued = answer.json()
    members = "access_token refresh_token expires expires_in client_endpoint server_endpoint"
    assert {*members.split(), "domain", "member_id", "scope", "status", "user_id"} == set(issued)
    assert 3600 == issued["expires_in"]
    assert (400, "invalid_grant") == error(await client.get("/oauth/token", params=REFRESH))
    for token in ("access-0", issued["access_token"]):
        assert 200 == (await _with_token(client, token)).status_code
    again = REFRESH | {"refresh_token": issued["refresh_token"]}
    assert 200 == (await client.get("/oauth/token/", params=again)).status_code
    assert "refresh-0" not in str([call.body for call in portal.ledger.calls])


async def test_tokens_expire_by_time_or_by_order(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Answer expired_token once the time has passed or a test says so."""
    portal.tokens.expire()
    assert (401, "expired_token") == error(await _with_token(client, "access-0"))
    portal.configure(access_token="short", token_seconds=0)
    assert (401, "expired_token") == error(await _with_token(client, "short"))


async def test_authorisation_server_can_be_out_or_lose_its_answer(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Simulate an outage, and the rotation whose answer never arrived."""
    portal.configure(oauth_outage=True)
    assert 503 == (await client.post("/oauth/token/", data=REFRESH)).status_code
    portal.configure(oauth_outage=False)
    scripted(portal, kind="cut_after_commit", method="oauth.token")
    with pytest.raises(httpx.TransportError):
        await client.post("/oauth/token/", data=REFRESH)
    assert (400, "invalid_grant") == error(await client.post("/oauth/token/", data=REFRESH))


async def test_bucket_counts_every_request_and_refuses_first(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Answer 503 before even the credentials are looked at."""
    portal.configure(rate=0.001, burst=2)
    await call(client, "profile")
    await client.post("/rest/1/wrong/profile", json={})
    assert (503, "QUERY_LIMIT_EXCEEDED") == error(await imported(client))
    assert [] == portal.ledger.items


async def test_operating_budget_is_a_total_per_method_and_ends_in_429(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Count simulated seconds, refuse beyond the limit, and keep other methods open."""
    portal.configure(default_item_seconds=75, operating_limit=420, speed=750, report="simulated")
    answers = await asyncio.gather(imported(client), imported(client))
    assert {225, 450} == {answer.json()["time"]["operating"] for answer in answers}
    assert (429, "OPERATION_TIME_LIMIT") == error(await imported(client))
    answer = await call(client, "crm.item.list", entityTypeId=2)
    assert 0 == answer.json()["time"]["operating"]


async def test_scaled_portal_reports_real_seconds_unless_asked(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Divide what is reported by the speed, so that a client sees one consistent world."""
    portal.configure(default_item_seconds=10, speed=1000)
    block = (await imported(client)).json()["time"]
    assert 0.03 == pytest.approx(block["operating"])
    assert 0.03 == pytest.approx(block["processing"])
    assert 0.03 <= block["duration"] < 1
    assert 0 < block["operating_reset_at"] - block["finish"] <= 0.6
