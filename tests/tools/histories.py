"""Plays made-up histories, and tells which broke a promise; with a memory also what was struck.

`python -m tests.tools.histories 1000 --first 0 --kind links`
"""

import argparse
import logging
import sys
from collections.abc import Callable

from tests.unit import test_simulation_links as links
from tests.unit import test_simulation_memory as memory
from tests.unit.test_simulation import History, World, violations_of

KINDS: dict[str, Callable[[int], World]] = {
    "plain": lambda seed: World(History(seed)),
    "memory": memory.made,
    "links": links.made,
}


def main() -> int:
    """Print every failing seed, then where each trouble struck; return 1 if any history failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.histories", description=__doc__)
    parser.add_argument("count", type=int, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--kind", choices=KINDS, default="memory", help="what they are about")
    parser.add_argument("--one", action="store_true", help="stop at the first that failed")
    given = parser.parse_args()
    logging.getLogger("service").setLevel(logging.CRITICAL)
    failed = 0
    for seed in range(given.first, given.first + given.count):
        if found := violations_of(seed, KINDS[given.kind]):
            failed += 1
            print(f"seed {seed}: {'; '.join(found[:3])}", flush=True)
            if given.one:
                return 1
    print(f"{given.count} histories, {failed} failed")
    if given.kind == "memory":
        print(memory.coverage())
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
