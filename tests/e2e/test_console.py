"""Proves the console as people use it: the real process, over HTTP, with a real broker."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.support.amqp import Upstream
from tests.support.broker import Broker
from tests.support.console import Browser, ConsoleProcess, Page
from tests.support.letters import INTAKE_QUEUE, Letters, letter

Start = Callable[..., ConsoleProcess]
PAGES = ("/", "/lanes", "/lanes/128", "/dead-letters", "/parked", "/find", "/history")


@pytest.fixture
def start(broker: Broker, vhost: str) -> Iterator[Start]:
    """Lend what starts a console."""
    with ExitStack() as stack:

        def started(settings: Mapping[str, str] | None = None, url: str = "") -> ConsoleProcess:
            env = {"IMPORTER_RABBIT__URL": url or broker.url(vhost), **(settings or {})}
            return stack.enter_context(ConsoleProcess(env)).wait_ready()

        yield started


@pytest.fixture
def console(start: Start, letters: Letters) -> ConsoleProcess:
    """Lend a console, with queues and without an importer."""
    _ = letters
    return start()


@pytest.fixture
async def browser(console: ConsoleProcess) -> AsyncIterator[Browser]:
    """Lend a browser at the console."""
    async with Browser(console) as opened:
        yield opened


async def settled(browser: Browser, address: str, code: int = 200) -> Page:
    """Load a page until it changes no more by itself."""
    for _ in range(200):
        page = await browser.get(address, code)
        assert browser.last is not None
        if 'data-live="1"' not in browser.last.text:
            return page
        await asyncio.sleep(0.1)
    raise AssertionError(f"{address} is still at work")


async def intake(broker: Broker, vhost: str, count: int) -> list[dict[str, object]]:
    """Take what was sent back to the intake."""
    async with Upstream(broker.url(vhost)) as upstream:
        found = await upstream.drain(INTAKE_QUEUE, count)
        assert 0 == await upstream.ready(INTAKE_QUEUE)
    return [json.loads(message.body) for message in found]


@pytest.mark.parametrize("address", PAGES)
async def test_every_page_can_be_read_without_an_importer(browser: Browser, address: str) -> None:
    """None is blank, and each names what is missing; each is fit for a screen reader."""
    page = await browser.get(address)
    assert [] == page.flaws()
    assert 100 < len(page.text)


async def test_letters_are_shown_in_groups_and_one_by_one(
    letters: Letters, browser: Browser
) -> None:
    """The values of fields stand on the letter's own page, and nowhere else."""
    await letters.put(letter("a"), letter("b"), letter("c/ü", code="X", entity_type=128))
    page = await settled(browser, "/dead-letters")
    assert [] == page.flaws()
    assert "3 letters looked at" in page.text
    assert "/dead-letters?kind=rejected&code=X" in page.links
    assert "comments" not in page.text
    page = await browser.get("/dead-letters/c%2F%C3%BC")
    assert [] == page.flaws()
    assert "who must act" in page.text.lower()
    assert "comments" in page.text
    assert 3 == await letters.ready()


async def test_a_letter_is_mended_and_sent_back(
    broker: Broker, vhost: str, letters: Letters, browser: Browser
) -> None:
    """Fields that are changed or added go with it; the others keep their bytes."""
    body = b'{"entityTypeId":2,"id":"a","fields":{"price":1.10,"title":"old","n":"7"}}'
    await letters.put(letter("a", body=body), letter("b"))
    page = await settled(browser, "/dead-letters/a")
    filled = {"value1": "new", "new_name0": "flag", "new_value0": "true", "who": "Ann Lee"}
    page = await browser.send(page, "/dead-letter", {"action": "send back", **filled})
    assert "1 letter sent back" in page.text
    async with Upstream(broker.url(vhost)) as upstream:
        [message] = await upstream.drain(INTAKE_QUEUE, 1)
    assert b'"price":1.10' in message.body
    assert {"price": 1.1, "title": "new", "n": "7", "flag": True} == json.loads(message.body)[
        "fields"
    ]
    assert 1 == await letters.ready()
    page = await browser.get("/history")
    assert "Ann Lee" in page.text


async def test_many_are_sent_back_after_a_plan(
    broker: Broker, vhost: str, letters: Letters, browser: Browser
) -> None:
    """Nothing moves before somebody says who he is and why; the outcome can be read again."""
    await letters.put(letter("a"), letter("b"), letter("c", kind="malformed", code="WRONG_SHAPE"))
    page = await settled(browser, "/dead-letters")
    page = await browser.send(page, "/tasks", {"action": "send back"})
    assert "Send back 2 letters" in page.text
    assert 3 == await letters.ready()
    page = await browser.send(page, "/tasks/1/start", {"who": "Ann"}, 400)
    page = await browser.get("/tasks/1")
    page = await browser.send(
        page, "/tasks/1/start", {"who": "Ann", "reason": "the field is back"}
    )
    page = await settled(browser, "/tasks/1")
    assert "2 letters sent back, 1 letter stayed" in page.text
    assert "the field is back" in page.text
    assert {"a", "b"} == {each["id"] for each in await intake(broker, vhost, 2)}
