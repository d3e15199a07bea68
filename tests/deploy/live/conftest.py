"""Plays the hour once; every test looks at what Prometheus saw of it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.deploy.live.play import Played, play
from tests.deploy.live.stage import Stage, open_stage
from tests.deploy.tools import tool


@dataclass(frozen=True, slots=True)
class Seen:
    """The stage after the play, and when the play began and ended."""

    stage: Stage
    played: Played
    start: float
    end: float


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    """Lend what was seen; skip, or fail in CI, without the programs."""
    for program in ("prometheus", "prometheus-alertmanager", "promtool"):
        tool(program)
    tool("rabbitmqctl", "tests/tools/rabbitmq.sh")
    with open_stage() as stage:
        played = asyncio.run(play(stage))
        yield Seen(stage, played, stage.started, played.ended_at)
