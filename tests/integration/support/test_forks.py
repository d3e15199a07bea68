"""Proves that a program started as a fork is what a fresh start of it is."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from coverage import Coverage, CoverageData

from tests.support.forks import ROOT, start_program
from tests.support.ports import free_port

PYTHON = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PATH": os.environ["PATH"]}
PIPE = subprocess.PIPE


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["--help"], {}),
        (["settings"], {"IMPORTER_LOG__LEVEL": "DEBUG", "IMPORTER_NO_SUCH": "1"}),
        (["no-such-command"], {}),
        (["dlq", "list"], {}),
        (["publish", "-"], {}),
    ],
)
def test_a_fork_says_what_a_fresh_start_says(
    arguments: list[str], settings: Mapping[str, str], tmp_path: Path
) -> None:
    """The same words on both streams, and the same exit code."""
    nobody = {"IMPORTER_RABBIT__URL": f"amqp://127.0.0.1:{free_port()}/"}
    command = [sys.executable, "-m", "service", *arguments]
    told = []
    for fresh in (True, False):
        with start_program(
            command,
            env={**PYTHON, **nobody, **settings},
            cwd=tmp_path,
            streams=(PIPE, PIPE, PIPE),
            fresh=fresh,
        ) as process:
            assert fresh == (type(process) is subprocess.Popen)
            told.append((*process.communicate(b"no JSON\n", timeout=60), process.returncode))
    assert told[0] == told[1]


def test_a_fork_is_measured_if_coverage_is(tmp_path: Path) -> None:
    """Else the gate would not see what commands run."""
    wanted = Coverage(tmp_path / "data", data_suffix=True, config_file=False, source=["service"])
    settings = {"COVERAGE_PROCESS_CONFIG": wanted.config.serialize()}
    command = [sys.executable, "-m", "service", "no-such-command"]
    none = subprocess.DEVNULL
    with start_program(
        command, env={**PYTHON, **settings}, cwd=tmp_path, streams=(none, none, none)
    ) as process:
        assert 2 == process.wait(60)
    (written,) = tmp_path.glob("data*")
    data = CoverageData(written)
    data.read()
    assert f"{ROOT}/service/commands/cli.py" in data.measured_files()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_fork_has_its_session_and_tells_the_signal_that_ended_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    """So whoever ends a whole group ends only this program."""
    waiting = [sys.executable, "-m", "tests.sandbox", "--port", str(free_port())]
    none = subprocess.DEVNULL
    with start_program(
        waiting, env=PYTHON, cwd=tmp_path, streams=(none, PIPE, none), session=True
    ) as process:
        assert process.stdout is not None
        assert b"listening" in process.stdout.readline()
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        assert process.pid == os.getpgid(process.pid) == os.getsid(process.pid)
        os.killpg(process.pid, number)
        assert (-number if number == signal.SIGKILL else 0) == process.wait(60)


def test_forks_end_with_the_process_that_asked_for_them() -> None:
    """Killing a test process leaves no program behind."""
    asks = (
        "import os, sys, time\n"
        "from tests.support.processes import PortalProcess\n"
        "portal = PortalProcess().start()\n"
        "print(portal.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", asks], env=PYTHON, cwd=ROOT, stdout=PIPE) as us:
        assert us.stdout is not None
        watched = os.pidfd_open(int(us.stdout.readline()))
        us.kill()
        ended, _, _ = select.select([watched], [], [], 60)
        os.close(watched)
    assert ended == [watched]
