"""Command line: help, exit codes, and one readable line for what a user can cause."""

import json
import logging
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from service import __version__
from service.commands import cli
from tests.support.ports import free_port
from tests.support.processes import ROOT

WEBHOOK = "http://127.0.0.1:1/rest/1/very-secret/"


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Put the logging of the tests back."""
    root, service = logging.getLogger(), logging.getLogger("service")
    handlers, level, own = root.handlers[:], root.level, service.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    service.setLevel(own)
    logging.captureWarnings(capture=False)


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


def test_taken_port_exits_1_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Say what to do; show no traceback and no secret."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("IMPORTER_BITRIX__WEBHOOK_URL", WEBHOOK)
        monkeypatch.setenv("IMPORTER_HTTP__HOST", "127.0.0.1")
        monkeypatch.setenv("IMPORTER_HTTP__PORT", str(port))
        assert 1 == cli.main(["run"])
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error:")]
    assert "IMPORTER_HTTP__PORT" in line
    assert "very-secret" not in line


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("dlq purge --yes <&-", 1, "error: the broker"),
        ("dlq purge <&-", 1, "error: nobody can be asked here"),
        ("publish - <&-", 1, "nobody listens there"),
        ("publish /dev/null >&-", 1, "nobody listens there"),
        ("publish /dev/null 2>&-", 1, ""),
        ("settings >&-", 0, ""),
        ("settings >/dev/full", 1, "error: standard output cannot be written: No space"),
        ("asyncapi >/dev/full", 1, "error: standard output cannot be written: No space"),
        ("asyncapi >&-", 0, ""),
        ("nonsense 2>&-", 2, ""),
    ],
)
def test_streams_that_are_closed_or_full_are_no_traceback(
    command: str, code: int, says: str
) -> None:
    """Exit code and one line, whatever the shell was told."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMPORTER_")}
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -m service {command}"],
        cwd=ROOT,
        env={**kept, "IMPORTER_RABBIT__URL": url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (code, bool(says)) == (done.returncode, bool(done.stderr)), done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == bool(says)


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


@pytest.mark.parametrize(
    "arguments",
    [
        [HOSTILE],
        ["run", HOSTILE],
        ["publish", HOSTILE],
        ["publish", f"/{HOSTILE}"],
        ["dlq", HOSTILE],
        ["dlq", "show", HOSTILE],
        ["dlq", "redrive", "--since", HOSTILE],
        ["dlq", "redrive", "--set", HOSTILE],
        ["settings", "--format", HOSTILE],
    ],
)
def test_what_was_typed_never_reaches_the_terminal_raw(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id or a file name is often pasted from elsewhere; errors repeat it."""
    monkeypatch.setenv("IMPORTER_RABBIT__URL", f"amqp://127.0.0.1:{free_port()}/")
    with suppress(SystemExit):
        assert 0 != cli.main(arguments)
    written = capsys.readouterr()
    shown = written.out + written.err
    assert "" != shown
    assert [] == [sign for sign in "\x1b\x07\x9b\u202e\u2028" if sign in shown]


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


HELP = [
    ["--help"],
    ["publish", "--help"],
    ["asyncapi", "--help"],
    ["--version"],
    ["settings"],
    ["settings", "--format", "json"],
    ["asyncapi"],
    ["nonsense-\u0417\u0430\u043a\u0430\u0437"],
]


@pytest.mark.parametrize("encoding", ["ascii", "cp1251"])
def test_no_output_stumbles_over_the_encoding(encoding: str) -> None:
    """Whatever the terminal can show: no traceback, and JSON stays JSON."""
    for arguments in HELP:
        done = _shell(shlex.join(arguments), PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        assert b"Traceback" not in done.stderr, arguments
        assert (2 if "nonsense" in arguments[0] else 0) == done.returncode, arguments
        if arguments[-1] in {"json", "asyncapi"}:
            json.loads(done.stdout.decode(encoding))


@pytest.mark.parametrize("arguments", HELP[:-1])
def test_whoever_reads_no_further_sees_nothing_more_of_us(arguments: list[str]) -> None:
    """`| true`: no traceback, whichever command, help too."""
    program = f"exec {sys.executable} -m service {shlex.join(arguments)}"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        ["/bin/sh", "-c", program],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (1, b"") == (done.returncode, done.stderr)


def test_notes_that_nobody_reads_are_no_failure() -> None:
    """Standard error may be a closed pipe, too."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "service", "nonsense"],
        cwd=ROOT,
        stderr=writer,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert 2 == done.returncode


def test_settings_tell_what_is_given_here_and_from_where(tmp_path: Path) -> None:
    """A value, or that it is a secret; the environment, or a file; and every mistake."""
    (tmp_path / "slots").write_text("3\n")
    done = _shell(
        "settings",
        IMPORTER_BATCH__SLOTS_FILE=str(tmp_path / "slots"),
        IMPORTER_LOG__LEVEL="debug",
        IMPORTER_BITRIX__WEBHOOK_URL=WEBHOOK,
        IMPORTER_RABBIT_URL="amqp://u:very-secret@b/",
        IMPORTER_BATCH__WINDOW_SECONDS="soon",
    )
    assert (0, b"") == (done.returncode, done.stderr)
    end = done.stdout.decode().partition("given here")[2]
    for told in (
        f"IMPORTER_BATCH__SLOTS=3  (file {tmp_path / 'slots'})",
        "IMPORTER_LOG__LEVEL=debug  (environment)",
        "IMPORTER_BITRIX__WEBHOOK_URL=(secret, not shown)  (environment)",
        "2 mistakes; the importer would not start:",
        "IMPORTER_RABBIT_URL is not a setting: did you mean IMPORTER_RABBIT__URL?",
        "IMPORTER_BATCH__WINDOW_SECONDS is wrong: must be a number, such as 2 or 0.5",
    ):
        assert told in end
    assert b"very-secret" not in done.stdout


def _shell(arguments: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMPORTER_")}
    return subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -m service {arguments}"],
        cwd=ROOT,
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
