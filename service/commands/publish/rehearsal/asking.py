"""Asks the portal at a pace: slower after refusals; gives up if there is no answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from service.commands.terminal import say
from service.domain.outcomes import CallFailed, CallKind, Fault
from service.importer.field_check import Describing
from service.importer.looking import Lookup

T = TypeVar("T")
FIRST_SECONDS = 5.0
"""How long a portal is tried that has not answered yet: an address may be wrong."""
TROUBLE_SECONDS = 120.0
"""How long one is tried that has answered before."""
LIMIT_SECONDS = 1300.0
"""How long its limits are waited for; a spent budget is open again after ten minutes."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0
_SERVER_ERRORS = 500
_LIMITS = frozenset({CallKind.THROTTLED, CallKind.OVER_BUDGET})


class Portal(Lookup, Describing, Protocol):
    """What a rehearsal asks of the portal; it only reads."""


class Gone(Exception):  # noqa: N818 - reads as what it says
    """The portal does not answer, or not us; from now on nothing can be asked of it."""


@dataclass(slots=True, eq=False)
class Asking:
    """Repeats a question until it is answered; `gone` says why nothing is asked any more."""

    portal: Portal
    gone: Fault | None = None
    answers: int = 0
    _told: CallKind | None = None

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Return the answer. Raises CallFailed for a refusal of this very question, and Gone."""
        begun, wait = _now(), _FIRST_WAIT
        while self.gone is None:
            try:
                answer = await question()
            except CallFailed as failed:
                await self._failed(failed, _now() - begun, wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            else:
                self.answers += 1
                self._told = None
                return answer
        raise Gone

    async def _failed(self, failed: CallFailed, lasted: float, wait: float) -> None:
        """Wait before the next try. Raises what says that there is no use in one."""
        fault = failed.fault
        if self._is_of_the_question(fault):
            if fault.kind is CallKind.SUSPECT:
                await self._sound()
            raise failed
        if lasted >= self._patience(fault):
            if fault.kind is CallKind.AMBIGUOUS and fault.answered and self.answers:
                await self._sound()
                raise failed
            self.gone = fault
            raise Gone
        await self._pause(fault, wait)

    def _is_of_the_question(self, fault: Fault) -> bool:
        """Tell a refusal of what was asked from one of everything."""
        refused = fault.kind is CallKind.AMBIGUOUS and fault.answered
        mine = refused and (fault.http_status or 0) < _SERVER_ERRORS
        return mine or fault.kind in {CallKind.UNSUPPORTED, CallKind.SUSPECT, CallKind.TOO_LARGE}

    async def _sound(self) -> None:
        """Ask whether the portal takes anything of us at all; raises Gone."""
        try:
            await self.portal.probe()
        except CallFailed as failed:
            self.gone = failed.fault
            raise Gone from None

    def _patience(self, fault: Fault) -> float:
        if fault.kind in _LIMITS or fault.retry_after:
            return LIMIT_SECONDS
        if fault.kind is CallKind.BARRED:
            return 0.0
        return TROUBLE_SECONDS if self.answers else FIRST_SECONDS

    async def _pause(self, fault: Fault, wait: float) -> None:
        """Say once why it takes longer, and wait; the portal's limits are waited for elsewhere."""
        if self._told is not fault.kind:
            self._told = fault.kind
            if fault.kind in _LIMITS:
                say(f"slower: {fault.cause}; the importer may be using the portal's limits")
            else:
                say(f"waiting: {fault.cause}; trying again and again")
        await asyncio.sleep(fault.retry_after or wait)


def _now() -> float:
    return asyncio.get_running_loop().time()
