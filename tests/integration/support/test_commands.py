"""Proves that what a command shows at a terminal is read to its end."""

import os
import sys
import time

import pytest

from tests.support.commands import Terminal

LAST_WORDS = "print('asked'); print('x' * 20_000); print('end')"


def test_the_last_words_of_a_command_are_read() -> None:
    """They come in pieces, and may all still be there when the command has ended."""
    with Terminal([sys.executable, "-c", LAST_WORDS], os.environ) as terminal:
        terminal.wait_for("asked")
        time.sleep(0.5)
        assert 0 == terminal.wait()
        assert ["asked", "x" * 20_000, "end"] == terminal.text.split()


def test_what_was_never_shown_fails_when_the_command_has_ended() -> None:
    """With what was shown instead."""
    with (
        Terminal([sys.executable, "-c", "print('other')"], os.environ) as terminal,
        pytest.raises(AssertionError, match=r"(?s)not shown: asked.*other"),
    ):
        terminal.wait_for("asked")
