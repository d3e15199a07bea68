"""Lends every test a broker, a clean environment, and a watch over the service's error log."""

import logging
import os
import signal
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.node import RabbitNode, open_broker
from tests.tools.leavings import Leavings

TESTS = Path(__file__).parent
SUITES = ("unit", "integration", "e2e", "chaos", "deploy", "benchmarks")
STACK = ("deploy/image", "deploy/stack")
"""Folders whose tests need containers; only `make deploy-test` runs them."""
LONGEST = (
    "deploy/live/test_live.py",
    "deploy/live/test_alerts.py",
    "unit/test_simulation.py",
    "e2e/test_proof.py",
    "integration/tools/test_setup.py",
    "e2e/test_upgrade.py",
    "unit/test_simulation_finds.py",
    "e2e/test_settling.py",
    "deploy/rules/test_rules.py",
    "e2e/test_lanes.py",
    "deploy/kubelet/test_kubelet.py",
    "integration/rabbit/test_memory.py",
)
"""Modules that take minutes: begun first, so that no worker has one of them left at the end."""
WATCHED = ("unit", "integration")
MEASURED = ("unit", "integration", "e2e")
"""What counts for coverage. The others play the same parts for longer, and under load."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets what it starts in the background ignore Ctrl-C, and so would all that we start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Clear away what failed tests leave behind."""
    config.pluginmanager.register(Leavings())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder; run the longest modules first, then the quick suites."""
    for item in items:
        if (suite := _suite(item)) in SUITES and item.get_closest_marker("simulation") is None:
            item.add_marker("stack" if _folder(item.path) in STACK else suite)
        if suite not in MEASURED or item.get_closest_marker("simulation") is not None:
            item.add_marker("no_cover")
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[int, int]:
    path = item.path.relative_to(TESTS).as_posix() if item.path.is_relative_to(TESTS) else ""
    long = LONGEST.index(path) if path in LONGEST else len(LONGEST)
    return long, SUITES.index(_suite(item)) if _suite(item) in SUITES else 0


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their length: gzip writes the time into them, and each worker has its own."""
    return f"{argname}-{len(val)}" if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def own_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of whoever runs the tests, and from some that coverage is measured."""
    measured = request.node.get_closest_marker("no_cover") is None
    for name in os.environ:
        if name.startswith("IMPORTER_" if measured else ("IMPORTER_", "COVERAGE_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_error_logs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which the service logged an error that nobody expected."""
    log = logging.getLogger("service")
    watch = _Watch()
    log.addHandler(watch)
    yield
    log.removeHandler(watch)
    allowed = request.node.get_closest_marker("error_logs")
    if _suite(request.node) in WATCHED and allowed is None:
        assert [] == watch.errors


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Put the logging of the tests back after one in which the program sets up its own."""
    root = logging.getLogger()
    levels = {log: log.level for log in (root, *map(logging.getLogger, root.manager.loggerDict))}
    handlers = root.handlers[:]
    yield
    root.handlers[:] = handlers
    for log, level in levels.items():
        log.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture(scope="session")
def session_broker() -> Iterator[Broker]:
    """Start the broker that all tests share; each works in a virtual host of its own."""
    with open_broker() as broker:
        yield broker


@pytest.fixture
def broker(session_broker: Broker) -> Iterator[Broker]:
    """Lend the broker; it is healed afterwards."""
    yield session_broker
    session_broker.heal()


@pytest.fixture
def node(broker: Broker) -> RabbitNode:
    """Lend the broker to a test that kills, freezes or starves it."""
    if not isinstance(broker, RabbitNode):
        pytest.skip("needs a broker that may be killed, and TEST_RABBIT_URL names a foreign one")
    return broker


@pytest.fixture
def vhost(broker: Broker) -> Iterator[str]:
    """Lend an empty virtual host; it is deleted afterwards."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    broker.create_vhost(name)
    yield name
    broker.heal()
    broker.delete_vhost(name)


@pytest.fixture
def amqp_url(broker: Broker, vhost: str) -> str:
    """Return the AMQP address of the test's own virtual host."""
    return broker.url(vhost)


class _Watch(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # An error that tells a person what to do is no bug.
        if not record.__dict__.keys() & {"remedy", "who_acts"}:
            self.errors.append(f"{record.name}: {record.getMessage()}")


def _suite(item: pytest.Item) -> str:
    """Return the first folder below tests/ that holds a test."""
    return _folder(item.path).partition("/")[0]


@cache
def _folder(path: Path) -> str:
    """Return the folder below tests/ that holds a file, two levels deep."""
    return "/".join(path.relative_to(TESTS).parts[:2]) if path.is_relative_to(TESTS) else ""
