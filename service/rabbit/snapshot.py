"""Reads the dead letters that lie in a queue now, in windows, and returns what is not taken.

Every return counts against the delivery limit of the queue. RabbitMQ 4 has one of 20 where
nobody set another, and this queue has nowhere to send what exceeds it: the letter would be gone.
So a letter that was returned a few times already is put into the queue again, confirmed, and only
then the old one is removed; the new one starts from nought.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from service.domain.events import digest_of
from service.rabbit.confirms import Confirmer, PublishResult
from service.rabbit.decoding import Decoder
from service.rabbit.holding import Holding, hold
from service.rabbit.letters import Letter, read, renewed
from service.rabbit.session import Session

MAX_RETURNS = 5
"""Most times a letter is returned; far below RabbitMQ's own limit, to leave room for crashes."""
MAX_TRACES = 200_000
"""So many letters are compared with one another, at most. A copy that is missed does no harm."""


class Renewals:
    """Tells a letter from the copy that an interrupted renewal left.

    One of two letters alike renews the other if both bear the same mark, or if one bears a mark
    and the other was returned so often that it had to be renewed. Two that upstream, or whoever
    moves letters, put there are two: nothing is removed in doubt. What has neither mark nor
    returns is not remembered, so that a walk through any number of letters takes no memory.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._seen: set[bytes] = set()

    def __len__(self) -> int:
        """Return the number of traces kept."""
        return len(self._seen)

    def is_copy(self, letter: Letter) -> bool:
        """Tell whether a letter is one of two of which the other was seen already."""
        old = letter.returns >= MAX_RETURNS
        if letter.unique is None or not (old or letter.renewal):
            return False
        itself, renewed_one, old_one = (
            digest_of((*letter.unique, kind))
            for kind in (f"mark {letter.renewal}", "any mark", "old")
        )
        alike = {itself, old_one} if letter.renewal else {renewed_one}
        if self._seen & alike:
            return True
        if len(self._seen) < MAX_TRACES:
            self._seen |= {itself, renewed_one} if letter.renewal else {old_one}
        return False


@dataclass(slots=True, eq=False)
class Snapshot:
    """The letters that lay in the queue when it was opened; no later one is looked at.

    What `windows` yields stays ours until the snapshot closes: then everything goes back that
    was not taken. While we hold letters, nobody else sees them.
    """

    holding: Holding
    confirmer: Confirmer
    decoder: Decoder
    unkept: int = 0
    _renewals: Renewals = field(default_factory=Renewals)

    @property
    def queue(self) -> str:
        """The queue's name."""
        return self.holding.queue

    @property
    def depth(self) -> int:
        """How many letters there are."""
        return self.holding.depth

    @property
    def others(self) -> int:
        """How many consumers were at the queue already, which may hold more."""
        return self.holding.others

    async def windows(self) -> AsyncIterator[list[Letter]]:
        """Yield the letters, as many at a time as fit into memory."""
        async for messages in self.holding.windows():
            letters = [read(message, self.decoder) for message in messages]
            copies = [letter for letter in letters if self._renewals.is_copy(letter)]
            await self.take(copies)
            yield [letter for letter in letters if letter not in copies]

    async def settle(self, window: Iterable[Letter], gone: Iterable[Letter]) -> None:
        """Remove what is gone from a window for good, and keep the rest of it."""
        gone = list(gone)
        tags = {letter.tag for letter in gone}
        await self.take(gone)
        await self.keep(letter for letter in window if letter.tag not in tags)

    async def take(self, letters: Iterable[Letter]) -> None:
        """Remove letters from the queue for good."""
        await self.holding.take(letter.tag for letter in letters)

    async def keep(self, letters: Iterable[Letter]) -> None:
        """See that letters outlive their return; counts in `unkept` those that may not."""
        old = [letter for letter in letters if letter.returns >= MAX_RETURNS]
        results = await asyncio.gather(
            *(self.confirmer.send(renewed(letter, self.queue)) for letter in old)
        )
        fates = list(zip(old, results, strict=True))
        await self.take(letter for letter, result in fates if result is PublishResult.CONFIRMED)
        self.unkept += sum(result is not PublishResult.CONFIRMED for result in results)


@asynccontextmanager
async def open_snapshot(session: Session, queue: str, decoder: Decoder) -> AsyncIterator[Snapshot]:
    """Look at a queue; raises Missing, Stalled or ConnectionLost.

    It ends without an error only when every letter is known to be gone or back.
    """
    reopen = partial(session.channel, confirms=True)
    async with hold(session, queue) as holding:
        yield Snapshot(holding, Confirmer(await reopen(), reopen), decoder)
