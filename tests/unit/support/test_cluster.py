"""A cluster that does not come about is tried again, a few times, with new nodes."""

from collections.abc import Iterator
from typing import cast

import pytest

from tests.support import cluster
from tests.support.broker import BrokerError
from tests.support.cluster import SIZE, TRIES, running_cluster


class Node:
    """Stands for one node; the tests say which of all that are made do not start."""

    made: "list[Node]"
    bad: frozenset[int]

    def __init__(self, first: "Node | None" = None) -> None:
        """Take the next number."""
        self.first, self.number, self.runs = first, len(self.made), False
        self.made.append(self)

    def start(self) -> None:
        """Start, or not."""
        if self.number in self.bad:
            raise BrokerError(f"node {self.number} did not start")
        self.runs = True

    def evaluate(self, _: str) -> str:
        """Tell how many nodes are seen."""
        return str(SIZE)

    def stop(self) -> None:
        """Stop."""
        self.runs = False


@pytest.fixture(autouse=True)
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Node]]:
    """Make such nodes instead of real ones."""
    monkeypatch.setattr(cluster, "Member", Node)
    Node.made, Node.bad = [], frozenset()
    yield Node
    assert not any(node.runs for node in Node.made)


@pytest.mark.parametrize("bad", range(SIZE))
def test_a_node_that_does_not_start_costs_one_try(nodes: type[Node], bad: int) -> None:
    """Nothing is left of the try that failed."""
    nodes.bad = frozenset({bad})
    with running_cluster() as members:
        assert nodes.made[SIZE:] == cast("list[Node]", members)
        assert nodes.made[SIZE:] == [node for node in nodes.made if node.runs]


def test_the_last_try_tells_what_went_wrong_in_each(nodes: type[Node]) -> None:
    """No cluster, no endless trying."""
    nodes.bad = frozenset(range(0, 100, SIZE))
    with (
        pytest.raises(BrokerError, match="no cluster of 3 nodes in 3 tries") as told,
        running_cluster(),
    ):
        pass
    assert TRIES == str(told.value).count("did not start")
    assert SIZE * TRIES == len(nodes.made)
