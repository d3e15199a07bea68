"""Command line: a port that is taken, a broker that is not there, Ctrl-C before the start."""

import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from service.commands import cli
from tests.support.ports import free_port
from tests.unit.commands.test_cli import HOSTILE, WEBHOOK

pytestmark = pytest.mark.usefixtures("own_logging")


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


def test_ctrl_c_before_the_program_is_read_ends_it_without_a_trace() -> None:
    """The system ends it, as any program that has not begun yet."""
    early = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "service.commands":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from service.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", early], capture_output=True, check=False)
    assert (-signal.SIGINT, b"", b"") == (done.returncode, done.stdout, done.stderr)
