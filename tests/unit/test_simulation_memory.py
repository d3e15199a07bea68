"""The whole core over made-up histories in which processes share a memory of their calls.

With it a repeated publish is recognised after a kill, a stop or a take-over: such histories
have repeats, which those without a memory cannot bear. In half of them our own tasks stand still
now and then, wherever they wait.
"""

import asyncio
import random

import pytest

from service.importer.pipeline import Pipeline
from tests.fake_memory import FakeMemory, Stream
from tests.fakes import FakeConnection
from tests.stalls import Stalls
from tests.support.awaits import strike
from tests.support.histories import histories
from tests.unit.test_simulation import History, Process, World, violations_of
from tests.virtual_time import now

pytestmark = pytest.mark.simulation
HISTORIES = histories(20)
CHUNK = 10
"""So few in one test that it ends in its time on a busy machine, too."""
STALL_SECONDS = 0.3
"""Longer ones would be a process that was frozen between its last check and its send: that does
double (`chaos/test_what_breaks.py`)."""


class RememberedHistory(History):
    """A history whose upstream repeats itself whatever happens to the processes."""

    def __post_init__(self) -> None:
        """Draw what a memory adds, with dice of its own: the others fall as without one."""
        super().__post_init__()
        dice = random.Random(f"memory {self.seed}")
        self.silent = dice.choice([0.0, 0.0, 0.05])
        self.broker_kills = dice.choice([0.0, 0.3])
        self.repeats = dice.random() < 0.6
        self.lag = 0.0
        self.stalls = random.Random(f"stalls {self.seed}").choice([0.0, 0.0, 0.02, 0.1])


class RememberingWorld(World):
    """A world whose processes share one stream of notes."""

    def __init__(self, history: RememberedHistory) -> None:
        """Begin with an empty stream."""
        super().__init__(history)
        self.past = history
        rng = random.Random(f"stream {history.seed}")
        until = now() + history.length
        self.stream = Stream(rng, share=history.silent, until=until)
        stalls = Stalls(
            random.Random(history.seed), share=history.stalls, longest=STALL_SECONDS, until=until
        )
        if history.stalls:
            stalls.at_tasks_of(asyncio.get_running_loop())

    def _equip(self, pipeline: Pipeline, connection: FakeConnection) -> None:
        """Give a process the memory."""
        memory = FakeMemory(self.stream, connection, hold=self.limits.hold)
        pipeline.notes.memory = memory

    async def _cut(self, process: Process) -> None:
        """Cut one connection; or all of them, by a broker that is killed and forgets its end."""
        if self.stream.rng.random() >= self.past.broker_kills:
            await super()._cut(process)
            return
        strike("broker killed")
        living = list(self.processes)
        for each in living:
            each.connection.cut(flag=not self.past.forgetful)
        self.stream.lose_end()
        await asyncio.sleep(self.stream.rng.choice([0.0, 0.3, 5.0]))
        for each in living:
            each.connection.mend()


def made(seed: int) -> World:
    """Make a world with a memory."""
    return RememberingWorld(RememberedHistory(seed))


@pytest.mark.parametrize("first", range(0, HISTORIES, CHUNK))
def test_no_history_with_a_memory_loses_doubles_or_blames_anything(first: int) -> None:
    """Repeats, kills, stops, take-overs and broker kills in any order."""
    seeds = range(first, first + CHUNK)
    broken = {seed: found for seed in seeds if (found := violations_of(seed, made))}
    assert {} == broken
