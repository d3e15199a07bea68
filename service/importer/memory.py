"""Keeps the memory of calls: a note before each, one after it, and what the last word means."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from service.domain.batch import Batch
from service.domain.claim import Claim
from service.domain.decisions import Decision
from service.domain.events import Identity, ItemEvent, event_digest
from service.domain.history import Doubt
from service.domain.last_words import LastWord, LastWords, Word, word_on
from service.domain.outcomes import Failed, FailureKind, Imported, Outcome
from service.telemetry import steady

LATER = 0.001
"""Seconds by which a word comes after the one that it takes the place of."""


class Memory(Protocol):
    """What the importer needs of the memory; nothing takes longer than a few seconds.

    `reliable`: it knows every call that any process has noted.
    """

    writer: int
    words: LastWords

    @property
    def reliable(self) -> bool:
        """Whether an event without a word was in no call."""

    @property
    def tells_queues(self) -> bool:
        """Whether it knows which lanes have queues."""

    async def catch_up(self) -> bool:
        """Learn everything that was noted before; False when that cannot be told."""

    async def before_call(self, words: Sequence[LastWord]) -> list[LastWord | None] | None:
        """Note a call that is about to leave; return the words that stood before."""

    async def add(self, words: Sequence[LastWord]) -> bool:
        """Note words; they count here at once."""

    async def set_back(self) -> None:
        """Note that the portal came back with older data."""


class NoMemory:
    """Stands where there is no memory: nothing is known but what this process did itself."""

    def __init__(self) -> None:
        """Know nothing."""
        self.writer = 0
        self.words = LastWords(1)
        self.reliable = self.tells_queues = False

    async def catch_up(self) -> bool:
        """Tell that nothing was learnt."""
        return False

    async def before_call(self, _: Sequence[LastWord]) -> list[LastWord | None] | None:
        """Tell that nothing is known."""
        return None

    async def add(self, _: Sequence[LastWord]) -> bool:
        """Tell that nothing was noted."""
        return False

    async def set_back(self) -> None:
        """Do nothing."""


class CallNotes:
    """Notes what is sent and what became of it, so that every process knows.

    `memory` may be set until the first event comes. `proof` is how long after the note of a call
    a look-up of another process proves something: its time-out, and the time that a call without
    an answer may still be at work.
    """

    def __init__(self, *, proof: float, clock: Callable[[], float]) -> None:
        """Note nothing until there is a memory; `clock` is the loop's."""
        self.memory: Memory = NoMemory()
        self.clock = clock
        self._proof = proof

    def last_word(self, event: ItemEvent) -> LastWord | None:
        """Return the last word on an event; None where there is none, or nobody can tell."""
        return self.memory.words.of(event.identity_digest)

    def look_at(self, word: LastWord) -> float:
        """Return the loop time from which a look-up proves something of a call that was noted."""
        return self.provable(word.at + self._proof)

    def provable(self, at: float) -> float:
        """Return the loop time of a moment from which a look-up proves something of a call.

        Whoever named the moment, in seconds since the epoch: it is never further off than that of
        a call that leaves now.
        """
        return self.clock() + min(max(at - steady.time(), 0.0), self._proof)

    async def before(self, batch: Batch) -> list[Claim]:
        """Note that a batch is about to leave; return the claims that must not go with it.

        Another process may be calling with them, or has imported them meanwhile: the earlier
        word stands, and they are looked up like all that was perhaps sent.
        """
        at = steady.time()
        words = [
            word_on(claim.event, Word.IN_CALL, at, self.memory.writer) for claim in batch.claims
        ]
        before = await self.memory.before_call(words)
        if before is None:
            return []
        withdrawn = [
            (claim, word)
            for claim, word in zip(batch.claims, before, strict=True)
            if word is not None and self._is_in_the_way(word, claim.judged_at)
        ]
        if withdrawn:
            await self.memory.add([word for _, word in withdrawn])
        for claim, word in withdrawn:
            claim.known = claim.known.suspected(Doubt.STRONG, self.look_at(word))
        return [claim for claim, _ in withdrawn]

    async def after(
        self, called: Iterable[Claim], decision: Decision, *, at: float | None = None
    ) -> None:
        """Note what became of the claims of a call that left at a time, and of those looked up.

        Without a time they were looked up alone: whoever asks next may do so at once.
        """
        now, writer = steady.time(), self.memory.writer
        at = now - self._proof if at is None else at
        words = [
            _ended(claim, outcome, now, writer, called_at=at) for claim, outcome in decision.ended
        ]
        ended = {claim for claim, _ in decision.ended}
        for claim in called:
            if claim not in ended:
                perhaps = claim.known.doubt is Doubt.STRONG
                word = Word.UNKNOWN if perhaps else Word.NOT_THERE
                words.append(word_on(claim.event, word, at if perhaps else now, writer))
        if words:
            await self.memory.add(words)

    async def gone(self, identities: Iterable[Identity]) -> None:
        """Note that the items of imported events are not there any more, as far as it is shown.

        A new publish of such an event is looked up at once, and sent if it is proved absent.
        """
        now = steady.time()
        known = [self.memory.words.of(event_digest(identity)) for identity in identities]
        words = [
            word._replace(word=Word.UNKNOWN, at=max(now - self._proof, word.at + LATER), item_id=0)
            for word in known
            if word is not None and word.word is Word.IMPORTED
        ]
        if words:
            await self.memory.add(words)

    async def set_back(self) -> None:
        """Note that the portal came back with older data, for every process."""
        await self.memory.set_back()

    def _is_in_the_way(self, word: LastWord, judged_at: float) -> bool:
        """Tell whether the call that a word tells of may have been at work after a judgement."""
        if word.writer == self.memory.writer:
            return False
        if word.perhaps_sent:
            return word.at > min(judged_at, steady.time()) - self._proof
        return word.word is Word.IMPORTED and not word.stale


def _ended(
    claim: Claim, outcome: Outcome, now: float, writer: int, *, called_at: float
) -> LastWord:
    """Return the word on an event that has ended."""
    match outcome:
        case Imported(item_id=item_id):
            return word_on(claim.event, Word.IMPORTED, now, writer, item_id)
        case Failed(kind=FailureKind.AMBIGUOUS) if claim.event.external_id is None:
            return word_on(claim.event, Word.LET_GO, now, writer)
        case Failed(kind=FailureKind.AMBIGUOUS):
            return word_on(claim.event, Word.UNKNOWN, called_at, writer)
        case _:
            return word_on(claim.event, Word.NOT_THERE, now, writer)
