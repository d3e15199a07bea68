"""Runs a command's work with the broker; every error that ends it becomes one sentence."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from service import factories
from service.commands.terminal import say
from service.domain.network import Cause
from service.rabbit.connection import ConnectionLost
from service.rabbit.decoding import Decoder
from service.rabbit.holding import Stalled
from service.rabbit.reasons import why_ended
from service.rabbit.rights import Rights, of_operator
from service.rabbit.session import CannotConnect, Missing, Session, connect
from service.rabbit.topology import Topology
from service.settings.environment import load
from service.settings.tree import Settings

BLOCKED_EVERY_SECONDS = 1.0
ENDS = (CannotConnect, Stalled, Missing, ConnectionLost, factories.CannotStart)
"""What ends a work with the broker, and is no bug."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, eq=False)
class CommandRuntime:
    """What a command needs to work with the broker."""

    settings: Settings
    session: Session
    decoder: Decoder

    @property
    def can_look_up(self) -> bool:
        """Whether the importer asks the portal about doubtful items at all."""
        return self.settings.lookup != "never"


Tell = Callable[[str], None]
"""Takes a note for the person who waits."""


@asynccontextmanager
async def command_runtime(
    name: str,
    settings: Settings | None = None,
    tell: Tell = say,
    *,
    needs: Callable[[Topology], Rights] = of_operator,
) -> AsyncIterator[CommandRuntime]:
    """Connect to the broker of the settings; the portal's are not needed.

    `needs`: the rights of the broker's user that the work takes. Raises CannotStart where the
    broker ends it.
    """
    settings = settings or load(portal=False)
    async with connect(factories.address(settings.rabbit), name) as session:
        watch = asyncio.create_task(_tell_when_blocked(session, tell), name="blocked")
        try:
            yield CommandRuntime(settings, session, factories.decoder(settings))
        except ConnectionLost as lost:
            told = why_ended(str(lost), needs(factories.topology(settings.rabbit)))
            raise factories.CannotStart(_ended(told)) from None
        finally:
            watch.cancel()


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run a command's work to its exit code; raises CannotStart with what ended it."""
    try:
        return asyncio.run(work)
    except asyncio.CancelledError:
        return 1
    except ENDS as error:
        raise factories.CannotStart(in_words(error)) from None
    finally:
        work.close()  # else Python complains where somebody interrupts before it began


def in_words(error: Exception) -> str:
    """Return what ended a work with the broker, one of `ENDS`, as a sentence with its remedy."""
    match error:
        case Missing():
            return (
                f"{error} is missing: the importer creates it when it starts; check the "
                f"virtual host in IMPORTER_RABBIT__URL"
            )
        case ConnectionLost():
            return _ended(why_ended(str(error)))
        case _:
            return str(error)


def _ended(why: Cause) -> str:
    return f"the broker ended the command: {why.found}: {why.remedy}"


@contextmanager
def stoppable() -> Iterator[asyncio.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; the second one cancels the task."""
    loop, task, stop = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()

    def asked() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        elif not stop.is_set():
            say("stopping after the work in flight; Ctrl-C again stops at once")
            stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, asked)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _tell_when_blocked(session: Session, tell: Tell) -> None:
    """Say, once each time, that the broker makes us wait, and that it goes on."""
    told = False
    while True:
        await asyncio.sleep(BLOCKED_EVERY_SECONDS)
        blocked = await session.blocked()
        if blocked and not told:
            tell("waiting: the broker takes no messages (memory or disk alarm)")
        if told and not blocked:
            tell("the broker takes messages again")
        told = blocked
