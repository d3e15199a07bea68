"""Proves what `make test` makes of failures: alone once more, told loudly, never hidden."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import LONGEST, TESTS
from tests.support.patience import patient
from tests.tools import run_tests
from tests.tools.locks import ROOT

COMMAND = [sys.executable, "-m", "tests.tools.run_tests"]
ENV = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "xdist.plugin",
}
PASSES = "def test_passes() -> None: pass\n"
BY_CHANCE = """
import pathlib, pytest
def test_by_chance() -> None:
    been = pathlib.Path(__file__).with_suffix(".been")
    been.write_text(been.read_text() + "x" if been.exists() else "x")
    {0}
"""
FIRST_TIME_FAILS = BY_CHANCE.format("assert been.read_text() != 'x'")
ALWAYS_FAILS = BY_CHANCE.format("assert not been.read_text()")
THEN_SKIPS = BY_CHANCE.format("assert been.read_text() != 'x'; pytest.skip('not now')")
DIES = BY_CHANCE.format("import os; been.read_text() != 'x' or os._exit(3)")
TEAR_DOWN = """
import pathlib, pytest
@pytest.fixture
def lent():
    yield 1
    been = pathlib.Path(__file__).with_suffix(".been")
    first = not been.exists()
    been.write_text("x")
    assert not first
@pytest.mark.parametrize("value", ["a b::[c]", "ж"])
def test_by_chance(lent, value) -> None: pass
"""

SETUP_FAILS_ONCE = """
import pathlib, pytest
@pytest.fixture(scope="module")
def lent():
    been = pathlib.Path(__file__).with_suffix(".been")
    first = not been.exists()
    been.write_text("x")
    assert not first
@pytest.mark.parametrize("value", range({many}))
def test_by_chance(lent, value) -> None: pass
"""


def run(folder: Path, *arguments: str, **modules: str) -> "subprocess.CompletedProcess[str]":
    """Run modules of tests in a folder."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=written(folder, modules),
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(120),
    )


def written(folder: Path, modules: dict[str, str]) -> Path:
    """Write modules of tests."""
    for name, text in modules.items():
        (folder / f"test_{name}.py").write_text(text)
    return folder


def times(folder: Path, name: str) -> int:
    """Tell how often a test was run."""
    return len((folder / f"test_{name}.been").read_text())


def test_what_passes_is_run_once(tmp_path: Path) -> None:
    """Exit 0, without a word of ours."""
    done = run(tmp_path, a=PASSES)
    assert (0, False) == (done.returncode, "ALONE" in done.stdout), done.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_passes_only_alone_is_named_and_passes(tmp_path: Path, workers: str) -> None:
    """At the end, where people look; one that passed at once is not run again."""
    done = run(tmp_path, "-n", workers, a=PASSES, b=FIRST_TIME_FAILS, c=TEAR_DOWN)
    assert 0 == done.returncode, done.stdout
    named = sorted(line for line in done.stdout.splitlines() if line.startswith("PASSED ONLY"))
    assert "PASSED ONLY ALONE test_b.py::test_by_chance" == named[0]
    assert named[1].startswith("PASSED ONLY ALONE test_c.py::test_by_chance[")
    assert 2 == len(named)
    assert "in the end: 0 failed twice, 2 passed only alone" == done.stdout.splitlines()[-1]
    assert "2 passed" in done.stdout.partition("once more, alone")[2]


def test_tests_that_share_what_failed_count_as_one(tmp_path: Path) -> None:
    """One setup that fails by chance takes all tests of its module along."""
    done = run(tmp_path, a=SETUP_FAILS_ONCE.format(many=run_tests.AT_MOST + 1))
    assert 0 == done.returncode, done.stdout
    last = done.stdout.splitlines()[-1]
    assert f"in the end: 0 failed twice, {run_tests.AT_MOST + 1} passed only alone" == last


def test_a_worker_that_died_is_a_failure_to_try_again(tmp_path: Path) -> None:
    """Its test is run alone."""
    done = run(tmp_path, "-n", "2", a=PASSES, b=DIES)
    assert 0 == done.returncode, done.stdout
    assert "PASSED ONLY ALONE test_b.py::test_by_chance" in done.stdout


@pytest.mark.parametrize("module", [ALWAYS_FAILS, THEN_SKIPS], ids=["fails", "skips"])
def test_what_does_not_pass_alone_fails_the_run(tmp_path: Path, module: str) -> None:
    """A skip is no pass; what passed only alone is named all the same."""
    done = run(tmp_path, a=module, b=FIRST_TIME_FAILS)
    assert 1 == done.returncode, done.stdout
    assert (2, 2) == (times(tmp_path, "a"), times(tmp_path, "b"))
    assert "PASSED ONLY ALONE test_b.py::test_by_chance" in done.stdout
    assert "PASSED ONLY ALONE test_a.py" not in done.stdout
    assert "in the end: 1 failed twice, 1 passed only alone" == done.stdout.splitlines()[-1]


def test_many_failures_are_not_run_again(tmp_path: Path) -> None:
    """They are no chance, and take time."""
    many = {f"t{number}": FIRST_TIME_FAILS for number in range(run_tests.AT_MOST + 1)}
    done = run(tmp_path, **many)
    assert (1, 1) == (done.returncode, times(tmp_path, "t0")), done.stdout


@pytest.mark.parametrize(
    ("arguments", "module", "code"),
    [(["--no-such"], PASSES, 4), ([], "", 5), ([], "import nothing_of_that_name", 2)],
    ids=["option", "no tests", "not readable"],
)
def test_other_ends_are_passed_on(
    tmp_path: Path, arguments: list[str], module: str, code: int
) -> None:
    """What pytest says of options, of nothing to run, and of modules that cannot be read."""
    done = run(tmp_path, *arguments, a=module)
    assert code == done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_runs_nothing_again(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Also when a test has failed before; nothing of it is left running."""
    slow = "import pathlib, time\ndef test() -> None:\n    "
    slow += "pathlib.Path('begun').touch(); time.sleep(60)\n"
    process = subprocess.Popen(
        [*COMMAND, "test_a.py", "test_b.py"],
        cwd=written(tmp_path, {"a": ALWAYS_FAILS, "b": slow}),
        env=ENV,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as the keys of a terminal do
        else:
            process.send_signal(number)
        out, _ = process.communicate(timeout=patient(60))
    assert (code, 1) == (process.returncode, times(tmp_path, "a"))
    assert "once more" not in out
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


LEAVES = """
import pytest
async def torn() -> None: pass
@pytest.fixture(scope="module")
def lent():
    ring = [torn()]
    ring.append(ring)
    raise TimeoutError
def test_runs_out_of_time(lent) -> None: pass
"""
COLLECTS = "import gc\ndef test_collects() -> None: gc.collect()\n"


def test_what_a_failed_test_leaves_behind_fails_no_other_one(tmp_path: Path) -> None:
    """A coroutine that was never awaited: Python complains whenever the garbage is collected."""
    written(tmp_path, {"a": LEAVES, "b": COLLECTS})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.tools.leavings", "-W", "error"],
        cwd=tmp_path,
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(120),
    )
    assert "1 passed, 1 error" in done.stdout, done.stdout


def test_the_modules_that_are_begun_first_are_there() -> None:
    """One that was renamed would be begun last, and keep everybody waiting at the end."""
    assert [] == [name for name in LONGEST if not (TESTS / name).is_file()]
