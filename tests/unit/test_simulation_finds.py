"""Proves that the simulation finds a fault: each mend is taken out, and some history must fail.

`pytest -s` shows after how many.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from service.domain import leave
from service.domain.batch import Batch
from service.domain.claims import Claims, Resolved, message_digest
from service.domain.decisions import Decision, refused_alone
from service.domain.delivery import Delivery
from service.domain.events import Identity, ItemEvent
from service.domain.outcomes import Failed, Fault, Outcome
from service.domain.owning import Owned, Owners
from service.domain.witnessing import Shown, Witness, Witnesses
from service.importer.fault_attribution import FaultAttribution
from service.importer.intake import Desk
from service.importer.results import Ending, Outlet
from service.importer.settlement import Settler
from tests import fakes
from tests.fakes import PortalView, Weather
from tests.unit.test_simulation import History, Rights, World, violations_of
from tests.virtual_time import now

pytestmark = pytest.mark.simulation
MAX_SEEDS = 150
OLD_CHECK_SEEDS = 20
UPLOAD_SECONDS = 12.0
TRIES = 5
"""Calls with one item alone."""
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> None:
    """Keep the log of broken histories out of the way."""
    caplog.set_level("CRITICAL", "service")


def copies_known_by_id_and_body(patch: Patch) -> None:
    """Take a message for an earlier one of the same id and body, whose failure is out."""
    failed: set[bytes] = set()
    resolve, admit = Claims.resolve, Desk._admit  # noqa: SLF001 - taken out

    def note(claims: Claims, claim: object, outcome: Outcome) -> Resolved:
        if isinstance(outcome, Failed):
            failed.add(message_digest(claim.event))  # type: ignore[attr-defined]
        return resolve(claims, claim, outcome)  # type: ignore[arg-type]

    def silence(desk: Desk, delivery: Delivery, event: ItemEvent) -> None:
        if delivery.copy and message_digest(event) in failed:
            failed.discard(message_digest(event))
            del desk.settler.held[delivery]
            delivery.ack()
        else:
            admit(desk, delivery, event)

    patch.setattr(Claims, "resolve", note)
    patch.setattr(Desk, "_admit", silence)


def dead_letters_beside_results(patch: Patch) -> None:
    """Publish both at once, and both again unless both are confirmed."""

    async def publish(outlet: Outlet, pending: Sequence[Ending]) -> None:
        publisher = outlet._publisher  # noqa: SLF001 - taken out
        each = [ending.settlement() for ending in pending]
        told = await publisher.results(each)
        for ending, said in zip(pending, told, strict=True):
            failed = isinstance(ending.outcome, Failed)
            [buried] = await publisher.dead_letters([ending.settlement()]) if failed else [True]
            if said is True and buried is True:
                ending.known = ending.known.buried_letter()

    patch.setattr(Outlet, "publish", publish)


def outcomes_published_for_nobody(patch: Patch) -> None:
    """Publish although the message is gone, and try again when it comes back."""

    def is_here(_: Settler, ending: Ending, __: object) -> bool:
        if ending.claim is not None and ending.claim.deliveries:
            ending.deliveries = ending.claim.deliveries
        return bool(ending.deliveries)

    patch.setattr(Settler, "_is_here", is_here)


def reading_proved_once(patch: Patch) -> None:
    """Believe that a type can be read because an item of it was shown once, whenever that was."""
    readable: set[tuple[Witnesses, int]] = set()
    add, proves = Shown.add, Shown.proves

    def note(shown: Shown, witness: Witness, *what: Any) -> None:
        readable.add((shown._witnesses, witness.entity_type_id))  # noqa: SLF001 - taken out
        add(shown, witness, *what)

    def believe(shown: Shown, event: ItemEvent, *, sure: bool) -> bool:
        known = (shown._witnesses, event.entity_type_id) in readable  # noqa: SLF001 - taken out
        return known or proves(shown, event, sure=sure)

    patch.setattr(Shown, "add", note)
    patch.setattr(Shown, "proves", believe)


def refused_credentials_end_an_item(patch: Patch) -> None:
    """Reject an item after some tries alone, whatever the code tells."""
    tries: Counter[Identity] = Counter()

    async def suspect(_: object, batch: Batch, fault: Fault) -> Decision:
        [claim] = batch.claims
        tries[claim.event.identity] += 1
        if tries[claim.event.identity] >= TRIES:
            return Decision(ended=[(claim, refused_alone(claim, fault))])
        return Decision(again=[batch.part(batch.claims, now() + 1.0)])

    patch.setattr(FaultAttribution, "suspect", suspect)


def numbers_that_are_known_are_not_believed(patch: Patch) -> None:
    """Take an item for another event's because its number is, though the portal was set back."""
    own = Owners.own

    def owned(owners: Owners, event: ItemEvent, item_id: int) -> Owned:
        found = own(owners, event, item_id)
        return Owned.TAKEN if found is Owned.OTHER_PAIR else found

    patch.setattr(Owners, "own", owned)


class SetBack(History):
    """A history in which the portal comes back with older data."""

    def __post_init__(self) -> None:
        """Set it back half way."""
        super().__post_init__()
        self.set_back_at = self.length / 2


class SlowUploads(History):
    """A history of nothing but bodies that leave slowly and calls that are cut."""

    def __post_init__(self) -> None:
        """Leave out what keeps an absent item from being believed absent."""
        super().__post_init__()
        self.upload, self.troubles, self.natures = UPLOAD_SECONDS, 0, 0.0
        self.stand_by = self.kills = self.repeats = False
        self.rights, self.admin, self.ask = Rights.ALL, True, "doubtful"

    def weather(self) -> Weather:
        """Cut many calls."""
        bad = now() - self.start <= self.length and self.rng.random() < 0.4
        return Weather.LOST if bad else Weather.FINE


def settle_time_from_the_start_of_the_call(patch: Patch) -> None:
    """Forget that the portal's own clock runs from the end of the body."""
    patch.setattr(fakes, "TOLD_WHEN_SENT", False)


def checks_made_too_early(patch: Patch) -> None:
    """Send by the check that was made before the waits for limits and connections."""
    patch.setattr(leave, "ask", lambda: None)


OLD_CHECK = "sent by an old check"
FAULTS: Mapping[Callable[[Patch], None], type[History]] = {
    copies_known_by_id_and_body: History,
    dead_letters_beside_results: History,
    outcomes_published_for_nobody: History,
    reading_proved_once: History,
    refused_credentials_end_an_item: History,
    numbers_that_are_known_are_not_believed: SetBack,
    settle_time_from_the_start_of_the_call: SlowUploads,
}
"""Each with the histories that are tried."""


def _found(histories: type[History]) -> tuple[int, list[str]]:
    for seed in range(MAX_SEEDS):
        if found := violations_of(seed, lambda seed: World(histories(seed))):
            return seed + 1, found
    return 0, []


@pytest.mark.error_logs
@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.__name__)
def test_a_fault_is_found(fault: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """Within a share of the histories that are tried every time."""
    fault(monkeypatch)
    seeds, found = _found(FAULTS[fault])
    print(f"{fault.__name__}: found after {seeds} seeds: {found[:2]}")  # noqa: T201 - for readers
    assert found


@pytest.mark.parametrize("mended", [True, False])
def test_no_call_leaves_by_an_old_check(monkeypatch: Patch, *, mended: bool) -> None:
    """Calls wait for limits and connections; the broker may go away meanwhile."""
    monkeypatch.setattr(PortalView, "waits", 0.5)
    if not mended:
        checks_made_too_early(monkeypatch)
    seeds = range(OLD_CHECK_SEEDS if mended else MAX_SEEDS)
    found = next((seed for seed in seeds if OLD_CHECK in violations_of(seed)), None)
    print(f"an old check in {found}")  # noqa: T201 - for readers
    assert mended is (found is None)
