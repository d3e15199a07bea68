"""Proves that what is shown is plain where nobody looks, and harmless where somebody does."""

import io
import sys
from pathlib import Path

import pytest

from service.commands import terminal


def test_a_table_without_a_terminal_is_columns_of_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No rules, no colours, nothing cut: a script can read it."""
    rows: list[list[terminal.Cell]] = [["a", 12000], [terminal.Toned("longer", "bad"), 3]]
    terminal.table(["name", "count"], rows)
    assert "name    count\na       12,000\nlonger  3\n" == capsys.readouterr().out


def test_nothing_shown_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters, and those that turn the direction of text, are replaced."""
    terminal.show("a\x1b[2Jb\x07\u202ec")
    assert "a\ufffd[2Jb\ufffd\ufffdc\n" == capsys.readouterr().out


def test_what_a_stream_cannot_encode_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback in an old locale, nor for a lone surrogate."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    terminal.show("\u2713 \ud800")
    assert b"\\u2713 \\ud800\n" == raw.getvalue()


def test_short_work_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A log is not filled by what ends at once."""
    with terminal.progress("reading", 10) as progress:
        progress.advance(10)
    assert "" == capsys.readouterr().err


def test_long_work_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says how far it is."""
    monkeypatch.setattr(terminal, "PLAIN_SECONDS", 0.0)
    with terminal.progress("reading", 2000, unit="letters") as progress:
        progress.advance(1500)
    assert "reading: 1,500 of 2,000 letters\n" == capsys.readouterr().err


def test_only_the_exact_word_confirms(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anything else, and the end of the input, is a no."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("12\n1\n"))
    assert [True, False, False] == [terminal.confirm("Type 12:", "12") for _ in range(3)]
    assert "Type 12: " * 3 == capsys.readouterr().err


class Hasty(io.StringIO):
    """A terminal whose user presses Ctrl-C as soon as something is shown."""

    def flush(self) -> None:
        """Be interrupted at the first time."""
        if self.getvalue().strip() and not self.getvalue().endswith("\n"):
            raise KeyboardInterrupt


def test_an_interruption_while_the_question_is_written_is_a_no(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The caller says what that means; nobody is left without a word."""
    monkeypatch.setattr(sys, "stderr", Hasty())
    assert not terminal.confirm("Type 12:", "12")


def test_output_that_cannot_be_written_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk ends a command with the reason; notes that nobody can read do not."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(
            terminal.Unwritable, match=r"^standard output cannot be written: No sp"
        ):
            terminal.show("a")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        terminal.say("a")


def test_one_thing_is_not_many() -> None:
    """Numbers read as people write them."""
    assert ["0 letters", "1 letter", "2,000 letters"] == [
        terminal.many(count, "letter") for count in (0, 1, 2000)
    ]


def test_every_sign_that_misleads_is_replaced() -> None:
    """In a cell a line's end is one of them."""
    for sign in [*map(chr, range(32)), *"\x7f\x85\x9b\u061c\u200f\u2029\U000e0041"]:
        assert "a\ufffdb" == terminal.clean(f"a{sign}b"), hex(ord(sign))


@pytest.mark.parametrize("word", ["Слово", "שלום", "名前", "e\u0301", "👩\u200d💻", "a b"])
def test_words_of_any_script_stay(word: str) -> None:
    """They are no trick."""
    assert word == terminal.clean(word)


def test_a_name_in_brackets_is_shown_on_a_bar_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no markup, and no traceback."""
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with terminal.progress("orders[/x].jsonl", 2, unit="[events]") as progress:
        progress.advance(1)
    assert "orders[/x].jsonl" in screen.getvalue()
