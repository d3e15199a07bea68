"""Plays made-up histories with a memory, and tells which broke a promise and what was struck.

`python -m tests.tools.histories 1000 --first 0`
"""

import argparse
import logging
import sys

from tests.unit import test_simulation_memory as simulation
from tests.unit.test_simulation import violations_of


def main() -> int:
    """Print every failing seed, then where each trouble struck; return 1 if any history failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.histories", description=__doc__)
    parser.add_argument("count", type=int, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    logging.getLogger("service").setLevel(logging.CRITICAL)
    failed = 0
    for seed in range(given.first, given.first + given.count):
        if found := violations_of(seed, simulation.made):
            failed += 1
            print(f"seed {seed}: {'; '.join(found[:3])}")
    print(f"{given.count} histories, {failed} failed")
    print(simulation.coverage())
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
