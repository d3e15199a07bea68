"""Puts something between an event loop and the tasks of the service: bugs, or stalls."""

import asyncio
from collections.abc import Callable, Coroutine
from types import CodeType
from typing import Any

Work = Coroutine[Any, Any, Any]


def wrap_tasks_of(
    loop: asyncio.AbstractEventLoop, wrapped: Callable[[Work, CodeType], Work]
) -> None:
    """Have every task of the service that begins from now on run what `wrapped` makes of it."""

    def factory(loop: asyncio.AbstractEventLoop, work: Work, **more: Any) -> "asyncio.Task[Any]":
        code = getattr(work, "cr_code", None)
        if isinstance(code, CodeType) and "/service/" in code.co_filename:
            work = wrapped(work, code)
        return asyncio.Task(work, loop=loop, **more)

    loop.set_task_factory(factory)  # type: ignore[arg-type]  # more precise than its stub
