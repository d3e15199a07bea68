"""Proves what is read out of a dead letter, and what goes back."""

from datetime import UTC, datetime

import pytest

from service.rabbit.letters import Letter, perhaps_sent, redriven, renewed
from service.rabbit.snapshot import MAX_RETURNS, Renewals
from tests.unit.commands.dlq.samples import FAILED_AT, body, letter, ours

DEATH = {
    "queue": "crm.items.import",
    "reason": "delivery_limit",
    "exchange": "crm.items",
    "routing-keys": ["item.9"],
    "time": datetime(2026, 1, 1, tzinfo=UTC),
}


def test_a_letter_of_ours_says_why_it_failed() -> None:
    """Kind, code, time, original key and id come from our headers."""
    read = letter()
    assert ("rejected", "CRM_FIELD_ERROR_REQUIRED", FAILED_AT) == (
        read.kind,
        read.code,
        read.failed_at,
    )
    assert (("crm.items", "item.2"), "m-1", "e", 2) == (
        read.origin,
        read.message_id,
        read.event_id,
        read.entity_type_id,
    )


def test_a_letter_of_the_broker_says_it_by_its_death() -> None:
    """Kind `undelivered`, the reason as code, key and time of the death."""
    read = letter(headers={"x-death": [DEATH]}, message_id="theirs")
    assert ("undelivered", "delivery_limit", DEATH["time"]) == (
        read.kind,
        read.code,
        read.failed_at,
    )
    assert (("crm.items", "item.9"), "theirs", None) == (
        read.origin,
        read.message_id,
        read.unique,
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-death": "nonsense"},
        {"x-death": []},
        {"x-death": [1]},
        {"x-death": [1, {"routing-keys": {"a": 1}}]},
        {"x-death": [{"routing-keys": 5, "exchange": [], "time": "x"}]},
        {"x-death": [{"routing-keys": []}]},
        {"import_error_kind": 5, "import_failed_at": "yesterday", "import_redrive_count": "x"},
        {"import_error_kind": b"\xff", "import_error_code": bytearray(b"c")},
    ],
)
def test_no_letter_is_too_strange_to_read(headers: dict[str, object]) -> None:
    """Whatever lies in the queue has a kind, a code, a key and an id."""
    read = letter(b"\xff", headers)
    assert all(isinstance(each, str) for each in (read.kind, read.code, read.event_id))
    assert isinstance(read.origin, tuple)
    assert (None, 0) == (read.failed_at, read.redrives)


def test_a_redriven_message_has_id_and_count_of_ours_and_nothing_else() -> None:
    """What the broker and we have added goes, what upstream sent stays."""
    added = {
        "x-death": [DEATH],
        "x-first-death-queue": "q",
        "x-last-death-reason": "r",
        "x-delivery-count": 3,
        "x-acquired-count": 3,
        "CC": ["a"],
        "BCC": ["b"],
    }
    theirs = {"traceparent": "00-1", "x-own": 1, "raw": b"\xff"}
    message = redriven(
        letter(
            headers={**ours(redrive_count=4), **added, **theirs},
            correlation_id="c",
            app_id="shop",
            content_type="application/json",
        ),
        "crm.items",
        b"new body",
    )
    assert ("crm.items", "item.2", b"new body") == (
        message.exchange,
        message.routing_key,
        message.body,
    )
    properties = message.properties
    assert {
        **theirs,
        "import_event_id": "e",
        "import_redrive_count": 5,
        "import_error_kind": "rejected",
    } == properties.headers
    assert ("m-1", "c", "shop", 2) == (
        properties.message_id,
        properties.correlation_id,
        properties.app_id,
        properties.delivery_mode,
    )


@pytest.mark.parametrize("resend", [False, True])
@pytest.mark.parametrize("kind", ["rejected", "ambiguous", None])
def test_what_may_be_in_the_crm_goes_back_marked(kind: str | None, *, resend: bool) -> None:
    """It is looked up, and not sent before its absence is proved; unless somebody says so."""
    headers = {"x-death": [DEATH]} if kind is None else ours(error_kind=kind)
    back = redriven(letter(headers=headers), "crm.items", b"", resend=resend).properties.headers
    assert (kind or "undelivered") == (back or {})["import_error_kind"]
    assert (kind != "rejected" and not resend) == perhaps_sent(back or {})


def test_a_letter_moved_back_with_another_tool_is_known_as_perhaps_sent() -> None:
    """It has our kind, and counts as redriven; without a count it came from upstream."""
    assert perhaps_sent({"import_error_kind": "ambiguous", "import_redrive_count": 1})
    assert not perhaps_sent({"import_error_kind": "ambiguous"})
    assert not perhaps_sent({"import_error_kind": "rejected", "import_redrive_count": 1})
    assert perhaps_sent({"import_perhaps_sent": "2026-03-01T12:00:00+00:00"})


def test_what_the_broker_puts_aside_after_a_redrive_is_undelivered() -> None:
    """Its kind is that of the letter before; the broker's reason is the code."""
    back = redriven(letter(headers=ours()), "crm.items", b"").properties.headers or {}
    aside = letter(headers={**back, "x-death": [DEATH]}, message_id="m-1")
    assert ("undelivered", DEATH["reason"], "m-1", 1) == (
        aside.kind,
        aside.code,
        aside.message_id,
        aside.redrives,
    )
    again = redriven(aside, "crm.items", b"").properties.headers or {}
    assert "undelivered" == again["import_error_kind"]


def test_an_event_keeps_its_name_when_its_body_changes() -> None:
    """Named by its content, it would be another event after a patch: the header wins."""
    nameless = letter(body(id=None), headers={"x-death": [DEATH]}, message_id=None)
    message = redriven(nameless, "crm.items", b"patched")
    assert nameless.event_id.startswith("sha256:")
    assert nameless.event_id == (message.properties.headers or {})["import_event_id"]


def test_the_longest_id_goes_back_in_its_header() -> None:
    """Whatever bytes its characters take."""
    long = letter(body(id="é" * 700), headers=ours(event_id=None))
    headers = redriven(long, "crm.items", b"").properties.headers or {}
    assert "é" * 700 == headers["import_event_id"]


def test_a_renewed_letter_goes_to_its_queue_alone() -> None:
    """Through the default exchange, without copies elsewhere, its returns forgotten."""
    read = letter(headers={"x-death": [DEATH], "x-delivery-count": 9, "CC": ["elsewhere"]})
    message = renewed(read, "crm.items.dlq")
    assert ("", "crm.items.dlq", read.body) == (
        message.exchange,
        message.routing_key,
        message.body,
    )
    headers = dict(message.properties.headers or {})
    assert headers.pop("import_renewed")
    assert {
        "x-death": [DEATH],
        "import_original_exchange": "crm.items",
        "import_original_routing_key": "item.9",
    } == headers


def test_a_renewal_keeps_its_mark_until_a_redrive() -> None:
    """Two letters alike get two marks; upstream never sees one."""
    first, other = (
        dict(renewed(letter(), "crm.items.dlq").properties.headers or {}) for _ in range(2)
    )
    assert first["import_renewed"] != other["import_renewed"]
    again = renewed(letter(headers=first), "crm.items.dlq").properties.headers
    assert first == again
    back = redriven(letter(headers=first), "crm.items", b"").properties.headers
    assert {
        "import_event_id": "e",
        "import_error_kind": "rejected",
        "import_redrive_count": 1,
    } == back


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("", 0), ("", 0), False),
        (("", MAX_RETURNS), ("", MAX_RETURNS), False),
        (("", MAX_RETURNS), ("a", 0), True),
        (("a", 0), ("", MAX_RETURNS + 1), True),
        (("", MAX_RETURNS - 1), ("a", 0), False),
        (("a", MAX_RETURNS), ("a", 0), True),
        (("a", 0), ("b", 0), False),
    ],
)
def test_only_a_renewal_is_a_copy(
    one: tuple[str, int], other: tuple[str, int], *, expected: bool
) -> None:
    """Letters alike that were put there twice are two letters, renewed or not."""
    for first, second in ((one, other), (other, one)):
        renewals = Renewals()
        assert not renewals.is_copy(_twin(*first))
        assert expected == renewals.is_copy(_twin(*second))


def test_letters_that_were_never_renewed_take_no_memory() -> None:
    """However many of them are read; those that were leave a trace of fixed size."""
    renewals = Renewals()
    assert not any(renewals.is_copy(letter(message_id=f"m-{n}")) for n in range(1000))
    assert 0 == len(renewals)
    assert not any(renewals.is_copy(_twin("mark", 0, f"m-{n}")) for n in range(1000))
    assert 0 < len(renewals) <= 2000


def _twin(mark: str, returns: int, message_id: str = "twin") -> Letter:
    headers = {**ours(renewed=mark or None), "x-delivery-count": returns}
    return letter(headers=headers, message_id=message_id)


def test_a_redrive_count_stays_a_number_that_fits() -> None:
    """Whatever somebody wrote there."""
    back = redriven(letter(headers=ours(redrive_count=2**40)), "crm.items", b"")
    assert 2**31 - 1 == (back.properties.headers or {})["import_redrive_count"]
