"""Command line: help, exit codes, and one readable line for what a user can cause."""

import pytest

from service import __version__
from service.commands import cli

pytestmark = pytest.mark.usefixtures("own_logging")
WEBHOOK = "http://127.0.0.1:1/rest/1/very-secret/"


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["settings", "--help"]])
def test_help_is_everywhere(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 and write to standard output."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    written = capsys.readouterr()
    assert (0, "") == (caught.value.code, written.err)
    assert "crm-importer" in written.out


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Print name and version."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert (0, f"crm-importer {__version__}\n") == (caught.value.code, capsys.readouterr().out)


@pytest.mark.parametrize("arguments", [["nonsense"], ["run", "--nonsense"]])
def test_unknown_arguments_exit_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Say so on standard error."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert 2 == caught.value.code
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["run"]])
def test_bad_settings_exit_2_with_a_line_each(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Name every mistake at once, without a traceback and without values."""
    monkeypatch.setenv("IMPORTER_TYPO", "very-secret")
    monkeypatch.setenv("IMPORTER_BATCH__SLOTS", "very-secret")
    assert 2 == cli.main(arguments)
    written = capsys.readouterr()
    lines = written.err.splitlines()
    assert ("", 3) == (written.out, len(lines))
    assert all(line.startswith("error: IMPORTER_") for line in lines)
    assert "very-secret" not in written.err


def test_interrupt_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever presses the keys before the service can drain had nothing done."""

    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    assert 1 == cli.main(["run"])
    assert "error: interrupted\n" == capsys.readouterr().err


HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e\u2028x"


def test_a_bad_setting_never_reaches_the_terminal_raw(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither its value nor its name; one line each."""
    monkeypatch.setenv(f"IMPORTER_X{HOSTILE}\nerror: forged", "1")
    monkeypatch.setenv("IMPORTER_BITRIX__WEBHOOK_URL", WEBHOOK)
    monkeypatch.setenv("IMPORTER_RABBIT__CA_FILE_FILE", f"/{HOSTILE}\nerror: forged")
    assert 2 == cli.main(["run"])
    shown = capsys.readouterr().err
    assert [] == [sign for sign in "\x1b\x07\x9b\u202e\u2028" if sign in shown]
    assert "\nerror: forged" not in shown
