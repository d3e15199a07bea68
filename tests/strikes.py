"""Raises a bug at one await of the service's tasks: the tests of what a bug costs aim with it."""

import asyncio
from collections.abc import Coroutine, Generator
from types import CodeType
from typing import Any

from tests.service_tasks import wrap_tasks_of


class Aim:
    """Counts the awaits of the service's tasks, and strikes at one of them."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.seen = 0
        self.struck = ""
        self.armed = True

    def strikes(self, code: CodeType) -> bool:
        """Count an await; tell whether it is the one."""
        self.seen += self.armed
        if self.armed and self.seen == self.target and not self.struck:
            self.struck = code.co_qualname
            return True
        return False

    def at_tasks_of(self, loop: asyncio.AbstractEventLoop) -> None:
        """Aim at every task of the service that begins from now on."""
        wrap_tasks_of(loop, lambda work, code: Struck(work, code, self))


class Struck(Coroutine[Any, Any, Any]):
    """A coroutine that raises where it waits, instead of going on, when the aim says so."""

    def __init__(self, work: Coroutine[Any, Any, Any], code: CodeType, aim: Aim) -> None:
        self._work, self._code, self._aim, self._begun = work, code, aim, False

    def send(self, value: Any) -> Any:  # noqa: ANN401 - the protocol's
        begun, self._begun = self._begun, True
        if begun and self._aim.strikes(self._code):
            return self._work.throw(KeyError("a bug"))
        return self._work.send(value)

    def throw(self, *error: Any) -> Any:  # noqa: ANN401 - the protocol's
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError
