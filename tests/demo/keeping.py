"""Keeps everything up after the demo, so that people can try the commands on it."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from tests.demo.environment import Environment
from tests.demo.samples import Sample
from tests.demo.screen import Screen
from tests.support.amqp import Upstream, wait_until
from tests.support.console import ConsoleProcess
from tests.support.processes import ServiceProcess

FEW = 5
"""So many refused events are published once more: dead letters to look at."""


def keep(
    screen: Screen,
    environment: Environment,
    samples: Sequence[Sample],
    *,
    with_console: bool = False,
) -> None:
    """Start the importer again, leave some dead letters, say what to try, wait for Ctrl-C."""
    screen.title("Kept until Ctrl-C: the importer is started again")
    with ExitStack() as parts:
        service = parts.enter_context(environment.importer())
        service.wait_ready()
        if with_console:
            console = parts.enter_context(_console(environment, service))
            console.wait_ready()
            screen.say("console", console.url)
        refused = [each for each in samples if each.fate == "refused" and not each.properties]
        asyncio.run(_publish(environment, refused[:FEW]))
        screen.say("metrics", f"{service.url}metrics   /readyz  /livez  /status")
        screen.say(
            "queues", f"{environment.broker.address.management_url}/#/queues{environment.login}"
        )
        screen.say("CRM", f"{environment.portal.url}control/summary   /control/ledger")
        screen.title("Try, in another terminal, in this folder")
        settings = {**environment.settings, **_status(service)}
        for name, value in settings.items():
            screen.line(f"  export {name}={value}")
        screen.line("  alias crm-importer='.venv/bin/python -m service'")
        first = refused[0]
        for command in (
            "check",
            "dlq list",
            f"dlq show {first.key}",
            f"dlq redrive --id {first.key} --set title=Late",
            f"find {first.key}",
            "lanes",
            "publish --help",
        ):
            screen.line(f"  crm-importer {command}")
        for option in ("--rehearse -", "-"):
            screen.line(
                """  echo '{"id":"mine","entityTypeId":2,"fields":{"title":"Mine"}}' | """
                f"crm-importer publish {option}"
            )
        try:
            signal.pause()
        except KeyboardInterrupt:
            screen.title("stopping every part; nothing is left")


def _console(environment: Environment, service: ServiceProcess) -> ConsoleProcess:
    return ConsoleProcess({**environment.settings, **_status(service)})


def _status(service: ServiceProcess) -> Mapping[str, str]:
    """Return the setting by which commands and console find the importer."""
    return {"IMPORTER_CONSOLE__STATUS_URL": f"{service.url}status"}


async def _publish(environment: Environment, samples: Sequence[Sample]) -> None:
    """Publish events and wait until they are dead letters."""
    async with Upstream(environment.amqp_url) as upstream:
        for each in samples:
            await upstream.publish(each.body, routing_key=each.routing_key, message_id=each.key)

        async def are_there() -> bool:
            return await upstream.ready("crm.items.dlq") >= len(samples)

        await wait_until(are_there, what="the dead letters")
