"""Proves the console in a real browser: by keyboard, without scripts, at any width."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.chromium import ENTER, TAB, Chromium
from tests.support.console import ConsoleProcess
from tests.support.letters import INTAKE_QUEUE, Letters, letter
from tests.support.upstream_page import brought, node_modules

PAGES = (
    "",
    "lanes",
    "lanes/2",
    "dead-letters",
    "dead-letters/a",
    "parked",
    "find?id=a",
    "history",
)
Open = Callable[..., Chromium]


@pytest.fixture
async def console(broker: Broker, vhost: str, letters: Letters) -> AsyncIterator[ConsoleProcess]:
    """Lend a console with three letters."""
    await letters.put(letter("a"), letter("b"), letter("c", code="X"))
    with ConsoleProcess({"IMPORTER_RABBIT__URL": broker.url(vhost)}) as process:
        yield process.wait_ready()


@pytest.fixture
def browser() -> Iterator[Open]:
    """Lend what opens a browser; skipped by name where there is none."""
    brought("chromium.sh")
    with ExitStack() as stack:

        def opened(**more: Any) -> Chromium:
            return stack.enter_context(Chromium(**more))

        yield opened


async def shows(window: Chromium, text: str) -> None:
    """Wait until a page shows a text."""

    async def is_there() -> bool:
        return text in await asyncio.to_thread(window.text)

    await wait_until(is_there, what=f"a page with {text!r}")


@pytest.mark.timeout(480)  # sixteen pages, each looked through by axe
async def test_every_page_is_fit_for_everybody(console: ConsoleProcess, browser: Open) -> None:
    """No page is wider than the window, light or dark; axe finds nothing serious."""
    axe = (node_modules() / "axe-core/axe.min.js").read_text()
    window = browser()
    await asyncio.to_thread(window.open, console.url + "dead-letters")
    await shows(window, "3 letters looked at")
    for width, dark in ((360, False), (1440, True)):
        window.prefer(dark=dark)
        window.size(width)
        for page in PAGES:
            await asyncio.to_thread(window.open, console.url + page)
            wide = window.run("return document.documentElement.scrollWidth")
            assert width >= wide, f"/{page} is {wide} wide"
            found = await asyncio.to_thread(window.run_async, f"{axe};{_AXE}")
            assert [] == found, f"/{page} at {width}, dark: {dark}"


_AXE = """
const done = arguments[arguments.length - 1];
axe.run().then(found => done(found.violations
    .filter(each => ["serious", "critical"].includes(each.impact))
    .map(each => [each.id, each.nodes.map(node => node.html)])));
"""


async def test_a_letter_is_mended_by_keyboard_alone(
    broker: Broker, vhost: str, console: ConsoleProcess, browser: Open
) -> None:
    """From the list to the message in the queue, without a pointer."""
    window = browser()
    await asyncio.to_thread(window.open, console.url + "dead-letters/a")
    await shows(window, "comments")
    await _tab_to(window, "textarea")
    window.press("new ")
    await _tab_to(window, "input[name=who]")
    window.press("Ann")
    await _tab_to(window, "button[value='send back']")
    window.press(ENTER)
    await shows(window, "1 letter sent back")
    async with Upstream(broker.url(vhost)) as upstream:
        [message] = await upstream.drain(INTAKE_QUEUE, 1)
    assert "new " in json.loads(message.body)["fields"]["comments"]


async def test_letters_are_sent_back_in_bulk_with_and_without_scripts(
    console: ConsoleProcess, browser: Open, letters: Letters
) -> None:
    """A plan, a name, a reason, an outcome that survives a reload."""
    for left, scripts, query in (
        (1, True, "?kind=rejected&type=2&code=CRM_FIELD_ERROR_REQUIRED"),
        (0, False, "?code=X"),
    ):
        window = browser(scripts=scripts)
        await asyncio.to_thread(window.open, f"{console.url}dead-letters{query}")
        await shows(window, "match")
        assert scripts is (window.run("return typeof follow") == "function")
        await asyncio.to_thread(window.click, "button[value='send back']")
        await shows(window, "Planned, nothing is done yet")
        if scripts:
            axe = (node_modules() / "axe-core/axe.min.js").read_text()
            assert [] == await asyncio.to_thread(window.run_async, f"{axe};{_AXE}")
        window.write("#who", "Ann")
        window.write("#reason", "the field is back")
        await asyncio.to_thread(window.click, "form.confirm button")
        await shows(window, "sent back")
        number = 1 if scripts else 2
        await asyncio.to_thread(window.open, f"{console.url}tasks/{number}")
        await shows(window, "the field is back")
        assert left == await letters.ready()


async def test_a_script_that_got_into_a_page_does_not_run(
    console: ConsoleProcess, browser: Open
) -> None:
    """The policy forbids it; the page's own script runs."""
    window = browser()
    await asyncio.to_thread(window.open, console.url)
    window.run(
        "const each = document.createElement('script');"
        "each.textContent = 'document.title = \"broken in\"'; document.body.append(each);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')"
    )
    await asyncio.sleep(0.5)
    assert "broken in" != window.run("return document.title")
    assert "1" != window.run("return document.title")
    assert window.run("return typeof follow") == "function"


async def _tab_to(window: Chromium, selector: str) -> None:
    for _ in range(60):
        window.press(TAB)
        if window.run("return document.activeElement.matches(arguments[0])", selector):
            return
    raise AssertionError(f"{selector} is not reached by keyboard")
