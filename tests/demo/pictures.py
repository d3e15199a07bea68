"""Takes the pictures of the console for the pages: `python -m tests.demo.pictures` (two minutes).

A real run: the demo's events, a type that the portal denies, an order whose customer never comes,
and what an operator does about it.
"""

import asyncio
import json
import sys
import time
from contextlib import ExitStack
from urllib.parse import quote

from tests.demo import samples
from tests.demo.environment import PORTAL
from tests.support.amqp import Upstream, wait_until
from tests.support.broker import Broker
from tests.support.chromium import Chromium
from tests.support.console import ConsoleProcess
from tests.support.node import open_broker
from tests.support.processes import ROOT, PortalProcess, ServiceProcess

FOLDER = ROOT / ".github/pictures"
VHOST = "pictures"
DENIED = 1032
COUNT, AT_ONCE, PAUSE_SECONDS = 320, 12, 2.0
WIDTH, MOST_HEIGHT = 1100, 1500


def main() -> int:
    """Run every part, work in the browser, take the pictures."""
    rules = {**PORTAL, "import_denied": [DENIED]}
    with ExitStack() as parts:
        broker = parts.enter_context(open_broker())
        broker.create_vhost(VHOST)
        parts.callback(broker.delete_vhost, VHOST)
        portal = parts.enter_context(PortalProcess(rules))
        settings = {
            "IMPORTER_RABBIT__URL": broker.url(VHOST),
            "IMPORTER_BITRIX__WEBHOOK_URL": portal.webhook_url,
        }
        service = parts.enter_context(ServiceProcess(settings))
        service.wait_ready()
        status = {"IMPORTER_CONSOLE__STATUS_URL": f"{service.url}status"}
        console = parts.enter_context(ConsoleProcess({**settings, **status})).wait_ready()
        asyncio.run(_publish(broker))
        window = parts.enter_context(Chromium())
        _take(window, console.url)
    return 0


async def _publish(broker: Broker) -> None:
    """Publish events as they would come, with a rest now and then."""
    order = {"entityTypeId": 2, "id": "order-4711", "fields": {"title": "Order 4711"}}
    order["links"] = {"contactId": {"entityTypeId": 3, "id": "customer-77"}}
    async with Upstream(broker.url(VHOST)) as upstream:
        await upstream.publish(json.dumps(order).encode(), routing_key="item.2")
        for number, each in enumerate(samples.make()[:COUNT]):
            await upstream.publish(
                each.body, routing_key=each.routing_key, message_id=each.key, **each.properties
            )
            if number % AT_ONCE == 0:
                await asyncio.sleep(PAUSE_SECONDS)

        async def is_done() -> bool:
            return await upstream.ready("crm.items.import") == 0

        await wait_until(is_done, what="an empty intake")
        await asyncio.sleep(5 * PAUSE_SECONDS)


def _take(window: Chromium, url: str) -> None:
    group = "dead-letters?kind=rejected&code=CRM_FIELD_ERROR_REQUIRED"
    letter = _first(window, f"{url}{group}", "a[href^='/dead-letters/']")
    # An operator mends one letter, sends back its like, and removes what nobody can read.
    _open(window, letter)
    _shot(window, "letter")
    window.click("summary")
    window.write("input[name=new_name0]", "title")
    window.write("textarea[name=new_value0]", "Order 12")
    window.write("input[name=who]", "Ann Lee")
    window.write("input[name=reason]", "the export lost its title")
    window.click("button[value='send back']")
    _settle(window)
    _plan(window, f"{url}dead-letters?kind=malformed", "remove", "test messages of the new shop")
    _open(window, f"{url}dead-letters")
    _shot(window, "dead-letters")
    _open(window, f"{url}history")
    _shot(window, "history")
    _open(window, f"{url}parked")
    _shot(window, "parked")
    _open(window, f"{url}find?id={quote('order-4711')}&type=2")
    _shot(window, "find")
    _open(window, url)
    _shot(window, "now")


def _plan(window: Chromium, address: str, action: str, reason: str) -> None:
    """Plan a task and confirm it."""
    _open(window, address)
    window.click(f"button[value={action}]")
    _settle(window)
    window.write("#reason", reason)
    window.click("form.confirm button")
    _settle(window)


def _first(window: Chromium, address: str, selector: str) -> str:
    _open(window, address)
    return str(window.run("return document.querySelector(arguments[0]).href", selector))


def _open(window: Chromium, address: str) -> None:
    window.size(WIDTH)
    window.open(address)
    _settle(window)


def _settle(window: Chromium) -> None:
    """Wait until a page changes no more by itself."""
    script = "return document.querySelector('main')?.dataset.live === '1'"
    time.sleep(0.5)
    while window.run(script):
        time.sleep(0.2)


def _shot(window: Chromium, name: str) -> None:
    height = window.run("return document.body.scrollHeight")
    window.size(WIDTH, min(int(height) + 20, MOST_HEIGHT))
    window.screenshot(FOLDER / f"console-{name}.png")


if __name__ == "__main__":
    sys.exit(main())
