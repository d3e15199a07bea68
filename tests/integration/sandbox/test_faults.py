"""Faults: each kind does on the wire and in the portal what its name says."""

import time
from typing import Any

import httpx
import pytest

from tests.integration.sandbox.calls import HOOK, call, entries, error, imported, scripted, titles
from tests.sandbox import Fault, Portal
from tests.support.amqp import wait_until
from tests.support.patience import patient

ALL = ["one", "two", "three"]


@pytest.mark.parametrize(
    ("fault", "status", "code", "stored"),
    [
        ({"kind": "refuse", "code": "expired_token", "status": 401}, 401, "expired_token", []),
        ({"kind": "partial_then_error", "items": 2}, 400, "0", ALL[:2]),
        ({"kind": "partial_then_error", "code": 400}, 400, "400", ALL[:1]),
        ({"kind": "poison", "match": "two"}, 400, "0", ALL[:1]),
        ({"kind": "poison", "match": "two", "saved": True}, 400, "0", ALL[:2]),
        ({"kind": "error_200", "code": "wrong_client"}, 200, "wrong_client", []),
        ({"kind": "error_200", "committed": True}, 200, "ERROR_CORE", ALL),
    ],
)
async def test_scripted_error_has_the_documented_shape(
    portal: Portal,
    client: httpx.AsyncClient,
    fault: dict[str, Any],
    status: int,
    code: str,
    stored: list[str],
) -> None:
    """Answer with a string code and no time block, after exactly the items it should store."""
    scripted(portal, **fault)
    assert (status, code) == error(await imported(client))
    assert stored == titles(portal)
    assert fault["kind"] == portal.ledger.calls[0].fault
    assert 200 == (await imported(client)).status_code


@pytest.mark.parametrize(
    ("fault", "stored"),
    [
        ({"kind": "cut_before_commit"}, []),
        ({"kind": "cut_after_commit"}, ALL),
        ({"kind": "partial_then_cut", "items": 1}, ALL[:1]),
        ({"kind": "poison", "match": "three", "then": "cut"}, ALL[:2]),
        ({"kind": "truncated"}, ALL),
    ],
)
async def test_cut_line_leaves_what_was_stored(
    portal: Portal, client: httpx.AsyncClient, fault: dict[str, Any], stored: list[str]
) -> None:
    """Break the connection at the scripted moment, with no readable answer."""
    scripted(portal, **fault)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await imported(client)
    assert stored == titles(portal)
    assert portal.ledger.calls[0].cut


async def test_truncated_answer_announces_its_whole_length(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Send half of a JSON body under a Content-Length for all of it."""
    scripted(portal, kind="truncated")
    body = {"entityTypeId": 2, "data": [{}]}
    async with client.stream("POST", f"{HOOK}crm.item.batchImport", json=body) as answer:
        assert 200 == answer.status_code
        pieces = answer.aiter_raw()
        got = await anext(pieces)
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(pieces)
    assert got.startswith(b'{"result"')
    assert int(answer.headers["content-length"]) // 2 == len(got)


@pytest.mark.parametrize(
    ("fault", "status", "stored"),
    [
        ({"kind": "html", "status": 502}, 502, []),
        ({"kind": "html", "status": 504, "committed": True}, 504, ALL),
        ({"kind": "poison", "match": "one", "then": "html"}, 500, []),
        ({"kind": "not_json_200"}, 200, ALL),
        ({"kind": "empty_body"}, 200, ALL),
        ({"kind": "empty_body", "committed": False}, 200, []),
    ],
)
async def test_answer_without_json_tells_nothing_about_what_was_stored(
    portal: Portal,
    client: httpx.AsyncClient,
    fault: dict[str, Any],
    status: int,
    stored: list[str],
) -> None:
    """Answer with a page or nothing at all, before or after the work."""
    scripted(portal, **fault)
    answer = await imported(client)
    assert status == answer.status_code
    assert not answer.text.startswith("{")
    assert stored == titles(portal)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "wrong_count"}, {"m00": 1, "m01": 2}),
        ({"kind": "wrong_count", "missing": 2}, {"m00": 1}),
        (
            {"kind": "wrong_count", "surplus": 1},
            {"m00": 1, "m01": 2, "m02": 3, "extra0": 900_000_000},
        ),
        ({"kind": "null_entry", "match": "two"}, {"m00": 1, "m01": None, "m02": 3}),
        ({"kind": "id_zero", "index": 2}, {"m00": 1, "m01": 2, "m02": 0}),
    ],
)
async def test_distorted_answer_follows_a_complete_import(
    portal: Portal,
    client: httpx.AsyncClient,
    fault: dict[str, Any],
    expected: dict[str, int | None],
) -> None:
    """Store everything and then lose, add or blank entries of the answer."""
    scripted(portal, **fault)
    items = entries(await imported(client))
    seen = {key: entry and entry["item"]["id"] for key, entry in items.items()}
    assert expected == seen
    assert ALL == titles(portal)


async def test_keyed_question_may_get_a_list(portal: Portal, client: httpx.AsyncClient) -> None:
    """Answer in the order of the request, without the keys."""
    scripted(portal, kind="list_form")
    assert [1, 2, 3] == [entry["item"]["id"] for entry in entries(await imported(client))]


@pytest.mark.parametrize(("saved", "stored"), [(True, ALL), (False, ["one", "three"])])
async def test_entry_error_may_hide_a_saved_item(
    portal: Portal, client: httpx.AsyncClient, *, saved: bool, stored: list[str]
) -> None:
    """Answer an integer 0 for the matching entry, saved or not."""
    scripted(portal, kind="item_error", code=0, match="two", saved=saved)
    scripted(portal, kind="item_error", code=100, match="nowhere")
    items = entries(await imported(client))
    assert 0 == items["m01"]["error"]
    assert {"item"} == set(items["m00"]) == set(items["m02"])
    assert stored == titles(portal)


async def test_entry_errors_join_a_fault_of_the_call(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Let several entries and the call itself be hit at once."""
    scripted(portal, kind="item_error", code=0, match="one")
    scripted(portal, kind="item_error", code="ACCESS_DENIED", match="two")
    scripted(portal, kind="list_form")
    items = entries(await imported(client))
    assert [0, "ACCESS_DENIED"] == [entry["error"] for entry in items[:2]]
    assert "item_error+item_error+list_form" == portal.ledger.calls[0].fault


@pytest.mark.parametrize("kind", ["hang_before_commit", "hang_after_commit"])
async def test_portal_finishes_what_an_impatient_client_left(
    portal: Portal, client: httpx.AsyncClient, kind: str
) -> None:
    """Store everything although the client has long gone."""
    scripted(portal, kind=kind, seconds=patient(0.4))
    with pytest.raises(httpx.ReadTimeout):
        await client.post(
            f"{HOOK}crm.item.batchImport",
            json={"entityTypeId": 2, "data": [{"title": "late"}]},
            timeout=httpx.Timeout(patient(10), read=patient(0.1)),
        )
    early = titles(portal)
    assert ([] if kind == "hang_before_commit" else ["late"]) == early
    await wait_until(lambda: ["late"] == titles(portal), what="the rest of the work")


async def test_slow_call_costs_operating_time(portal: Portal, client: httpx.AsyncClient) -> None:
    """Count the extra seconds as work."""
    scripted(portal, kind="slow", seconds=0.15)
    started = time.monotonic()
    block = (await imported(client)).json()["time"]
    assert time.monotonic() - started >= 0.15
    assert pytest.approx(0.15) == block["operating"] == block["processing"]


async def test_renamed_portal_redirects_without_working(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Answer 302 with the new address and leave the body unread."""
    scripted(portal, kind="redirect", location="https://new.example/rest/")
    answer = await imported(client)
    assert (302, "https://new.example/rest/") == (answer.status_code, answer.headers["location"])
    assert [] == titles(portal)


async def test_fault_waits_repeats_and_strikes_only_its_method(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Skip the first matching calls, strike the ordered number of times, spare the rest."""
    scripted(portal, kind="html", after=1, times=2)
    scripted(portal, kind="html", method="profile", times=-1, status=503)
    codes = [(await imported(client)).status_code for _ in range(4)]
    assert [200, 502, 502, 200] == codes
    assert [503, 503] == [(await call(client, "PROFILE")).status_code for _ in range(2)]


async def test_refused_call_uses_up_no_fault(portal: Portal, client: httpx.AsyncClient) -> None:
    """Keep a fault for a call that gets as far as the portal's work."""
    scripted(portal, kind="html")
    portal.configure(state="plan")
    await imported(client)
    portal.configure(state="ok")
    assert 502 == (await imported(client)).status_code


def _history(seed: int) -> list[str | None]:
    data = {"kind": "random", "seed": seed, "share": 0.5}
    fault = Fault.parse(data | {"kinds": ["truncated", {"kind": "html", "status": 503}]})
    strikes = (fault.strikes("crm.item.batchimport", "") for _ in range(200))
    return [None if strike is None else strike.kind for strike in strikes]


def test_random_fault_repeats_itself_by_seed() -> None:
    """Throw the same history for one seed and another for the next."""
    history = _history(1)
    assert history == _history(1)
    assert history != _history(2)
    assert {None, "truncated", "html"} == set(history)
    assert 60 < sum(kind is not None for kind in history) < 140


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"kind": "explode"}, "unknown fault"),
        ({"kind": "html", "colour": "red"}, "unknown members of a fault: colour"),
        ({"times": 1}, "needs a kind"),
        ({"kind": "random"}, "needs kinds"),
        ({"kind": "random", "kinds": ["explode"]}, "unknown fault"),
    ],
)
def test_mistaken_fault_is_refused_in_words(data: dict[str, Any], words: str) -> None:
    """Name the mistake instead of never striking."""
    with pytest.raises(ValueError, match=words):
        Fault.parse(data)
