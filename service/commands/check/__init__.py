"""Runs `check`: asks settings, broker and portal whether the promises can be kept here."""

import argparse
import asyncio
import time
from collections.abc import Awaitable

from service import factories
from service.bitrix.inspection import PortalInspection
from service.commands.check.arithmetic import (
    caution_rows,
    ignored_rows,
    memory_limit,
    settings_rows,
)
from service.commands.check.broker import broker_rows
from service.commands.check.certificates import certificate_rows, seen
from service.commands.check.lanes import importer, lane_rows, types_told
from service.commands.check.portal import portal_rows
from service.commands.check.report import write
from service.commands.check.rows import Row, fail, failed
from service.settings.environment import injected, load
from service.settings.tree import Settings
from service.telemetry.labels import KNOWN_TYPES
from service.telemetry.metrics import Metrics

MAX_SECONDS = 60.0
"""Longest time of the whole check; every question has a shorter limit of its own."""


def main(options: argparse.Namespace) -> int:
    """Run the check, print what was found, and return 1 where something failed."""
    rows = asyncio.run(_rows(load()))
    write(rows, as_json=options.json)
    return 1 if failed(rows) else 0


async def _rows(settings: Settings) -> list[Row]:
    metrics = Metrics()
    running = await importer(settings.status_url)
    types = {*map(int, KNOWN_TYPES), *settings.bitrix.external_id_fields, *types_told(running)}
    broker, portal = await asyncio.gather(
        _in_time(
            "broker",
            broker_rows(
                settings.rabbit, metrics, portal=factories.portal_host(settings), types=types
            ),
        ),
        _in_time("portal", _portal(settings, metrics)),
    )
    files = {"client": settings.rabbit.cert_file, "authority": settings.rabbit.ca_file}
    return [
        *settings_rows(settings, memory_limit()),
        *caution_rows(settings),
        *ignored_rows(injected()),
        *certificate_rows(seen(metrics), time.time(), files),
        *broker,
        *lane_rows(running),
        *portal,
    ]


async def _portal(settings: Settings, metrics: Metrics) -> list[Row]:
    try:
        portal = factories.portal(settings, metrics)
    except factories.CannotStart as reason:
        remedy = "see `crm-importer settings` for what the portal's credentials need"
        return [fail("portal.connection", "portal", str(reason), remedy)]
    async with portal:
        return await portal_rows(
            PortalInspection(portal), settings.bitrix, factories.portal_host(settings)
        )


async def _in_time(subject: str, asking: Awaitable[list[Row]]) -> list[Row]:
    try:
        async with asyncio.timeout(MAX_SECONDS):
            return await asking
    except TimeoutError:
        found = f"did not answer all questions within {MAX_SECONDS:g} s"
        remedy = f"look at the {subject}: it accepts connections but answers slowly"
        return [fail(f"{subject}.connection", subject, found, remedy)]
