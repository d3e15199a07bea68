"""Tracebacks tell where a bug struck, and no value of what it struck."""

import sys

from service.telemetry.tracebacks import without_values

SECRET = "Jane Doe, +44 20 7946 0000"


def caught(*, group: bool = False) -> str:
    """Return the traceback of an error that quotes a field value, with its cause."""
    try:
        try:
            raise KeyError(SECRET)  # noqa: TRY301 - the cause
        except KeyError as error:
            if group:
                raise ExceptionGroup(SECRET, [error, ValueError(SECRET)]) from None
            raise ValueError(SECRET) from error
    except Exception:  # noqa: BLE001 - whatever was raised above
        info = sys.exc_info()
        assert info[0] is not None
        assert info[1] is not None
        return without_values((info[0], info[1], info[2]))
    raise AssertionError


def test_texts_of_exceptions_are_left_out() -> None:
    """They may quote a message; types, files and lines are kept, of causes and groups too."""
    for told in (caught(), caught(group=True)):
        assert SECRET not in told
        assert {"KeyError", "ValueError"} == {
            name for name in ("KeyError", "ValueError") if f"builtins.{name}" in told
        }
        assert "test_tracebacks.py" in told


def test_a_chain_without_end_ends() -> None:
    """An exception may be its own cause."""
    error = ValueError(SECRET)
    error.__context__ = other = KeyError(SECRET)
    other.__context__ = error
    assert SECRET not in without_values((ValueError, error, None))
