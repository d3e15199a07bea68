"""Does several things at once, drawn by lot: both sides of the importer fail in one run."""

import asyncio
from collections.abc import Sequence

from tests.chaos.broker_side import (
    Harm,
    alarm,
    close_connections,
    cut_at,
    cut_line,
    dead_network,
    freeze_broker,
    kill_broker,
    kill_service,
    storm,
)
from tests.chaos.trial import REJECTED, Scenario, Trial
from tests.support.proxy import Moment

WAVES = 3
WAVE = 50
PORTAL_KINDS = (
    "cut_before_commit",
    "cut_after_commit",
    "hang_after_commit",
    "partial_then_error",
    "partial_then_cut",
    "truncated",
    "null_entry",
    "id_zero",
    {"kind": "html", "status": 502, "committed": True},
    {"kind": "html", "status": 503},
    {"kind": "wrong_count", "missing": 2},
    {"kind": "refuse", "code": "QUERY_LIMIT_EXCEEDED", "status": 503},
)
LINE: Sequence[Harm] = (
    cut_line,
    storm,
    dead_network,
    cut_at(Moment.ACK),
    cut_at(Moment.PUBLISH),
    cut_at(Moment.DELIVER, passing=True),
    kill_service,
)
NODE: Sequence[Harm] = (kill_broker, freeze_broker, alarm, close_connections)


def fail_at_random(trial: Trial) -> None:
    """Let a quarter of the next calls fail, a dozen of them, each in one of many ways."""
    fault = {
        "kind": "random",
        "seed": trial.dice.randrange(1_000_000),
        "share": 0.25,
        "seconds": 2.5,
        "times": 12,
        "kinds": PORTAL_KINDS,
    }
    trial.environment.portal.faults([fault])


def mixture(harms: Sequence[Harm]) -> Harm:
    """Return an act: waves of events, a harm in each, and a portal that fails at random."""

    async def act(trial: Trial) -> None:
        trial.environment.portal.settings({"required": {"1": ["comments"]}})
        fail_at_random(trial)
        await trial.start()
        for _ in range(WAVES):
            await trial.publish(WAVE)
            await trial.publish(3, types=(1,), may_end=REJECTED)
            await asyncio.sleep(trial.dice.uniform(0.2, 1.5))
            harm = trial.dice.choice(harms)
            async with trial.fault(harm.__name__):
                await harm(trial)

    return act


SETTINGS = {"IMPORTER_BITRIX__SETTLE_SECONDS": "3"}
SCENARIOS = (
    Scenario(
        name="mixture: line, service, portal",
        act=mixture(LINE),
        settings=SETTINGS,
        patience=120,
    ),
    Scenario(
        name="mixture: broker, line, service, portal",
        act=mixture((*LINE, *NODE)),
        settings=SETTINGS,
        own_node=True,
        patience=120,
    ),
)
