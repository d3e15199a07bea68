"""Command line as a program: closed and full streams, odd encodings, settings from outside."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import patient
from tests.support.ports import free_port
from tests.support.processes import ROOT

WEBHOOK = "http://127.0.0.1:1/rest/1/very-secret/"
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


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("dlq purge --yes <&-", 1, "error: the broker"),
        ("dlq purge <&-", 1, "error: there is no terminal to ask at"),
        ("publish - <&-", 1, "nothing listens there"),
        ("publish /dev/null >&-", 1, "nothing listens there"),
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
        timeout=patient(60),
        check=False,
    )
    assert (code, bool(says)) == (done.returncode, bool(done.stderr)), done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == bool(says)


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
        timeout=patient(60),
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
        timeout=patient(60),
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
        timeout=patient(60),
        check=False,
    )
