"""Clears away what failed tests leave behind, so that no later test is blamed: a pytest plugin.

A test that runs out of time is torn apart at any line, with a coroutine made and not yet awaited,
say. Its traceback keeps that alive; Python complains when the garbage is collected, and the test
that runs just then would fail.
"""

import gc
import sys
from collections.abc import Generator

import pytest


class Leavings:
    """Collects the garbage quietly at the end of each module in which a test failed."""

    def __init__(self) -> None:
        self._failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note that something failed."""
        self._failed = self._failed or report.failed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Clear away once the module's fixtures are gone: until then they keep their errors."""
        done = yield
        if self._failed and (nextitem is None or nextitem.path != item.path):
            self._failed = False
            _clear_away()
        return done


def pytest_configure(config: pytest.Config) -> None:
    """Watch the tests of this process."""
    config.pluginmanager.register(Leavings())


def _clear_away() -> None:
    complains, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        for name in ("last_type", "last_value", "last_traceback"):
            sys.__dict__.pop(name, None)
        gc.collect()
    finally:
        sys.unraisablehook = complains
