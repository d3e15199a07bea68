"""Import: answers have the shapes and codes that the documentation shows."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.integration.sandbox.calls import (
    DEAL,
    HOOK,
    call,
    entries,
    error,
    found,
    imported,
    titles,
)
from tests.sandbox import Portal
from tests.support.patience import factor

REQUIRED = "CRM_FIELD_ERROR_REQUIRED"
NOT_VALID = "CRM_FIELD_ERROR_VALUE_NOT_VALID"


async def test_mixed_answer_is_the_documented_sample(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Answer HTTP 200 with one id and one error for the sample of the old official page."""
    portal.configure(required={DEAL: ["title"]})
    answer = await imported(client, [{"title": "My deal", "categoryId": 0}, {"title": ""}])
    description = 'The "title" field is required'
    sample = [{"item": {"id": 1}}, {"error": REQUIRED, "error_description": description}]
    assert 200 == answer.status_code
    assert {"items": sample} == answer.json()["result"]
    assert "application/json" in answer.headers["content-type"]


async def test_success_carries_the_documented_time_block(client: httpx.AsyncClient) -> None:
    """Report exactly the members that the documentation lists, in their types."""
    block = (await imported(client)).json()["time"]
    documented = ["start", "finish", "duration", "processing", "date_start", "date_finish"]
    assert [*documented, "operating", "operating_reset_at"] == list(block)
    assert block["duration"] == pytest.approx(block["finish"] - block["start"])
    assert timedelta(0) == datetime.fromisoformat(block["date_start"]).utcoffset()
    assert isinstance(block["operating_reset_at"], int)


async def test_self_hosted_portal_reports_no_counters(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Leave the counters out while the limiter is off."""
    portal.configure(counters=False)
    assert not {"operating", "operating_reset_at"} & (await imported(client)).json()["time"].keys()


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ({"m00": {}, "m01": {}}, ["m00", "m01"]),
        ({"1": {}, "0": {}}, ["1", "0"]),
        ({"0": {}, "2": {}}, ["0", "2"]),
        ({"0": {}, "1": {}}, None),
        ([{}, {}], None),
        ({}, None),
        ([], None),
    ],
)
async def test_answer_mirrors_keys_and_collapses_counted_ones_to_a_list(
    client: httpx.AsyncClient, data: object, keys: list[str] | None
) -> None:
    """Answer like PHP: keys 0..n-1 in order become a list, all others stay."""
    items = entries(await imported(client, data))
    assert keys == (None if isinstance(items, list) else list(items))


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        ({"data": [{}]}, "100", "Could not find value for parameter {entityTypeId}"),
        ({"entityTypeId": 2}, "100", "Could not find value for parameter {data}"),
        ({"entityTypeId": 2, "data": None}, "100", "match with parameter {data}"),
        ({"entityTypeId": True, "data": []}, "100", "match with parameter {entityTypeId}"),
        ({"entityTypeId": 999, "data": [{}]}, "NOT_FOUND", "Smart process not found"),
        ({"entityTypeId": 2, "data": [{}], "useOriginalUfNames": True}, "100", "string"),
        ({"entityTypeId": 2, "data": [{}] * 21}, "MAX_IMPORT_BATCH_SIZE_EXCEEDED", "20"),
        ({"entityTypeId": 31, "data": [{}]}, "ENTITY_TYPE_NOT_SUPPORTED", "not supported"),
    ],
)
async def test_call_refused_as_a_whole_creates_nothing(
    portal: Portal, client: httpx.AsyncClient, params: dict[str, object], code: str, words: str
) -> None:
    """Answer 400 in the two-member shape, before any entry is touched."""
    portal.configure(closed_types=[31])
    answer = await call(client, "crm.item.batchImport", **params)
    assert (400, code) == error(answer)
    assert words in answer.json()["error_description"]
    assert [] == portal.ledger.items


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"entityTypeId": 2, "data": [{"title": NaN}]}',
        b'{"entityTypeId": 2, "data": [{"title": "\\ud800"}]}',
        b'{"entityTypeId": 2, "data": [{"title": "\xff"}]}',
        b"[]",
    ],
)
async def test_unreadable_body_counts_as_an_empty_one(
    client: httpx.AsyncClient, body: bytes
) -> None:
    """Complain about the first missing parameter, as the real binder does."""
    headers = {"Content-Type": "application/json"}
    answer = await client.post(f"{HOOK}crm.item.batchImport", content=body, headers=headers)
    assert (400, "100") == error(answer)
    assert "{entityTypeId}" in answer.json()["error_description"]


@pytest.mark.parametrize("name", ["CRM.ITEM.BATCHIMPORT", "crm.item.batchImport.json/"])
async def test_method_names_are_read_generously(client: httpx.AsyncClient, name: str) -> None:
    """Accept any case, the suffix and a trailing slash, and a number written as a string."""
    answer = await call(client, name, entityTypeId="2", data=[{}])
    assert [{"item": {"id": 1}}] == entries(answer)


async def test_refused_entry_leaves_its_neighbours_alone(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Store the entries around a refused one and number them without a gap."""
    user_fields = {DEAL: {"ufCrm_tags": {"type": "string", "multiple": True}}}
    portal.configure(allowed={DEAL: {"currencyId": ["USD"]}}, user_fields=user_fields)
    data = [
        {"title": "first"},
        {"ufCrm_tags": "a"},
        {"currencyId": "XXX"},
        {"companyId": -1},
        {"title": "last"},
    ]
    items = entries(await imported(client, data))
    assert [100, NOT_VALID, NOT_VALID] == [item["error"] for item in items[1:4]]
    assert "Expected iterable value" in items[1]["error_description"]
    assert ({"item": {"id": 1}}, {"item": {"id": 2}}) == (items[0], items[4])
    assert ["first", "last"] == titles(portal)


async def test_unreadable_file_is_an_integer_zero_on_a_saved_item(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Save the item without the file and hide its id."""
    portal.configure(user_fields={DEAL: {"ufCrm_9": {"type": "file"}}})
    files = [["a.png", "aGk="], ["a.png", "%"], "a.png"]
    items = entries(await imported(client, [{"title": "x", "ufCrm_9": one} for one in files]))
    assert [None, 0, 0] == [item.get("error") for item in items]
    assert [True, False, False] == ["ufCrm_9" in item.fields for item in portal.ledger.items]


async def test_missing_permission_is_answered_per_entry(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Answer 200 with ACCESS_DENIED inside, as the source does."""
    portal.configure(import_denied=[DEAL])
    answer = await imported(client, [{}, {}])
    assert 200 == answer.status_code
    assert ["ACCESS_DENIED"] * 2 == [item["error"] for item in entries(answer)]
    assert [] == portal.ledger.items


async def test_wrong_values_are_dropped_or_bent_silently(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Follow the table of formats: unknown field, bad date, doubtful truth, long id."""
    entry = {
        "isReccurring": "Y",
        "begindate": "soon",
        "closedate": "2026-01-31",
        "opened": 1,
        "isManualOpportunity": True,
        "originId": "x" * 300,
        "id": 77,
    }
    await imported(client, [entry, "not an object"])
    stored = {
        "closedate": "2026-01-31",
        "opened": "N",
        "isManualOpportunity": "Y",
        "originId": "x" * 255,
        "title": "Deal #1",
    }
    assert [stored, {"title": "Deal #2"}] == [item.fields for item in portal.ledger.items]


async def test_custom_fields_follow_the_chosen_names(client: httpx.AsyncClient) -> None:
    """Read UF names only under Y, and file both spellings under one field."""
    await imported(client, [{"ufCrm_172": "a"}, {"UF_CRM_172": "b"}])
    await imported(client, [{"UF_CRM_172": "c", "originId": "1"}], useOriginalUfNames="Y")
    rows = await found(client, select=["id", "ufCrm_172"])
    assert ["a", None, "c"] == [row["ufCrm_172"] for row in rows]


async def test_system_times_are_for_administrators_and_never_go_back(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Refuse them from others, from the future, and before the newest item."""
    hour = timedelta(hours=1)
    past, future = ((datetime.now(UTC) + step).isoformat() for step in (-hour, hour))
    data = [{"createdTime": past}, {}, {"createdTime": past}, {"createdTime": future}]
    items = entries(await imported(client, data))
    assert [None, None, NOT_VALID, NOT_VALID] == [item.get("error") for item in items]
    portal.configure(admin=False)
    assert NOT_VALID == entries(await imported(client, [{"updatedTime": past}]))[0]["error"]


async def test_overlong_code_of_a_smart_process_breaks_the_call_after_its_neighbours(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Fail as a database does: the call as a whole, with the first entry created."""
    data = [{"title": "a"}, {"xmlId": "x" * 256}, {"title": "c"}]
    assert (400, "400") == error(await imported(client, data, entity_type=128))
    assert ["a"] == titles(portal)


async def test_ledger_keeps_the_digits_as_they_came(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Show the exact text of an entry, so that a test can see untouched numbers."""
    text = '{"opportunity": 1.10e+2, "title": "\\u0416", "taxValue":12345678901234567890.10}'
    body = f'{{"entityTypeId": 2, "x": [1, {{}}], "data": {{"a": {{}}, "b" : {text} }} }}'
    await client.post(
        f"{HOOK}crm.item.batchImport",
        content=body.encode(),
        headers={"Content-Type": "application/json"},
    )
    assert ["{}", text] == [portal.ledger.raw_text(item) for item in portal.ledger.items]
    assert body == portal.ledger.calls[0].body
    assert "Ж" == json.loads(text)["title"] == titles(portal)[1]


async def test_slow_entries_are_stored_one_by_one_and_cut_at_the_gateway(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Answer 504 in HTML with the prefix stored, and finish the rest only if told to."""
    # Soon after the second one: a busy loop must not come to the third one before it cuts.
    portal.configure(default_item_seconds=1.0, cut_seconds=2.1, speed=10 / factor())
    answer = await imported(client)
    assert (504, "text/html") == (answer.status_code, answer.headers["content-type"][:9])
    assert ["one", "two"] == titles(portal)


@pytest.mark.parametrize(
    ("entity_type", "sent", "stored"),
    [
        (DEAL, {"opportunity": "1200,50"}, {"opportunity": 1200}),
        (DEAL, {"opportunity": "12 pcs"}, {"opportunity": 12}),
        (DEAL, {"assignedById": "Ada"}, {"assignedById": 0}),
        (DEAL, {"contactIds": "5,6"}, {"contactIds": [5]}),
        (DEAL, {"additionalInfo": 2**70}, {"additionalInfo": "1.1805916207174E+21"}),
        (DEAL, {"closedate": "31.01.2026"}, {"closedate": "2026-01-31"}),
        (DEAL, {"closedate": "2026-01-31T23:30:00-08:00"}, {"closedate": "2026-02-01"}),
        (DEAL, {"PHONE": [{"VALUE": "+1", "VALUE_TYPE": "WORK"}]}, {}),
        (3, {"PHONE": "+1"}, {"PHONE": []}),
        (3, {"PHONE": [{"value": "+1"}]}, {"PHONE": []}),
    ],
)
async def test_values_are_kept_as_php_makes_them(
    portal: Portal,
    client: httpx.AsyncClient,
    entity_type: int,
    sent: dict[str, object],
    stored: dict[str, object],
) -> None:
    """Numbers up to the first letter, days in the server's zone, multifields in one shape."""
    await call(client, "crm.item.batchImport", entityTypeId=entity_type, data=[sent])
    (item,) = portal.ledger.items
    assert stored == {name: value for name, value in item.fields.items() if name != "title"}


async def test_a_column_of_three_byte_characters_ends_before_a_longer_one(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """And one that trims drops white space at both ends."""
    portal.configure(columns="utf8mb3", trims=True)
    await imported(client, [{"title": " chat-😀-17"}])
    assert ["chat-"] == titles(portal)


async def test_the_number_of_an_item_that_is_not_there_is_kept_or_refused(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """As the settings say; nothing and 0 are no number."""
    await imported(client, [{"title": "deal 1"}])
    wrong = {"title": "x", "contactId": 77}
    assert [{"item": {"id": 2}}] == entries(await imported(client, [wrong]))
    portal.configure(references="checked")
    right = {"title": "y", "parentId2": "1", "contactId": 0, "companyId": "", "contactIds": []}
    data = [wrong, right, {"parentId2": 99}, {"contactIds": [1]}]
    items = entries(await imported(client, data))
    assert [0, None, 0, 0] == [each.get("error") for each in items]
    assert "Contact #77" in items[0]["error_description"]
    portal.ledger.delete([1])
    assert [0] == [each["error"] for each in entries(await imported(client, [right]))]
    assert 4 == portal.ledger.next_id()
