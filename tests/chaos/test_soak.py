"""Proves that the soak works, in half a minute; `python -m tests.chaos.soak` is the long one."""

from pathlib import Path

from tests.chaos.broker_side import cut_line, kill_service
from tests.chaos.cells import Cell, version_of
from tests.chaos.kept import entry
from tests.chaos.soak import NAME, Soak, defaults, report, scenario
from tests.chaos.trial import Order, run_trial
from tests.support.broker import Broker
from tests.support.environment import QUICK


async def test_a_soak_ends_clean_and_says_what_it_took(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """With short times, and two kinds of faults in turn."""
    soak = Soak(8.0, say=False, harms=(cut_line, kill_service), calm=(2.0, 3.0), ahead=150)
    cell = Cell(NAME, version_of(broker.api("GET", "overview")))
    order = Order(cell=cell, seed=3, to=tmp_path / "log.jsonl")
    audit = await run_trial(scenario(soak, QUICK), broker, vhost, order)
    assert audit.clean, f"{audit.complaint()}\n{audit.log}"
    found = report(soak, audit, entry(cell, 3, audit.verdict))
    assert found["items per second"] > 0
    assert sum(found["faults"].values()) >= 2


def test_a_soak_has_the_defaults_of_all_settings() -> None:
    """The tests make some shorter: these are set back."""
    assert QUICK.keys() == defaults().keys()
    assert ("2", "65") == (
        defaults()["IMPORTER_BITRIX__REQUESTS_PER_SECOND"],
        defaults()["IMPORTER_BITRIX__SETTLE_SECONDS"],
    )
