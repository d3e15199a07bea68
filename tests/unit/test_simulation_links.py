"""Made-up histories of events that refer to one another: random graphs in any order, in circles.

Processes are killed, stopped and replaced meanwhile, lanes close, the portal is ill; half of the
histories have a memory of calls.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.domain.events import BatchKey, ExternalId, Identity, ItemEvent, Malformed, Reference
from service.domain.limits import Limits
from service.domain.links import references
from service.domain.outcomes import (
    CallFailed,
    CallKind,
    Failed,
    Fault,
    Imported,
    PauseReason,
    Report,
)
from service.importer.link_failures import CODES
from service.importer.pipeline import Pipeline
from tests.fakes import CLOSED, DEAL, QUOTE, FakeConnection, Nature, item_event, nature_of
from tests.support.histories import histories
from tests.unit.test_simulation import Rights, World, errors_only, violations_of
from tests.unit.test_simulation_memory import RememberedHistory, RememberingWorld
from tests.virtual_time import now

__all__ = ["errors_only"]
pytestmark = pytest.mark.simulation
HISTORIES = histories(20)
CHUNK = 10
"""So few in one test that it ends in its time on a busy machine, too."""
WAIT_SECONDS, SICK_SECONDS = 500.0, 700.0
"""How long an event waits for what never comes; shorter than in life, and longer than troubles,
and than the wait for proof that what may have been sent is not there.

The second, times the share of calls that fail: then each event of a chain takes its time.
"""
TYPES = (DEAL, DEAL, 1, 31)
NOT_IN_PLAN = Fault(
    CallKind.SUSPECT,
    "CREATE_DYNAMIC_ITEM_RESTRICTED",
    "not in the plan",
    400,
    PauseReason.PLAN,
    answered=True,
)


class LinkedHistory(RememberedHistory):
    """A history whose events refer to earlier ones, later ones, and some that never come."""

    def __post_init__(self) -> None:
        """Draw what a graph adds, with dice of its own."""
        super().__post_init__()
        self.remembers = self.seed % 2 == 0
        alone = not self.kills and not self.stand_by
        self.twice = self.remembers or alone
        self.broker_kills *= self.remembers
        self.waits_elsewhere, self.repeats = True, False
        # Where everything is asked for, what may have been sent waits longer than links do.
        self.ask = "doubtful"
        self.natures, self.set_back_at, self.rights = 0.0, None, Rights.ALL
        self.dice = random.Random(f"graph {self.seed}")
        shut = self.dice.uniform(0.0, self.length)
        self.shut_type = self.dice.choice([None, None, *TYPES])
        self.shut = (shut, shut + self.dice.uniform(5.0, 60.0))

    def limits(self) -> Limits:
        """Return the bounds, with a short wait for what never comes."""
        limits = super().limits()
        wait = WAIT_SECONDS + SICK_SECONDS * self.sick
        rules = replace(limits.rules, links_wait=wait, links_gap=2.0)
        return replace(limits, rules=rules)

    def refuses(self, entity_type_id: int) -> bool:
        """Tell whether the portal takes no items of a type now."""
        return (
            entity_type_id == self.shut_type and self.shut[0] < now() - self.start < self.shut[1]
        )

    def messages(self) -> list[tuple[float, ItemEvent | Malformed]]:
        """Return a random graph in a random order; some are published twice."""
        rng = self.dice
        kinds = [rng.choice(TYPES) for _ in range(rng.choice([5, 20, 40]))]
        kinds += [rng.choice([QUOTE, CLOSED]) for _ in range(rng.choice([0, 0, 2]))]
        names = [(kind, f"event-{number}") for number, kind in enumerate(kinds)]
        found: list[tuple[float, ItemEvent | Malformed]] = []
        for number, own in enumerate(names):
            event = self._linked(names, number, own)
            at = rng.choice([0.0, rng.uniform(0.0, self.length)])
            found += [(at, event)] * (rng.choice([1, 1, 1, 2]) if self.twice else 1)
        return sorted(found, key=lambda each: each[0])

    def _linked(
        self, names: Sequence[tuple[int, str]], number: int, own: tuple[int, str]
    ) -> ItemEvent:
        """Return an event that refers mostly to what comes earlier: so most can be resolved."""
        rng = self.dice
        reach = names if rng.random() < 0.1 else names[:number]
        several = rng.sample(reach, min(len(reach), rng.choice([0, 1, 1, 2, 4])))
        if rng.random() < 0.05:
            several.append((DEAL, f"never-{number}"))
        nature = Nature.BAD if rng.random() < 0.08 else Nature.GOOD
        event = item_event(own[1], own[0], nature=nature)
        links = {f"f{n}": _reference(*to) for n, to in enumerate(several) if to != own}
        digest = event.digest + "".join(f"{kind}{name}" for kind, name in several)
        return replace(event, links=links, digest=digest)


class LinkedWorld(RememberingWorld):
    """Judges what the items of a history refer to."""

    def __init__(self, history: LinkedHistory) -> None:
        """Note each item that the portal saves, as it was sent."""
        super().__init__(history)
        self.graph = history
        # A copy that was stored without a confirm is one event published twice. Where nobody
        # notes calls, two processes side by side may each have one of them, and send it.
        self.broker.parks_unsure = history.remembers or not history.stand_by
        self.sent: list[ItemEvent] = []
        save, take = self.portal.save, self.portal.import_items

        def noted(event: ItemEvent) -> int:
            self.sent.append(event)
            return save(event)

        async def taken(key: BatchKey, events: Sequence[ItemEvent]) -> Report:
            if history.refuses(key.entity_type_id):
                raise CallFailed(NOT_IN_PLAN)
            return await take(key, events)

        self.portal.save = noted  # type: ignore[method-assign]  # to see what was sent
        self.portal.import_items = taken  # type: ignore[method-assign]  # for a closed lane

    def _equip(self, pipeline: Pipeline, connection: FakeConnection) -> None:
        if self.graph.remembers:
            super()._equip(pipeline, connection)

    def _wanted(self) -> set[Identity]:
        return super()._wanted() - self._hopeless()

    def _hopeless(self) -> set[Identity]:
        """Return the events that refer, over others too, to what is never imported."""
        events = {each.identity: each for each in self._events()}
        fine: set[Identity] = set()
        while True:
            more = {identity for identity, event in events.items() if _is_fine(event, fine)}
            if more == fine:
                return events.keys() - fine
            fine = more

    def _judge(self) -> None:
        hopeless, ended = self._hopeless(), set()
        for result in self.broker.results:
            identity, end = Identity(result.identity[0] or 0, result.identity[1]), result.outcome
            ended.add(identity)
            if _is_for_its_links(end) and identity not in hopeless:
                self.violations.append(f"{identity} could be resolved: {end}")
            if isinstance(end, Imported) and identity in hopeless:
                self.violations.append(f"{identity} was imported without what it refers to")
        self.violations += [f"{each} has no outcome" for each in hopeless - ended]
        self._judge_numbers()
        super()._judge()

    def _judge_numbers(self) -> None:
        """Every number that was sent is the item of the event that was meant."""
        owners = {item.item_id: item.identity for item in self.portal.ledger}
        for event in self.sent:
            numbers = json.loads(b"{%b}" % event.linked.rstrip(b","))
            means = {name: owners.get(number) for name, number in numbers.items()}
            meant = {
                name: each.identity
                for name, each in event.links.items()
                if isinstance(each, Reference)
            }
            if means != meant:
                self.violations.append(f"{event.identity} refers to {means}, and means {meant}")

    def _judge_failures(self) -> None:
        """Whoever failed for its links was judged already."""
        results = self.broker.results
        self.broker.results = [e for e in results if not _is_for_its_links(e.outcome)]
        super()._judge_failures()
        self.broker.results = results


def made(seed: int) -> World:
    """Make a world of linked events."""
    return LinkedWorld(LinkedHistory(seed))


@pytest.mark.parametrize("first", range(0, HISTORIES, CHUNK))
def test_no_history_loses_doubles_or_misleads_a_link(first: int) -> None:
    """Every event that can be resolved is imported once, with the items that it means."""
    seeds = range(first, first + CHUNK)
    broken = {seed: found for seed in seeds if (found := violations_of(seed, made))}
    assert {} == broken


def _reference(entity_type_id: int, name: str) -> Reference:
    """Return a reference as the decoder makes it for events of the made-up upstream."""
    external = ExternalId("originId", name, "crm-importer") if entity_type_id != QUOTE else None
    return Reference(entity_type_id, name, None, external)


def _is_fine(event: ItemEvent, fine: set[Identity]) -> bool:
    """Tell whether an event is imported where those are that are fine."""
    good = nature_of(event) is Nature.GOOD and event.entity_type_id != CLOSED
    wanted = references(event.links)
    return good and all(e.identity in fine and e.external_id is not None for e in wanted)


def _is_for_its_links(end: object) -> bool:
    return isinstance(end, Failed) and end.code in CODES
