"""Tests what goes to the portal byte for byte, and that no answer is unreadable.

How it goes over the wire is tested against the simulated portal, in `tests/integration`.
"""

import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bitrix.auth import Webhook
from service.bitrix.client import MAX_PAGES, PAGE, Portal
from service.bitrix.http import Reply
from service.bitrix.requests import encode_import
from service.bitrix.throttle import Throttle
from service.domain.events import BatchKey, ExternalId, ItemEvent
from service.domain.external_id import ExternalIds, storable
from service.domain.outcomes import MISSING, CallFailed, CallKind, Fault
from service.domain.pacing import LeakyBucket, OperatingBudget
from service.telemetry.labels import BUDGETED
from service.telemetry.metrics import Metrics

DEALS = BatchKey(2, original_names=False)
EXTERNAL = ExternalId("originId", "a", "crm-importer")
Answering = Callable[[bytes, int, dict[bytes, bytes]], Portal]


class OneAnswer:
    """Stands in for the HTTP client: whatever is asked, this is the answer."""

    def __init__(self, answer: Reply) -> None:
        """Keep the answer."""
        self._answer = answer

    async def post(self, url: str, body: bytes, *, seconds: float) -> Reply:
        """Answer."""
        assert url
        assert body
        assert seconds
        return self._answer

    async def close(self) -> None:
        """Close nothing."""


@pytest.fixture
def answering() -> Answering:
    """Give the test a way to make a portal that gives one answer to everything."""

    def portal(content: bytes, status: int, headers: dict[bytes, bytes]) -> Portal:
        http = OneAnswer(Reply(status, httpx.Headers(headers), content))
        metrics = Metrics()
        throttle = Throttle(
            bucket=LeakyBucket(rate=2.0, burst=50.0),
            budgets={method: OperatingBudget(420.0) for method in BUDGETED},
            metrics=metrics,
        )
        webhook = Webhook("https://portal.example/rest/1/very-secret/")
        return Portal(webhook, http=http, throttle=throttle, metrics=metrics, timeout=60.0)

    return portal


async def fault_of(portal: Portal) -> Fault:
    """Return what is known of an import call that fails."""
    with pytest.raises(CallFailed) as failed:
        await portal.import_items(DEALS, [sent(b'{"title":"x"}')])
    return failed.value.fault


def sent(fields: bytes, stamp: bytes = b"") -> ItemEvent:
    """Return an event with these raw fields."""
    return ItemEvent(2, "a", memoryview(fields), original_names=False, digest="0", stamp=stamp)


def test_a_call_is_written_to_the_byte() -> None:
    """Keys that are no numbers, so that the answer mirrors them."""
    events = [sent(b'{"title":"x"}', b'"originId":"a",'), sent(b'{"title":"y"}')]
    assert (
        b'{"entityTypeId":2,"useOriginalUfNames":"N","data":'
        b'{"m00":{"originId":"a","title":"x"},"m01":{"title":"y"}}}'
    ) == encode_import(DEALS, events)


def test_what_links_have_become_stands_behind_the_stamp() -> None:
    """The item's own fields stay as they are, also where there are none left."""
    event = replace(sent(b'{"t": 1.10 }', b'"originId":"a",'), linked=b'"contactId":5,')
    bare = replace(event, fields=memoryview(b"{}"))
    assert (
        b'{"m00":{"originId":"a","contactId":5,"t": 1.10 },"m01":{"originId":"a","contactId":5}}}'
    ) == encode_import(DEALS, [event, bare])[-87:]


def test_original_names_are_asked_for_with_a_letter() -> None:
    """A JSON boolean would fail the portal's type check."""
    body = encode_import(BatchKey(31, original_names=True), [sent(b'{"UF_CRM_1":1}')])
    assert body.startswith(b'{"entityTypeId":31,"useOriginalUfNames":"Y","data":')


@pytest.mark.parametrize(
    "fields",
    [
        b'{"sum":0.10000000000000000000001}',
        b'{"sum":1E400,"n":-0,"big":123456789012345678901234567890}',
        b'{"a" : [1 , 2] ,\n"b":{"c":null}}',
        b'{"t":"\\u00e9 \\/ \xc3\xa9"}',
    ],
)
def test_fields_go_in_untouched(fields: bytes) -> None:
    """Digits, escapes and spaces stay as the event gave them."""
    assert b'{"m00":' + fields + b"}}" == encode_import(DEALS, [sent(fields)])[-len(fields) - 9 :]


def test_spaces_before_the_fields_do_not_break_the_call() -> None:
    """The slice of a message may begin with them."""
    assert encode_import(DEALS, [sent(b'{"a":1}')]) == encode_import(
        DEALS, [sent(b' \r\n\t{"a":1}')]
    )


def test_twenty_items_have_twenty_keys_in_order() -> None:
    """From `m00` to `m19`."""
    body = json.loads(encode_import(DEALS, [sent(b'{"n":%d}' % n) for n in range(20)]))
    assert [(f"m{n:02}", {"n": n}) for n in range(20)] == list(body["data"].items())


@given(
    st.lists(
        st.dictionaries(
            st.text(min_size=1, max_size=8).filter(lambda name: name != "originId"),
            st.text(max_size=8) | st.integers() | st.none(),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
        max_size=5,
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
)
def test_any_fields_arrive_with_their_stamp(
    items: list[dict[str, str | int | None]], event_id: str
) -> None:
    """What the portal reads is what the event said, and the external id."""
    ids = ExternalIds("crm-importer")
    events: list[ItemEvent] = []
    expected: list[dict[str, str | int | None]] = []
    for fields in items:
        stamped = ids.stamp(2, event_id, fields, original_names=False)
        events.append(sent(json.dumps(fields).encode(), stamped.stamp))
        stamp = {"originId": storable(event_id), "originatorId": "crm-importer"}
        expected.append({**stamp, **fields})
    body = json.loads(encode_import(DEALS, events))
    assert expected == list(body["data"].values())


@pytest.mark.parametrize("own", [b"{}", b" { } "])
def test_an_item_of_nothing_but_its_stamp_is_valid_json(own: bytes) -> None:
    """Its own members were blank and gave way."""
    body = json.loads(encode_import(DEALS, [sent(own, b'"originId":"a",')]))
    assert [{"originId": "a"}] == list(body["data"].values())


def nested(depth: int) -> bytes:
    """Return JSON of so many lists."""
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "answer",
    [
        b"%b",
        b'{"result":%b}',
        b'{"error":%b}',
        b'{"error":{"code":%b}}',
        b'{"error":"0","error_description":%b}',
        b'{"result":{"items":{"m00":{"error":%b}}}}',
        b'{"result":{"items":{"m00":{"item":{"id":%b}}}},"time":{"operating":%b}}',
        b'{"result":{"items":[{"id":%b,"originId":%b}]}}',
    ],
)
async def test_an_answer_nested_too_deep_is_unreadable_at_most(
    answering: Answering, answer: bytes
) -> None:
    """Imports, look-ups and probes bring a report, rows or a failed call; nothing else."""
    for depth in (100, 900, 960, 990, 1_000, 100_000):
        portal = answering(answer.replace(b"%b", nested(depth)), 200, {})
        calls: list[Coroutine[Any, Any, object]] = [
            portal.import_items(DEALS, [sent(b'{"title":"x"}')]),
            portal.find(2, [EXTERNAL]),
            portal.oneself(),
            portal.types(),
            portal.probe(),
        ]
        for call in calls:
            try:
                await call
            except CallFailed as failed:
                assert failed.fault.kind is CallKind.AMBIGUOUS  # noqa: PT017 - or it does not fail


@pytest.mark.parametrize(
    ("rows", "types"),
    [
        (b"", set()),
        (b'{"entityTypeId":128},{"entityTypeId":"1032"}', {128, 1032}),
        (b'{"entityTypeId":0},{"entityTypeId":true},{"id":5},7,{"entityTypeId":140}', {140}),
        (b",".join(b'{"entityTypeId":%d}' % n for n in range(130, 190)), set(range(130, 190))),
    ],
    ids=["none", "as text", "rubbish", "the same page for ever"],
)
async def test_the_list_of_types_is_read_as_far_as_it_makes_sense(
    answering: Answering, rows: bytes, types: set[int]
) -> None:
    """A portal that gives the same page again and again is not asked for ever."""
    assert types == await answering(b'{"result":{"types":[%b]}}' % rows, 200, {}).types()


async def test_an_answer_without_a_list_is_no_empty_list(answering: Answering) -> None:
    """Nobody takes it for a portal without smart processes."""
    with pytest.raises(CallFailed):
        await answering(b'{"result":{"types":null}}', 200, {}).types()


async def test_a_page_with_more_rows_than_a_page_has_takes_no_more_memory(
    answering: Answering,
) -> None:
    """What is too much comes with the next page."""
    row = b'{"id":%d,"originId":"a","originatorId":"crm-importer"}'
    rows = b",".join(row % number for number in range(1, 2_000))
    portal = answering(b'{"result":{"items":[%b]}}' % rows, 200, {})
    found = await portal.find(2, [EXTERNAL])
    assert PAGE * MAX_PAGES == sum(map(len, found.values()))


async def test_an_answer_counts_only_for_exactly_the_pair_that_was_sent(
    answering: Answering,
) -> None:
    """Whatever the portal's search takes for alike: another system's item is not ours."""
    pairs = (
        b'"originId":"a","originatorId":"other"',
        b'"originId":"A","originatorId":"crm-importer"',
        b'"originId":"a ","originatorId":"crm-importer"',
        b'"originId":"a"',
        b'"originId":"a","originatorId":"crm-importer"',
    )
    rows = b",".join(b'{"id":%d,%b}' % (at, pair) for at, pair in enumerate(pairs, start=1))
    found = await answering(b'{"result":{"items":[%b]}}' % rows, 200, {}).find(2, [EXTERNAL])
    assert {EXTERNAL: [5]} == {pair: [each.item_id for each in found[pair]] for pair in found}


@pytest.mark.parametrize("digits", [19, 4_000, 10_000, 1_000_000])
async def test_a_huge_number_is_no_accident(answering: Answering, digits: int) -> None:
    """It is no id, or the answer is unreadable: neither the memory nor a result could hold it."""
    number = b"9" * digits
    item = b'{"result":{"items":{"m00":{"item":{"id":%b}}}}}'
    items = [sent(b'{"title":"x"}')]
    text = await answering(item % (b'"%b"' % number), 200, {}).import_items(DEALS, items)
    assert [MISSING] == list(text)
    portal = answering(item % number, 200, {})
    if digits < 4_300:
        assert [MISSING] == list(await portal.import_items(DEALS, items))
    else:
        fault = await fault_of(portal)
        assert (CallKind.AMBIGUOUS, "UNREADABLE_ANSWER") == (fault.kind, fault.code)


@pytest.mark.parametrize(
    ("total", "reset_at", "waits"),
    [
        (b"421", b"null", True),
        (b"421", b"1e300", True),
        (b"421", b"-1", True),
        (b"1e11", b"null", False),
        (b"1e300", b"null", False),
        (b"-421", b"null", False),
        (b"true", b"null", False),
    ],
)
async def test_a_counter_that_cannot_be_one_is_none(
    answering: Answering, total: bytes, reset_at: bytes, *, waits: bool
) -> None:
    """The budget goes by the others; no wait is longer than its window."""
    timing = b'{"operating":%b,"operating_reset_at":%b}' % (total, reset_at)
    portal = answering(b'{"result":{"items":{}},"time":%b}' % timing, 200, {})
    await portal.import_items(DEALS, [sent(b'{"title":"x"}')])
    seconds, _ = portal.pace()
    assert waits is (0.0 < seconds <= 600.0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'"ok"',
        b"{",
        b'{"result":1e999}',
        b'{"result":NaN}',
        b"\xff\xfe",
        b'{"a":"\xff"}',
        b"{}",
    ],
)
async def test_what_is_no_answer_is_ambiguous(answering: Answering, content: bytes) -> None:
    """The call may have been executed."""
    fault = await fault_of(answering(content, 200, {}))
    assert (CallKind.AMBIGUOUS, "UNREADABLE_ANSWER") == (fault.kind, fault.code)
    assert not fault.answered


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_an_unknown_json_error_of_a_gateway_was_perhaps_executed(
    answering: Answering, status: int
) -> None:
    """The portal may still work on it."""
    fault = await fault_of(answering(b'{"error":"GATEWAY","error_description":"x"}', status, {}))
    assert (CallKind.AMBIGUOUS, "GATEWAY", False) == (fault.kind, fault.code, fault.answered)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (b" 7 ", 7.0),
        (b"0", None),
        (b"\xb2", None),
        ("\u0667".encode(), None),
        (b"9" * 10, 3600.0),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        (b"Wed, 21 Oct 2015 07:28:00 GMT", None),
    ],
)
async def test_a_hint_is_seconds_or_a_date(
    answering: Answering, header: bytes, seconds: float | None
) -> None:
    """Anything else is ignored; it must not break the reading of the answer."""
    body = b'{"error":"QUERY_LIMIT_EXCEEDED"}'
    fault = await fault_of(answering(body, 503, {b"Retry-After": header}))
    assert (CallKind.THROTTLED, seconds) == (fault.kind, fault.retry_after)
