"""Writes tracebacks that show no value: where it happened, and the type of the exception."""

import traceback
from types import TracebackType

MOST = 10
"""Exceptions of a chain, or of a group, that are logged."""
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def without_values(exc_info: ExcInfo) -> str:
    """Return the traceback of an exception and of those behind it, without their texts.

    The text of an exception may quote a message, an address or a field value.
    """
    return "".join(_told(exc_info[1])).rstrip()


def _told(error: BaseException) -> list[str]:
    chain: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and len(chain) < MOST:
        chain.append(each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    lines: list[str] = []
    for one in reversed(chain):
        lines.append("Traceback (most recent call last):\n")
        lines += traceback.format_tb(one.__traceback__)
        lines.append(f"{type(one).__module__}.{type(one).__qualname__}\n")
        if isinstance(one, BaseExceptionGroup):
            for inner in one.exceptions[:MOST]:
                lines += _told(inner)
    return lines
