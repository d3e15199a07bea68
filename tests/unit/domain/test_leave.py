"""Tests that a call which is not ours any more does not leave."""

import pytest

from service.domain.leave import NotOurs, ask, asked_before_sending


def test_a_call_leaves_only_while_it_is_ours() -> None:
    """Nobody is asked outside of a call."""
    ours = [True, False]
    with asked_before_sending(lambda: ours.pop(0)):
        ask()
        with pytest.raises(NotOurs):
            ask()
    ask()
