"""Plays histories in which the portal is set back to older data, or bodies leave slowly."""

import pytest

from tests.support.histories import histories
from tests.tools.histories import KINDS
from tests.unit.test_simulation import CHUNK, violations_of

pytestmark = pytest.mark.simulation
HISTORIES = histories(20)


@pytest.mark.parametrize("first", range(0, HISTORIES, CHUNK))
def test_no_history_of_a_troubled_portal_loses_doubles_or_blames_anything(first: int) -> None:
    """One kind with even seeds, the other with odd ones."""
    seeds = range(first, first + CHUNK)
    broken = {seed: found for seed in seeds if (found := violations_of(seed, KINDS["portal"]))}
    assert {} == broken
