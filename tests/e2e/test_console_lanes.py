"""Proves what the console shows of events that wait, and does with them, as the commands do."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.support.amqp import Upstream
from tests.support.broker import Broker
from tests.support.console import Browser, ConsoleProcess, settled
from tests.support.letters import INTAKE_QUEUE, QUEUE, Letters, letter
from tests.support.parked import DOUBTFUL, LINKS, ParkedQueues, lane, parked

PORTAL = {"IMPORTER_BITRIX__WEBHOOK_URL": "http://127.0.0.1/rest/1/secret/"}


@pytest.fixture
async def waiting(broker: Broker, vhost: str, letters: Letters) -> ParkedQueues:
    """Lend the inner queues, beside an intake that nobody consumes."""
    _ = letters
    found = ParkedQueues(broker, vhost)
    await found.declare(DOUBTFUL, LINKS)
    await found.declare_results()
    await found.put(
        lane(128), *(parked(f"e{n}", entity_type=128, reason="plan") for n in range(3))
    )
    await found.put(DOUBTFUL, parked("d", reason="doubt"))
    return found


@pytest.fixture
async def browser(broker: Broker, vhost: str, waiting: ParkedQueues) -> AsyncIterator[Browser]:
    """Lend a browser at a console that knows its portal; no importer answers."""
    _ = waiting
    settings = {
        "IMPORTER_RABBIT__URL": broker.url(vhost),
        # A lane of a smart process is known by its configuration.
        "IMPORTER_BITRIX__EXTERNAL_ID_FIELDS": '{"128": "xmlId"}',
        **PORTAL,
    }
    with ConsoleProcess(settings) as console:
        async with Browser(console.wait_ready()) as opened:
            yield opened


async def ids(broker: Broker, vhost: str, queue: str, count: int) -> set[str]:
    """Take so many messages of a queue; return their event ids."""
    async with Upstream(broker.url(vhost)) as upstream:
        found = await upstream.drain(queue, count)
        assert 0 == await upstream.ready(queue)
    return {str(json.loads(each.body)["id"]) for each in found}


async def test_without_an_importer_the_broker_tells_what_waits(browser: Browser) -> None:
    """How much and why; not whether a lane is closed now, and the pages say so."""
    for address in ("/lanes", "/parked", "/lanes/128"):
        page = await settled(browser, address)
        assert "not whether a lane is closed now" in page.text
        assert [] == page.flaws()
        assert "3" in page.text
    page = await settled(browser, "/lanes/128")
    assert "plan does not allow it" in page.text
    assert "no event of it is parked" in (await settled(browser, "/lanes/2")).text


async def test_an_event_that_waits_is_found(browser: Browser, letters: Letters) -> None:
    """As one that failed is; the page says where nobody could look."""
    await letters.put(letter("f", headers={"import_error_message": "no words of the portal"}))
    page = await settled(browser, "/find?id=e1&type=128")
    assert "waits for its lane (plan)" in page.text
    assert "could not be asked" in page.text
    assert [] == page.flaws()
    page = await settled(browser, "/find?id=f")
    assert "rejected, CRM_FIELD_ERROR_REQUIRED" in page.text
    assert "no words of the portal" not in page.text
    page = await settled(browser, "/find?id=nothing")
    assert "was not found" in page.text


async def test_what_is_parked_is_sent_back_after_a_plan(
    broker: Broker, vhost: str, browser: Browser, letters: Letters
) -> None:
    """All of a type, with what is in doubt of it; others stay."""
    page = await settled(browser, "/lanes/128")
    page = await browser.send(page, "/tasks", {"action": "return"})
    page = await settled(browser, "/tasks/1")
    assert "parked, type 128" in page.text
    assert 3 == await letters.ready(lane(128))
    page = await browser.send(page, "/tasks/1/start", {"who": "Ann", "reason": "a roll-back"})
    page = await settled(browser, "/tasks/1")
    assert "3 events sent back" in page.text
    assert {"e0", "e1", "e2"} == await ids(broker, vhost, INTAKE_QUEUE, 3)
    assert 1 == await letters.ready(DOUBTFUL)


async def test_what_is_parked_is_ended_after_a_plan(
    broker: Broker, vhost: str, browser: Browser, letters: Letters
) -> None:
    """Each becomes a failed result and a dead letter; the history says who did it and why."""
    page = await settled(browser, "/lanes/128")
    page = await browser.send(page, "/tasks", {"action": "end"})
    page = await settled(browser, "/tasks/1")
    assert "rejected" in page.text
    page = await browser.send(page, "/tasks/1/start", {"who": "Ann", "reason": "type is gone"})
    page = await settled(browser, "/tasks/1")
    assert "3 events ended" in page.text
    assert {"e0", "e1", "e2"} == await ids(broker, vhost, QUEUE, 3)
    assert 0 == await letters.ready(lane(128))
    history = await browser.get("/history")
    assert "type is gone" in history.text
    assert [] == history.flaws()


async def test_a_lane_is_tried_when_somebody_asks(browser: Browser) -> None:
    """Without a memory the page says when it is tried all the same."""
    page = await settled(browser, "/lanes/128")
    page = await browser.send(page, "/lanes/128/try", {"who": "Ann"})
    assert "tried at its next interval" in page.text
    assert "Ann" in (await browser.get("/history")).text
