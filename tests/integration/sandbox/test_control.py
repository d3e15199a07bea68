"""Control: the program can be scripted, read and stopped from outside."""

import asyncio
import json
import signal
import sys

import httpx
import pytest

from tests.integration.sandbox.calls import DEAL, imported
from tests.sandbox import Portal, Settings, running_portal
from tests.support.patience import patient


async def test_ledger_shows_items_and_calls_in_order(client: httpx.AsyncClient) -> None:
    """Show for each item what came and what was stored, and for each call how it ended."""
    entry = {"title": "x", "originId": "e1", "originatorId": "me", "nonsense": 1}
    await imported(client, {"m00": entry}, useOriginalUfNames="N")
    shown = (await client.get("/control/ledger")).json()
    item, record = shown["items"][0], shown["calls"][0]
    assert (1, DEAL, 1, "m00") == (item["id"], item["entityTypeId"], item["call"], item["key"])
    assert ("me", "e1") == (item["originatorId"], item["externalId"])
    assert "nonsense" not in item["fields"]
    assert entry == item["raw"] == json.loads(item["rawText"])
    assert ("crm.item.batchimport", 200, 1) == tuple(
        record[name] for name in ("method", "status", "size")
    )
    assert (["m00"], [1], "N") == tuple(
        record[name] for name in ("keys", "created", "use_original_uf_names")
    )
    assert "sandbox-secret" not in json.dumps(shown)
    assert [] == (await client.get("/control/ledger?items_from=1")).json()["items"]


async def test_summary_names_what_was_created_twice(client: httpx.AsyncClient) -> None:
    """Tell apart originators and types, and list the ids of true duplicates."""
    twice = {"originId": "e1", "originatorId": "me"}
    await imported(client, [twice, {"originId": "e1", "originatorId": "other"}])
    await imported(client, [twice, {}, {}])
    await imported(client, [{"xmlId": "e1"}, {"xmlId": "e1"}], entity_type=31)
    await imported(client, [{}], entity_type=999)
    summary = (await client.get("/control/summary")).json()
    assert {"2": 5, "31": 2} == summary["itemsByType"]
    assert ({"NOT_FOUND": 1}, 0, 1) == (
        summary["errors"],
        summary["open"],
        summary["mostAtOnce"],
    )
    assert [
        {"entityTypeId": 2, "originatorId": "me", "externalId": "e1", "ids": [1, 3]},
        {"entityTypeId": 31, "originatorId": "", "externalId": "e1", "ids": [6, 7]},
    ] == summary["duplicates"]


async def test_light_ledger_keeps_ids_and_still_finds_duplicates(
    portal: Portal, client: httpx.AsyncClient
) -> None:
    """Drop bodies and values, keep what look-ups need."""
    portal.configure(light=True, external_fields={7: "ufCrm_1"})
    rights = {"assignedById": 7, "opened": "N"}
    await imported(client, [{"ufCrm_1": "a", "comments": "long"} | rights] * 2, entity_type=7)
    assert {"ufCrm_1": "a"} | rights == portal.ledger.items[0].fields
    assert portal.ledger.calls[0].body is None
    assert [1, 2] == portal.ledger.ids_of(7, "a")


async def test_settings_and_faults_can_be_changed_from_outside(
    client: httpx.AsyncClient,
) -> None:
    """Take them as JSON, show them, and forget them at a reset."""
    changed = await client.post("/control/settings", json={"required": {"2": ["title"]}})
    assert {"2": ["title"]} == changed.json()["required"]
    assert "error" in (await imported(client, [{}])).json()["result"]["items"][0]
    added = await client.post("/control/faults", json=[{"kind": "html"}, {"kind": "slow"}])
    assert ["html", "slow"] == [fault["kind"] for fault in added.json()["faults"]]
    assert 502 == (await imported(client, [{}])).status_code
    assert [1, 0] == [
        fault["used"] for fault in (await client.get("/control/faults")).json()["faults"]
    ]
    await client.delete("/control/faults")
    assert [] == (await client.get("/control/faults")).json()["faults"]
    await client.post("/control/reset")
    assert [{"item": {"id": 1}}] == (await imported(client, [{}])).json()["result"]["items"]


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("settings", {"colour": "red"}),
        ("settings", {"state": "sad"}),
        ("settings", {"speed": 0}),
        ("faults", {"kind": "explode"}),
        ("faults", "html"),
    ],
)
async def test_mistakes_of_a_script_are_named(
    client: httpx.AsyncClient, path: str, data: object
) -> None:
    """Answer 400 with the mistake and change nothing."""
    answer = await client.post(f"/control/{path}", json=data)
    assert 400 == answer.status_code
    assert answer.json()["mistake"]


async def test_port_can_be_closed_and_opened_again() -> None:
    """Keep the portal's contents while nobody can reach it."""
    portal = Portal(Settings(light=True))
    async with running_portal(portal) as address, httpx.AsyncClient() as client:
        await client.post(f"{address}{portal.webhook_path}profile", json={})
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{address}control/summary")
        port = int(address.rstrip("/").rpartition(":")[2])
        async with running_portal(portal, port=port) as again:
            assert address == again
            summary = (await client.get(f"{address}control/summary")).json()
    assert {"profile": 1} == summary["calls"]


async def test_program_says_where_it_listens_and_stops_when_told() -> None:
    """Print one line, serve, and exit 0 on SIGTERM even with a call hanging."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.sandbox", "--settings", '{"secret": "s"}'),
        *("--faults", '[{"kind": "hang_before_commit", "seconds": 60}]'),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    line = (await program.stdout.readline()).decode()
    assert line.startswith("listening http://127.0.0.1:")
    url = f"{line.split()[1]}rest/1/s/crm.item.batchImport"
    times = httpx.Timeout(patient(10), read=patient(0.1))
    async with httpx.AsyncClient(timeout=times) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(url, json={"entityTypeId": 2, "data": [{}]})
    program.send_signal(signal.SIGTERM)
    out, err = await program.communicate()
    assert (0, b"", b"") == (program.returncode, out, err)
