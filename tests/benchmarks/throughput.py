"""Measures the full path against the leanest pump and against peers, in the same rounds.

Every run: a fresh virtual host, a queue filled beforehand, a fresh process. Counted from the
time the portal has seen `warm` items (start-up and first look-ups are over) until the last
result is in its queue; CPU is the consumer's own, of all its threads.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.contestants import (
    ALL,
    CELERY,
    FAST_BITRIX24,
    FASTSTREAM,
    FASTSTREAM_QUIET,
    LEANEST,
    ONE_WRITE,
    SERVICE,
    SINGLY,
    Contestant,
)
from tests.benchmarks.figures import Bar, Figure, at_least, median
from tests.benchmarks.rig import Rig, Run

PATH, PEERS = "full path", "against peers"
MAX_SECONDS = 200.0
"""After so long no further round begins, so that the whole bench keeps to ten minutes."""

Rounds = Sequence[Mapping[str, Run]]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to measure; `peers_every`: peers take part in every so many rounds."""

    events: int
    warm: int
    rounds: int
    peers_every: int


FULL = Scale(events=5000, warm=1000, rounds=9, peers_every=4)
QUICK = Scale(events=600, warm=300, rounds=1, peers_every=1)


def measure(rig: Rig, *, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Run everybody in turn, in changing order, and compare within each round."""
    scale = QUICK if quick else FULL
    rounds: list[dict[str, Run]] = []
    started = time.monotonic()
    for number in range(scale.rounds):
        if rounds and time.monotonic() - started > MAX_SECONDS:
            say(f"a slow machine: {number} rounds must do")
            break
        taking_part = [who for who in ALL if _runs(who, number, scale)]
        turn = number % len(taking_part)
        found: dict[str, Run] = {}
        for who in taking_part[turn:] + taking_part[:turn]:
            found[who.name] = run = rig.run(who, scale.events, scale.warm)
            say(f"round {number + 1}, {who.name}: {run.rate:.0f}/s, {run.micros:.0f} µs")
        rounds.append(found)
    return _path(rounds) + _against_peers(rounds)


def _runs(who: Contestant, number: int, scale: Scale) -> bool:
    return not (who.peer and number % scale.peers_every)


def _path(rounds: Rounds) -> list[Figure]:
    lookups = statistics.median(each[SERVICE.name].other_calls for each in rounds)
    found = []
    for who in (SERVICE, LEANEST, ONE_WRITE):
        found += [
            _rate(PATH, who, rounds),
            median(
                PATH,
                f"{who.name}, CPU per event",
                [each[who.name].micros for each in rounds],
                "µs",
                who.command,
            ),
        ]
    return [
        *found,
        _efficiency(PATH, LEANEST, rounds, at_least(0.85)),
        _efficiency(PATH, ONE_WRITE, rounds, None),
        Figure(
            PATH,
            "look-up calls in such a run (LOOKUP=doubtful)",
            float(lookups),
            "calls",
            SERVICE.command,
        ),
    ]


def _against_peers(rounds: Rounds) -> list[Figure]:
    found = []
    for who, per_second, per_cpu in (
        (FASTSTREAM, at_least(1.5), at_least(2)),
        (FASTSTREAM_QUIET, None, None),
        (CELERY, at_least(1.5), at_least(1)),
        (SINGLY, at_least(1), at_least(1)),
        (FAST_BITRIX24, at_least(1), at_least(1)),
    ):
        found += [
            _rate(PEERS, who, rounds),
            median(
                PEERS,
                f"crm-importer ÷ {who.name}, per second",
                [each[SERVICE.name].rate / each[who.name].rate for each in _with(who, rounds)],
                "x",
                who.command,
                per_second,
            ),
            _efficiency(PEERS, who, rounds, per_cpu),
        ]
    return found


def _rate(part: str, who: Contestant, rounds: Rounds) -> Figure:
    rates = [each[who.name].rate for each in _with(who, rounds)]
    return median(part, f"{who.name}, events per second", rates, "1/s", who.command)


def _efficiency(part: str, other: Contestant, rounds: Rounds, trip: Bar | None) -> Figure:
    return median(
        part,
        f"crm-importer ÷ {other.name}, per CPU-second",
        [each[other.name].micros / each[SERVICE.name].micros for each in _with(other, rounds)],
        "x",
        other.command,
        trip,
    )


def _with(who: Contestant, rounds: Rounds) -> Rounds:
    return [each for each in rounds if who.name in each]
