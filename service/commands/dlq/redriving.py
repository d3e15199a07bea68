"""Sends dead letters back to the intake: confirmed first, removed from the queue after."""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.commands import terminal
from service.commands.dlq.doubling import may_double
from service.commands.dlq.groups import Groups
from service.commands.dlq.opening import Reading, opened
from service.commands.dlq.patching import Patch, Unpatchable, patch_of, patched
from service.commands.dlq.selection import JSON_ASKS_NOBODY, Selection
from service.commands.runtime import CommandRuntime, command_runtime, run
from service.domain.events import ItemEvent, Malformed
from service.domain.outcomes import FailureKind
from service.factories import CannotStart
from service.rabbit.confirms import PublishResult
from service.rabbit.letters import Letter, decoded, redriven

DOUBTFUL = "stays: perhaps in the CRM"
MALFORMED = "stays: malformed"
GOES = "goes back"
ASKED_ABOVE = 100
"""Most letters that are sent back from a terminal without a question."""
STAYS_MALFORMED = "malformed, and would fail again"
STAYS_DOUBTFUL = "perhaps in the CRM already, and cannot be looked up. Search the portal first"
_OPTIONS = {
    STAYS_MALFORMED: ". --set corrects them; --kind malformed or --id sends them as they are",
    STAYS_DOUBTFUL: "; --resend-ambiguous sends them without proof",
}
_WHY = {
    PublishResult.RETURNED: "no queue is bound to the intake exchange for its routing key",
    PublishResult.NACKED: "the intake queue is full and refuses",
    PublishResult.UNWRITABLE: (
        "the message is too large for the broker, or its headers cannot be written"
    ),
    PublishResult.LOST: "the connection was lost; the message may have arrived, which does no "
    "harm",
}


@dataclass(slots=True)
class Tally:
    """What became of the letters; `hopeless` are sent although they are malformed."""

    sent: int = 0
    hopeless: int = 0
    malformed: int = 0
    doubtful: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    groups: Groups = field(default_factory=Groups)

    def stays(self) -> dict[str, int]:
        """Return how many letters stay where they are, by the reason; at least one of each."""
        stays = {STAYS_MALFORMED: self.malformed, STAYS_DOUBTFUL: self.doubtful, **self.failed}
        return {why: count for why, count in stays.items() if count}

    def tell_what_stays(self) -> None:
        """Say how many letters stay where they are, and why."""
        for why, count in self.stays().items():
            told = f"{why}{_OPTIONS.get(why, '')}"
            terminal.paragraph(f"not sent back: {_letters(count)}: {told}")


@dataclass(slots=True, eq=False)
class Redrive:
    """A redrive of what is selected, `limit` letters at most; `untried`: it ended before them."""

    work: CommandRuntime
    selection: Selection
    patch: Patch
    limit: int | None
    resend_ambiguous: bool
    dry_run: bool
    tally: Tally = field(default_factory=Tally)
    untried: int = 0

    async def walk(self, reading: Reading) -> None:
        """Go through the letters window by window; raises ConnectionLost."""
        self.untried = reading.snapshot.depth
        async for window in reading.windows("reading" if self.dry_run else "sending back"):
            chosen = self.chosen(window)
            results = [] if self.dry_run else await self._send(reading, chosen)
            gone = [
                letter
                for (letter, _), result in zip(chosen, results, strict=False)
                if result is PublishResult.CONFIRMED
            ]
            # Counted first: confirmed letters are sent, even if the connection breaks now.
            self._count(chosen, results)
            self.untried -= len(window)
            await reading.snapshot.settle(window, gone)
            if PublishResult.LOST in results:
                raise reading.snapshot.confirmer.lost()
            reading.enough = self._is_enough(results)
        if self._is_at_limit or not (reading.enough or reading.ended_early):
            self.untried = 0

    def chosen(self, window: Sequence[Letter]) -> list[tuple[Letter, bytes]]:
        """Return the letters that go, each with its new body; count why others stay."""
        chosen: list[tuple[Letter, bytes]] = []
        for letter in filter(self.selection.holds, window):
            if self.limit is not None and self.tally.sent + len(chosen) >= self.limit:
                break
            if self._is_malformed(letter):
                self.tally.malformed += 1
                self.tally.groups.add(letter, MALFORMED)
                continue
            if self._is_doubtful(letter):
                self.tally.doubtful += 1
                self.tally.groups.add(letter, DOUBTFUL)
                continue
            try:
                chosen.append((letter, self._body(letter)))
            except Unpatchable as why:
                self.tally.failed[f"it cannot be patched: {why}"] += 1
                self.tally.groups.add(letter, f"stays: it cannot be patched: {why}")
        return chosen

    def _is_malformed(self, letter: Letter) -> bool:
        """Tell whether a letter would only fail again and was not named."""
        is_named = self.selection.kind is not None or self.selection.ids
        return letter.kind == FailureKind.MALFORMED and not (is_named or self.patch)

    def _is_doubtful(self, letter: Letter) -> bool:
        return not self.resend_ambiguous and may_double(letter, can_look_up=self.work.can_look_up)

    def _body(self, letter: Letter) -> bytes:
        """Return the body to send; raises Unpatchable, too, when a patch breaks it."""
        if letter.is_bodyless:
            raise Unpatchable("the body was too large for the broker: publish the event again")
        body = patched(letter, self.patch)
        if self.patch:
            event = decoded(letter, body, self.work.decoder)
            if isinstance(event, Malformed):
                raise Unpatchable(event.message)
        return body

    async def _send(
        self, reading: Reading, chosen: Sequence[tuple[Letter, bytes]]
    ) -> list[PublishResult]:
        exchange = self.work.settings.rabbit.intake_exchange
        confirmer = reading.snapshot.confirmer
        return await asyncio.gather(
            *(
                confirmer.send(redriven(letter, exchange, body, resend=self.resend_ambiguous))
                for letter, body in chosen
            )
        )

    def _count(
        self, chosen: Sequence[tuple[Letter, bytes]], results: Sequence[PublishResult]
    ) -> None:
        gone = sum(result is PublishResult.CONFIRMED for result in results)
        self.tally.sent += len(chosen) if self.dry_run else gone
        self.tally.failed.update(
            _WHY[result] for result in results if result is not PublishResult.CONFIRMED
        )
        for letter, _ in chosen:
            self.tally.groups.add(letter, GOES)
        if not self.patch:
            self.tally.hopeless += sum(
                not isinstance(letter.event, ItemEvent) for letter, _ in chosen
            )

    def _is_enough(self, results: Sequence[PublishResult]) -> bool:
        nothing_is_bound = set(results) == {PublishResult.RETURNED}
        return nothing_is_bound or PublishResult.NACKED in results or self._is_at_limit

    @property
    def _is_at_limit(self) -> bool:
        return self.limit is not None and self.tally.sent >= self.limit

    def document(self) -> dict[str, object]:
        """Return what was done, and what was not, as `--json` shows it."""
        tally = self.tally
        return {
            "dryRun": self.dry_run,
            "sent": tally.sent,
            "malformedSent": tally.hopeless,
            "stays": [{"why": why, "letters": count} for why, count in tally.stays().items()],
            "untried": self.untried,
            "groups": [group.as_json() for group in tally.groups],
        }

    def report(self, *, as_json: bool = False) -> None:
        """Say what was done, and what was not, with the reason."""
        tally = self.tally
        if as_json:
            terminal.show_json(self.document())
            return
        if self.dry_run and tally.groups.count:
            tally.groups.show("outcome")
        verb = "would go back" if self.dry_run else "sent back"
        terminal.show(f"{_letters(tally.sent)} {verb} to the intake")
        if tally.hopeless:
            terminal.show(f"malformed, and will fail again: {_letters(tally.hopeless)} of these")
        tally.tell_what_stays()
        if tally.sent and not self.dry_run and sys.stdout.isatty():
            terminal.show("the importer tries them now; this command lists those that fail again:")
            terminal.show(f"  {terminal.command('dlq list --since 5m')}")
        if self.untried:
            told = "looked at" if self.dry_run else "tried"
            terminal.show(f"ended early: {self.untried:,} were not {told}")
        elif not tally.groups.count:
            terminal.show("no dead letter matches")

    @property
    def has_failed(self) -> bool:
        """Whether something stays that was to go; who names ids means each of them."""
        return bool(self.tally.failed or (self.selection.ids and self.tally.doubtful))


def _letters(count: int) -> str:
    return terminal.many(count, "dead letter")


def redriving(options: argparse.Namespace) -> int:
    """Send the selected letters back; many only after a person at a terminal has said so."""
    if not (options.yes or options.dry_run) and terminal.can_ask():
        if options.json:
            raise CannotStart(JSON_ASKS_NOBODY)
        plan = argparse.Namespace(**{**vars(options), "dry_run": True})
        counted = Tally()
        if code := run(_walk(plan, counted)):
            return code
        if counted.sent > ASKED_ABOVE:
            counted.groups.show("outcome")
            counted.tell_what_stays()
            wanted = str(counted.sent)
            if not terminal.confirm(
                f"Type {wanted} to send back {_letters(counted.sent)}:", wanted
            ):
                terminal.say("nothing was sent back")
                return 1
            options.limit = counted.sent
    return run(_redrive(options))


async def _walk(options: argparse.Namespace, tally: Tally) -> int:
    """Count what would go; exit code 1 if it was interrupted."""
    async with command_runtime("dlq redrive") as work, opened(work) as reading:
        await _redrive_of(work, options, tally).walk(reading)
    if reading.ended_early:
        terminal.say(f"{reading.interrupted}; nothing was sent back")
    return 1 if reading.ended_early else 0


def _redrive_of(work: CommandRuntime, options: argparse.Namespace, tally: Tally) -> Redrive:
    return Redrive(
        work,
        Selection.of(options),
        patch_of(options.patch),
        options.limit,
        resend_ambiguous=options.resend_ambiguous,
        dry_run=options.dry_run,
        tally=tally,
    )


async def _redrive(options: argparse.Namespace) -> int:
    async with command_runtime("dlq redrive") as work:
        await work.session.needs_exchange(work.settings.rabbit.intake_exchange)
        redrive = _redrive_of(work, options, Tally())
        try:
            async with opened(work) as reading:
                await redrive.walk(reading)
        except (Exception, asyncio.CancelledError):
            if redrive.tally.sent:
                redrive.report(as_json=options.json)
            raise
    redrive.report(as_json=options.json)
    if reading.ended_early:
        rest = "nothing was sent back" if options.dry_run else "the rest stays where it is"
        terminal.say(f"{reading.interrupted}; {rest}")
    return 1 if redrive.has_failed or reading.ended_early else 0
