"""Look-ups: listing, fields and the small methods answer as documented."""

import httpx
import pytest

from tests.integration.sandbox.calls import DEAL, call, error, found, imported
from tests.sandbox import Portal

INVOICE, ESTIMATE = 31, 7


async def _fill(client: httpx.AsyncClient, count: int) -> None:
    for first in range(0, count, 20):
        numbers = range(first, min(first + 20, count))
        await imported(client, [{"originId": f"e{n}", "originatorId": "me"} for n in numbers])


async def test_pages_have_fifty_rows_a_total_and_a_next(client: httpx.AsyncClient) -> None:
    """Show total always and next while there is more; neither without counting."""
    await _fill(client, 70)
    first = (await call(client, "crm.item.list", entityTypeId=DEAL, select=["id"])).json()
    assert (50, 70, 50) == (len(first["result"]["items"]), first["total"], first["next"])
    assert {"id": 1} == first["result"]["items"][0]
    last = (await call(client, "crm.item.list", entityTypeId=DEAL, start=50)).json()
    assert (20, 70) == (len(last["result"]["items"]), last["total"])
    assert "next" not in last
    bare = (await call(client, "crm.item.list", entityTypeId=DEAL, start=-1)).json()
    assert {"result", "time"} == set(bare)
    assert 50 == len(bare["result"]["items"])


async def test_conditions_are_joined_and_ordered_by_id(client: httpx.AsyncClient) -> None:
    """Find several external ids of one originator in one call, above a known id."""
    await _fill(client, 40)
    await imported(client, [{"originId": "e3", "originatorId": "other"}])
    wanted = {"=originatorId": "me", "@originId": ["e30", "e3", "none"]}
    rows = await found(client, select=["id", "originId"], filter=wanted, order={"id": "ASC"})
    assert [{"id": 4, "originId": "e3"}, {"id": 31, "originId": "e30"}] == rows
    assert [31] == [row["id"] for row in await found(client, filter={**wanted, ">id": 4})]
    assert [41, 4] == [
        row["id"] for row in await found(client, filter={"originId": "e3"}, order={"id": "DESC"})
    ]
    assert [4] == [row["id"] for row in await found(client, filter={"=id": "4"})]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"filter": {"=xmlId": "a"}}, "field 'xmlId' is not allowed in filter"),
        ({"filter": {"UF_CRM_1": "a"}}, "field 'UF_CRM_1' is not allowed in filter"),
        ({"filter": {">id": [1]}}, "field 'id' has invalid value"),
        ({"order": {"nothing": "ASC"}}, "field 'nothing' is not allowed in order"),
        ({"order": {"id": "UP"}}, "allowed sort directions are `ASC, DESC`"),
    ],
)
async def test_bad_query_is_refused_in_the_documented_words(
    client: httpx.AsyncClient, params: dict[str, object], words: str
) -> None:
    """Answer 400 INVALID_ARG_VALUE and name the field."""
    answer = await call(client, "crm.item.list", entityTypeId=DEAL, **params)
    assert (400, "INVALID_ARG_VALUE") == error(answer)
    assert words in answer.json()["error_description"]


async def test_missing_read_permission_looks_like_nothing_found(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Return an empty page, while the description of the fields is denied."""
    await _fill(client, 3)
    portal.configure(read_denied=[DEAL])
    assert [] == await found(client)
    answer = await call(client, "crm.item.fields", entityTypeId=DEAL)
    assert (400, "ACCESS_DENIED") == error(answer)


async def test_original_names_with_a_selection_return_empty_rows(
    client: httpx.AsyncClient,
) -> None:
    """Reproduce the reported defect, and show both spellings without a selection."""
    await imported(client, [{"ufCrm_5": "a"}], entity_type=ESTIMATE)
    assert [[]] == await found(client, ESTIMATE, select=["id"], useOriginalUfNames="Y")
    rows = await found(client, ESTIMATE, select=["*"], useOriginalUfNames="Y")
    assert "a" == rows[0]["UF_CRM_5"]
    assert [1] == [row["id"] for row in await found(client, ESTIMATE, filter={"ufCrm_5": "a"})]


async def test_fresh_items_and_other_cases_are_found_only_as_configured(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Simulate a lagging replica and a collation that ignores case."""
    await imported(client, [{"xmlId": "Ab"}], entity_type=INVOICE)
    assert [] == await found(client, INVOICE, filter={"=xmlId": "aB"})
    portal.configure(ignore_case=True)
    assert 1 == len(await found(client, INVOICE, filter={"=xmlId": "aB"}))
    portal.configure(list_lag_seconds=30)
    assert [] == await found(client, INVOICE, filter={"=xmlId": "aB"})


async def test_fields_are_described_as_documented(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Describe system and custom fields with the documented members."""
    portal.configure(
        required={DEAL: ["title"]}, user_fields={DEAL: {"ufCrm_1": {"multiple": True}}}
    )
    answer = await call(client, "crm.item.fields", entityTypeId=DEAL)
    fields = answer.json()["result"]["fields"]
    documented = {
        "type": "integer",
        "isRequired": False,
        "isReadOnly": True,
        "isImmutable": False,
        "isMultiple": False,
        "isDynamic": False,
    }
    assert documented | {"title": "id", "upperName": "ID"} == fields["id"]
    assert fields["title"]["isRequired"]
    assert "ORIGIN_ID" == fields["originId"]["upperName"]
    assert (True, True) == (fields["ufCrm_1"]["isMultiple"], fields["ufCrm_1"]["isDynamic"])
    assert "xmlId" not in fields


@pytest.mark.parametrize(
    ("entity_type", "present"), [(1, "originId"), (4, "originId"), (31, "xmlId"), (1032, "xmlId")]
)
async def test_external_id_field_differs_by_type(
    client: httpx.AsyncClient, entity_type: int, present: str
) -> None:
    """Offer originId on the four old types and xmlId on invoices and smart processes."""
    answer = await call(client, "crm.item.fields", entityTypeId=entity_type)
    offered = {"originId", "xmlId"} & answer.json()["result"]["fields"].keys()
    assert {present} == offered


async def test_small_methods_answer_and_unknown_ones_do_not_exist(
    client: httpx.AsyncClient,
) -> None:
    """Answer profile, scope, time and types; anything else is a 404."""
    profile = (await call(client, "profile")).json()["result"]
    assert ("1", True) == (profile["ID"], profile["ADMIN"])
    assert "crm" in (await call(client, "scope")).json()["result"]
    assert (await call(client, "server.time")).json()["result"].endswith("+00:00")
    types = (await call(client, "crm.type.list")).json()["result"]["types"]
    assert [128, 1032] == [one["entityTypeId"] for one in types]
    second = (await call(client, "crm.type.list", start=50)).json()["result"]["types"]
    assert [] == second
    assert (404, "ERROR_METHOD_NOT_FOUND") == error(await call(client, "crm.item.nothing"))
