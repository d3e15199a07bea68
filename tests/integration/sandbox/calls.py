"""Makes the calls that the tests of the portal need."""

from typing import Any, TypeAlias

import httpx

from tests.sandbox import Fault, Portal

Json: TypeAlias = Any
HOOK = "/rest/1/sandbox-secret/"
DEAL = 2
THREE = {"m00": {"title": "one"}, "m01": {"title": "two"}, "m02": {"title": "three"}}


async def call(client: httpx.AsyncClient, method: str, **params: object) -> httpx.Response:
    """Call a method through the webhook."""
    return await client.post(HOOK + method, json=params)


async def imported(
    client: httpx.AsyncClient, data: object = None, entity_type: int = DEAL, **params: object
) -> httpx.Response:
    """Import some entries, three keyed ones unless told otherwise."""
    body = {"entityTypeId": entity_type, "data": THREE if data is None else data, **params}
    return await client.post(HOOK + "crm.item.batchImport", json=body)


async def found(client: httpx.AsyncClient, entity_type: int = DEAL, **params: object) -> Json:
    """Return the items that a listing finds."""
    answer = await call(client, "crm.item.list", entityTypeId=entity_type, **params)
    return answer.json()["result"]["items"]


def entries(answer: httpx.Response) -> Json:
    """Return the entries of an import's answer."""
    return answer.json()["result"]["items"]


def error(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of a whole-call error, checked for its shape."""
    body = answer.json()
    assert {"error", "error_description"} == set(body)
    return answer.status_code, body["error"]


def titles(portal: Portal) -> list[str]:
    """Return what the portal holds, in order."""
    return [item.fields["title"] for item in portal.ledger.items]


def scripted(portal: Portal, **fault: object) -> None:
    """Script one fault in the words of the control interface."""
    portal.faults.add(Fault.parse(fault))
