"""Runs tests, several at a time; then those that failed once more, alone.

On a busy machine a test may fail because it ran beside others. That is a bug, of the test or of
the product, and it is told loudly; but it is no reason to refuse a change that has nothing to do
with it. What fails alone too fails the run.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from tests.tools.outcomes import FILE

AT_MOST, TOGETHER = 12, 60
"""Failures in more modules, or of more tests, are no chance: they are not tried again. Tests of
one module may share what it sets up, and fail together."""
FAILED = 1
WIDTH = 80

Outcomes = Mapping[str, str]


class Ended(BaseException):
    """Somebody asked this process to end."""


def main(arguments: Sequence[str]) -> int:
    """Run the tests that pytest's arguments name; return what pytest would.

    130 after Ctrl-C and 143 after SIGTERM: then nothing is run again.
    """
    signal.signal(signal.SIGTERM, _end)
    try:
        with TemporaryDirectory(prefix="crm-importer-tests-") as folder:
            return _run(arguments, Path(folder))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Ended:
        return 128 + signal.SIGTERM


def _run(arguments: Sequence[str], folder: Path) -> int:
    code, first = _pytest(arguments, folder / "first")
    failed = [test for test, outcome in first.items() if outcome == "failed"]
    if code != FAILED or not failed:
        return code
    modules = {test.partition("::")[0] for test in failed}
    if len(modules) > AT_MOST or len(failed) > TOGETHER:
        print(f"{len(failed)} tests failed: too many to be chance; none is run again")
        return code
    _headline(f"{_tests(failed)} failed: once more, alone")
    # One a line: names may be long, and hold any sign.
    (folder / "failed").write_text("".join(f"{test}\n" for test in failed))
    code, second = _pytest(["--numprocesses=0", f"@{folder / 'failed'}"], folder / "second")
    passed = [test for test in failed if second.get(test) == "passed"]
    if passed:
        _headline(f"{_tests(passed)} PASSED ONLY ALONE")
        for test in passed:
            print(f"PASSED ONLY ALONE {test}")
        print(
            "Each is a bug to fix, in the test or in the product: "
            "tests/README.md, `Unstable tests`."
        )
    again = len(failed) - len(passed)
    print(f"in the end: {again} failed twice, {len(passed)} passed only alone")
    return FAILED if again else code


def _pytest(arguments: Sequence[str], outcomes: Path) -> tuple[int, Outcomes]:
    """Run pytest to its end; return its exit code, and how each test ended."""
    sys.stdout.flush()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "tests.tools.outcomes", *arguments],
        env={**os.environ, FILE: str(outcomes)},
    )
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()  # the keys reached it as well, and it ends what it has started
        raise
    except Ended:
        process.terminate()
        process.wait()
        raise
    return code, json.loads(outcomes.read_text()) if outcomes.exists() else {}


def _headline(text: str) -> None:
    print(f"\n{f' {text} ':=^{WIDTH}}", flush=True)


def _tests(names: Sequence[str]) -> str:
    return f"{len(names)} test{'' if len(names) == 1 else 's'}"


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
