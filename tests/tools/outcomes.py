"""Writes down how each test ended: a plugin of pytest, for `run_tests.py`."""

import json
import os
from pathlib import Path

import pytest

FILE = "TEST_OUTCOMES"


class Outcomes:
    """What became of each test; a failure in its set-up or tear-down is its failure."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the word on one part of a test; workers send theirs here."""
        if report.failed or self._found.get(report.nodeid) == "failed":
            self._found[report.nodeid] = "failed"
        elif report.skipped or report.when == "call":
            self._found[report.nodeid] = report.outcome

    def pytest_sessionfinish(self) -> None:
        """Write all of it."""
        self._path.write_text(json.dumps(self._found))


def pytest_configure(config: pytest.Config) -> None:
    """Watch the run as a whole; a worker has nothing to write."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(Path(os.environ[FILE])))
