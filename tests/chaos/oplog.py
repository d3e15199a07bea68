"""Writes the operation log of a run, from outside the importer.

tests/checker/README.md describes its format.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aio_pika.abc import AbstractIncomingMessage

from tests.checker.log import FORMAT
from tests.support.environment import DEAD_LETTERS
from tests.support.processes import PortalProcess
from tests.support.wiretap import digest, event_of

IMPORT = "crm.item.batchimport"
TITLE = "Deal "


class OperationLog:
    """Collects the lines of one run; `write` puts them into a file, in the order of time.

    `on_note` is told of each line at once: of a frame, before it is passed on.
    """

    def __init__(self, **run: Any) -> None:
        """Begin; the members are those of the first line."""
        self._start = time.monotonic()
        self._lines: list[dict[str, Any]] = []
        self.on_note: Callable[[Mapping[str, Any]], None] = lambda _: None
        self.note("run", self._start, format=FORMAT, **run)

    def note(self, operation: str, moment: float | None = None, /, **members: Any) -> None:
        """Add a line; `moment`: of the monotonic clock, which all processes here share."""
        at = (time.monotonic() if moment is None else moment) - self._start
        line = {"at": round(at, 6), "op": operation, **members}
        self._lines.append(line)
        self.on_note(line)

    def text(self) -> str:
        """Return the log as it is written."""
        first, *others = self._lines
        lines = [first, *sorted(others, key=lambda line: line["at"])]
        last = max(line["at"] for line in lines)
        lines.append({"at": last, "op": "end", "lines": len(lines) + 1})
        return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)

    def write(self, path: Path) -> None:
        """Put the log into a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text())

    def read_message(self, queue: str, message: AbstractIncomingMessage) -> None:
        """Note a result or a dead letter, as its consumer got it."""
        if queue == DEAD_LETTERS:
            kind = str(message.headers.get("import_error_kind", "undelivered"))
            named = event_of(message.headers, message.body)
            self.note(
                "letter",
                event=named,
                kind=kind,
                body=digest(message.body),
                redelivered=bool(message.redelivered),
            )
            return
        result = json.loads(message.body)
        data = result["data"]
        outcome = data["error"]["kind"] if "error" in data else "succeeded"
        self.note(
            "result",
            event=data["eventId"],
            outcome=outcome,
            item=data.get("itemId"),
            id=result["id"],
            redelivered=bool(message.redelivered),
            duplicate=data.get("duplicate", False),
            reconciled=data.get("reconciled", False),
        )


class PortalWatch:
    """Copies the ledger of the simulated portal into a log, each entry once."""

    def __init__(self, log: OperationLog, portal: PortalProcess) -> None:
        self._log = log
        self._portal = portal
        self._calls = 0
        self._items = 0
        self._earlier = 0

    def collect(self) -> list[int]:
        """Note what is new in the ledger; return the items that the portal holds."""
        ledger = self._portal.ledger()
        # An item knows the time of day alone, its call that and the monotonic clock.
        ahead = {call["number"]: call["wall"] - call["at"] for call in ledger["calls"]}
        for call in ledger["calls"][self._calls :]:
            self._call(call)
        for item in ledger["items"][self._items :]:
            self._log.note(
                "commit",
                item["wall"] - ahead[item["call"]],
                call=item["call"] + self._earlier,
                item=item["id"],
                type=item["entityTypeId"],
                event=_owner(item["fields"]),
            )
        self._calls, self._items = len(ledger["calls"]), len(ledger["items"])
        return [item["id"] for item in ledger["items"]]

    def set_back(self, kept: int) -> None:
        """Let the portal forget all but its oldest items, and note which it forgot."""
        for item in self.collect()[kept:]:
            self._log.note("gone", item=item)
        self._portal.set_back(kept)
        self._items = kept

    def delete_items(self) -> None:
        """Delete every item, as people do, and note which."""
        items = self.collect()
        for item in items:
            self._log.note("gone", item=item)
        self._portal.delete_items(*items)
        self._items = 0

    def killed(self) -> None:
        """Note what is lost with the portal's process; call this before it is killed."""
        for item in self.collect():
            self._log.note("gone", item=item)
        self._earlier += self._calls
        self._calls = self._items = 0

    def _call(self, call: Mapping[str, Any]) -> None:
        number = call["number"] + self._earlier
        self._log.note(
            "call",
            call["at"],
            call=number,
            method=call["method"],
            type=call["entity_type"],
            events=_events(call) if call["method"] == IMPORT else [],
        )
        if call["duration"] is not None:
            self._log.note(
                "answer",
                call["at"] + call["duration"],
                call=number,
                status=call["status"],
                error=call["error"],
                fault=call["fault"],
            )


def _events(call: Mapping[str, Any]) -> list[str]:
    """Return the events whose items a call carries; their titles tell."""
    try:
        data = json.loads(call["body"])["data"]
        entries = data.values() if isinstance(data, dict) else data
        return [_owner(entry) for entry in entries]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []


def _owner(fields: Mapping[str, Any]) -> str:
    """Return whose item it is: its title says so, or its name where the portal makes the title."""
    texts = [str(fields.get(name)) for name in ("title", "name")]
    return next((text for text in texts if text.startswith(TITLE)), texts[0]).removeprefix(TITLE)
