# ruff: noqa: INP001 - a program, never imported
"""Prints item events for ever, a JSON line each: an ebb and flow of deals, leads and contacts.

The demo pipes it into `crm-importer publish`. One in forty is a lead that the portal refuses, one
in sixty has an entity type that no portal knows; now and then a whole import of orders comes.
"""

import json
import sys
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

PAUSE_SECONDS = 0.25
RUSH_EVERY, RUSH = 300, 400
"""A rush comes after so many ordinary events, and has so many."""
NO_SUCH_TYPE = 1044


def main() -> None:
    """Print until nobody reads."""
    for number in count(1):
        for event in _events(number):
            sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
        time.sleep(PAUSE_SECONDS)


def _events(number: int) -> Iterator[dict[str, Any]]:
    run = f"{time.time():.0f}-{number}"
    yield _event(run, number)
    if number % RUSH_EVERY == 0:
        for one in range(RUSH):
            yield {"entityTypeId": 2, "id": f"{run}-{one}", "fields": {"title": f"Order {one}"}}


def _event(run: str, number: int) -> dict[str, Any]:
    if number % 60 == 0:
        return {"entityTypeId": NO_SUCH_TYPE, "id": run, "fields": {"title": "Stray"}}
    if number % 40 == 0:
        return {"entityTypeId": 1, "id": run, "fields": {"stageId": "NEW"}}
    kind, make = KINDS[number % len(KINDS)]
    return {"entityTypeId": kind, "id": run, "fields": make(number)}


def _order(number: int) -> dict[str, Any]:
    return {"title": f"Order {number}", "opportunity": number * 37 % 5000 + 0.5}


def _call(number: int) -> dict[str, Any]:
    return {"title": f"Call back {number}", "stageId": "NEW"}


def _customer(number: int) -> dict[str, Any]:
    return {"name": "Ada", "lastName": f"Number {number}"}


KINDS = ((2, _order), (1, _call), (3, _customer))


if __name__ == "__main__":
    main()
