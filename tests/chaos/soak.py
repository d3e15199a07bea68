"""Works for hours at the portal's limits, while one thing after another goes wrong.

`python -m tests.chaos.soak --minutes 120` prints what came of it; the log is judged as that of
each other run. All settings of the importer have their defaults.
"""

import argparse
import asyncio
import json
import logging
import random
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from service.settings.tree import Settings
from tests.benchmarks.gauges import rss_mib
from tests.chaos import kept, kept_lines
from tests.chaos.broker_side import (
    Harm,
    active,
    alarm,
    close_connections,
    cut_at,
    cut_line,
    dead_network,
    kill_broker,
    kill_service,
    storm,
)
from tests.chaos.cells import Cell, version_of
from tests.chaos.mixtures import fail_at_random
from tests.chaos.trial import (
    REJECTED,
    SUCCEEDED,
    Audit,
    Order,
    Scenario,
    Trial,
    event,
    run_trial,
)
from tests.support.amqp import CUT_OFF
from tests.support.environment import QUICK
from tests.support.node import open_broker
from tests.support.processes import ServiceProcess
from tests.support.proxy import Moment

NAME = "soak"
RATE, BUDGET, ITEM_SECONDS = 2.0, 480.0, 0.018
"""With 20 items a call both limits bind: 2 calls a second, and 420 of 480 seconds of work."""
WAVE, AHEAD = 100, 1_500
"""Events are published in waves, until so many have no result."""
LINKED, REFUSED, LANE_EVENTS, REPEATED = 4, 3, 2, 2
"""So many of a wave: deals before their contacts, what the portal refuses, what is of the type
whose right is taken away now and then, and what was published before."""
CONTACT, DEAL, LEAD, LANE = 3, 2, 1, 1032
LATELY = 1_000
CALM = (20.0, 60.0)
"""Seconds between two faults."""
END_SECONDS = 5.0
READ_SECONDS, SAMPLE_SECONDS, SAY_SECONDS = 3.0, 15.0, 60.0
LANE_SECONDS = (30.0, 180.0)
FREEZE_SECONDS = (2.0, 40.0)
PARTS = 4
WARM_SECONDS = 120.0
"""A process takes memory in its first minutes; samples of them are left out."""


def defaults() -> Mapping[str, str]:
    """Return the default of each setting that the tests make shorter."""
    return {name: str(_default(name)) for name in QUICK}


def _default(name: str) -> object:
    group, _, member = name.removeprefix("IMPORTER_").lower().partition("__")
    default = Settings.model_fields[group].get_default(call_default_factory=True)
    return getattr(default, member) if member else default


@dataclass(slots=True)
class Sample:
    """What the process at work used at one moment."""

    at: float
    pid: int
    age: float
    rss: float


@dataclass(slots=True)
class Soak:
    """An act, and what is counted along the way."""

    seconds: float
    say: bool = True
    harms: Sequence[Harm] = ()
    calm: tuple[float, float] = CALM
    ahead: int = AHEAD
    samples: list[Sample] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    items: int = 0
    calls: int = 0
    _over: bool = False
    _seen: set[str] = field(default_factory=set)
    _read: list[int] = field(default_factory=lambda: [0, 0])
    _numbers: Iterator[int] = field(default_factory=count)
    _births: dict[int, float] = field(default_factory=dict)

    async def act(self, trial: Trial) -> None:
        """Keep the intake filled and do harm, one thing after the other, until the time is up."""
        await trial.start()
        started = time.monotonic()
        helpers = [
            asyncio.create_task(each(trial)) for each in (self._feed, self._look, self._sample)
        ]
        while (left := started + self.seconds - time.monotonic()) > 0:
            await asyncio.sleep(min(left, trial.dice.uniform(*self.calm)))
            for helper in helpers:
                if helper.done():
                    helper.result()
            harm = trial.dice.choice(self.harms or HARMS)
            self.faults[harm.__name__] += 1
            async with trial.fault(harm.__name__):
                await harm(trial)
        summary = trial.environment.portal.summary()
        self.items, self.calls = summary["items"], summary["calls"]["crm.item.batchimport"]
        # What it has begun to publish is waited for: broken off, it would never come.
        self._over = True
        feeder, *others = helpers
        await feeder
        for helper in others:
            # The client library may eat a cancellation.
            while not helper.done():
                helper.cancel()
                await asyncio.wait([helper], timeout=END_SECONDS)
        trial.environment.portal.settings({"import_denied": []})

    async def _feed(self, trial: Trial) -> None:
        """Publish waves for as long as less than enough is under way."""
        while not self._over:
            if len(trial.expected) - len(self._seen) >= self.ahead:
                await asyncio.sleep(0.5)
                continue
            for bodies, may_end in self._wave(trial):
                await trial.send(bodies, may_end=may_end)

    def _wave(self, trial: Trial) -> Iterator[tuple[Sequence[Mapping[str, Any]], Any]]:
        n = next(self._numbers)
        contacts = [f"contact{n}-{each}" for each in range(LINKED)]
        deals = [
            {
                **event(f"linked{n}-{each}", DEAL),
                "links": {"contactId": {"entityTypeId": CONTACT, "id": contact}},
            }
            for each, contact in enumerate(contacts)
        ]
        plain = WAVE - 2 * LINKED - REFUSED - LANE_EVENTS - REPEATED
        # Most leads are good: else their lane would close for the share of refused ones.
        kinds = (DEAL, 128, LEAD)
        others = [event(f"s{n}-{each}", kinds[each % 3], comments="good") for each in range(plain)]
        lane = [event(f"lane{n}-{each}", LANE) for each in range(LANE_EVENTS)]
        lately = range(max(0, n - LATELY // WAVE), n)
        again = [
            event(f"s{trial.dice.choice(lately)}-0", DEAL, comments="good")
            for _ in range(REPEATED if lately else 0)
        ]
        yield [*deals, *others, *lane, *again], SUCCEEDED
        yield [event(f"refused{n}-{each}", LEAD) for each in range(REFUSED)], REJECTED
        people = [{"entityTypeId": CONTACT, "id": each} for each in contacts]
        yield [{**one, "fields": {"name": f"Deal {one['id']}"}} for one in people], SUCCEEDED

    async def _look(self, trial: Trial) -> None:
        """Read the results as they come."""
        books = trial.environment.books
        while True:
            with suppress(*CUT_OFF):
                await trial.environment.read()
            for place, told in enumerate((books.succeeded, books.failed)):
                new = told[self._read[place] :]
                self._read[place] += len(new)
                self._seen.update(each["data"]["eventId"] for each in new)
            await asyncio.sleep(READ_SECONDS)

    async def _sample(self, trial: Trial) -> None:
        """Look at the process at work, and say how far everything is."""
        began = said = time.monotonic()
        while True:
            now = time.monotonic()
            # A process may be dead, or not there yet.
            with suppress(httpx.TransportError, OSError, AssertionError, IndexError, ValueError):
                self.samples.append(self._sampled(active(trial.environment), now - began))
            if self.say and now - said >= SAY_SECONDS:
                said = now
                counted = f"{len(trial.expected)} events, {len(self._seen)} ended"
                memory = f"{self.samples[-1].rss:.1f} MiB" if self.samples else "-"
                faults = sum(self.faults.values())
                _say(f"{now - began:6.0f} s  {counted}, {faults} faults, {memory}")
            await asyncio.sleep(SAMPLE_SECONDS)

    def _sampled(self, service: ServiceProcess, at: float) -> Sample:
        born = self._births.setdefault(service.pid, at)
        return Sample(at, service.pid, at - born, rss_mib(service.pid))

    def memory(self) -> list[float]:
        """Return the median memory of each part of the time, without each process's start."""
        old = [each for each in self.samples if each.age >= WARM_SECONDS] or self.samples
        parts: list[list[float]] = [[] for _ in range(PARTS)]
        for each in old:
            parts[min(PARTS - 1, int(each.at / self.seconds * PARTS))].append(each.rss)
        return [round(statistics.median(part), 1) for part in parts if part]


async def restart(trial: Trial) -> None:
    """Update the importer as Kubernetes does: the new one starts, then the old one is stopped."""
    old = active(trial.environment)
    await trial.start()
    old.terminate()
    await asyncio.to_thread(old.wait, 120.0)


async def freeze(trial: Trial) -> None:
    """Stop the broker where it stands, shorter or longer than it may be silent."""
    trial.node.freeze()
    await asyncio.sleep(trial.dice.uniform(*FREEZE_SECONDS))
    trial.node.thaw()


async def portal_fails(trial: Trial) -> None:
    """Let a quarter of the next calls fail, each in one of many ways."""
    fail_at_random(trial)
    await asyncio.sleep(30.0)


async def portal_down(trial: Trial) -> None:
    """Let the portal answer nothing but 503 for a while, at times so long that it is paused."""
    trial.environment.portal.settings({"state": "html503"})
    await asyncio.sleep(trial.dice.uniform(10.0, 90.0))
    trial.environment.portal.settings({"state": "ok"})


async def lane_closed(trial: Trial) -> None:
    """Take the right to import one type away, and give it back."""
    trial.environment.portal.settings({"import_denied": [LANE]})
    await asyncio.sleep(trial.dice.uniform(*LANE_SECONDS))
    trial.environment.portal.settings({"import_denied": []})


HARMS: Sequence[Harm] = (
    kill_service,
    restart,
    kill_broker,
    freeze,
    alarm,
    close_connections,
    cut_line,
    storm,
    dead_network,
    cut_at(Moment.ACK),
    cut_at(Moment.PUBLISH),
    cut_at(Moment.CONFIRM),
    cut_at(Moment.DELIVER, passing=True),
    portal_fails,
    portal_fails,
    portal_down,
    lane_closed,
    lane_closed,
)


def scenario(soak: Soak, settings: Mapping[str, str] | None = None) -> Scenario:
    """Return the soak as a scenario that a trial runs; by default with all defaults."""
    return Scenario(
        name=NAME,
        act=soak.act,
        own_node=True,
        settings=defaults() if settings is None else settings,
        patience=1_800.0,
        portal={
            "admin": True,
            "rate": RATE,
            "operating_limit": BUDGET,
            "default_item_seconds": ITEM_SECONDS,
            "required": {LEAD: ["comments"]},
        },
    )


def report(soak: Soak, audit: Audit, run: kept.Run) -> Mapping[str, Any]:
    """Return what is kept of a soak."""
    return {
        **run,
        "minutes": round(soak.seconds / 60, 1),
        "faults": dict(sorted(soak.faults.items())),
        "items per second": round(soak.items / soak.seconds, 1),
        "calls per second": round(soak.calls / soak.seconds, 2),
        "memory in MiB, by quarter": soak.memory(),
        "most memory in MiB": round(max(each.rss for each in soak.samples), 1),
        "processes": len({each.pid for each in soak.samples}),
        "seconds with settling and checking": round(audit.seconds),
    }


def main() -> int:
    """Run, print, and return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0, help="without the settling")
    parser.add_argument("--seed", type=int, help="the dice of an earlier run")
    parser.add_argument("--keep", type=Path, help="add what came of it to a file")
    given = parser.parse_args()
    logging.disable()  # of the libraries here: brokers that are killed refuse connections
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    soak = Soak(given.minutes * 60)
    with open_broker() as broker:
        vhost = f"soak-{uuid.uuid4().hex[:12]}"
        broker.create_vhost(vhost)
        cell = Cell(NAME, version_of(broker.api("GET", "overview")))
        _say(f"{cell}, seed {seed}, commit {cell.members()['commit']}")
        to = kept.FOLDER / "logs" / cell.file_name(seed)
        audit = asyncio.run(
            run_trial(scenario(soak), broker, vhost, Order(cell=cell, seed=seed, to=to))
        )
    run = kept.entry(cell, seed, audit.verdict, complaints=audit.complaints)
    found = report(soak, audit, run)
    _say(json.dumps(found, indent=2))
    if not audit.clean:
        _say(audit.complaint())
    if given.keep:
        kept_lines.add(found, given.keep)
    return int(not audit.clean)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program for a terminal


if __name__ == "__main__":
    sys.exit(main())
