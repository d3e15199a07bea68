"""Asks once more, right before a call is sent, whether this process may still make it.

Whoever starts a call sets the question; whoever writes its first byte asks it, and asks it again
before each piece of a long body. Between start and end may lie waits for limits, tokens and
connections, a slow line, and a suspension of the process or the machine.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_QUESTION: ContextVar[Callable[[], bool] | None] = ContextVar("leave", default=None)


class NotOurs(Exception):  # noqa: N818 - reads as what it says
    """A call was not sent completely: another process may have its messages by now."""


@contextmanager
def asked_before_sending(question: Callable[[], bool]) -> Iterator[None]:
    """Have the question asked before each piece of the calls made in the block leaves."""
    token = _QUESTION.set(question)
    try:
        yield
    finally:
        _QUESTION.reset(token)


def ask() -> None:
    """Raise NotOurs if the call that is about to leave is not ours to make any more."""
    question = _QUESTION.get()
    if question is not None and not question():
        raise NotOurs
