"""Logs: one JSON line per record, to standard error, without secrets."""

import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from service.telemetry.logs import configure_logs
from service.telemetry.metrics import Metrics

LIBRARIES = ("aio_pika", "aiormq", "pamqp", "httpx", "httpcore")


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Put the logging of the tests back."""
    root, names = logging.getLogger(), ("service", *LIBRARIES)
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(capture=False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the JSON lines written to standard error; nothing goes elsewhere."""
    written = capsys.readouterr()
    assert "" == written.out
    return [json.loads(line) for line in written.err.splitlines()]


def fail(text: str) -> None:
    """Raise what nobody expected."""
    raise ValueError(text)


def test_record_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Write time, level, logger, event and what was added; newlines stay inside."""
    configure_logs(level="INFO", style="json")
    logging.getLogger("service.x").info("two\nlines", extra={"items": 3})
    (line,) = lines(capsys)
    assert ("two\nlines", "info", "service.x", 3) == (
        line["event"],
        line["level"],
        line["logger"],
        line["items"],
    )
    assert line["time"].endswith("Z")


@pytest.mark.error_logs
def test_exception_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Keep the traceback inside its record."""
    configure_logs(level="INFO", style="json")
    try:
        fail("bug")
    except ValueError:
        logging.getLogger("service.x").exception("unexpected")
    (line,) = lines(capsys)
    assert "ValueError: bug" in line["exception"]


@pytest.mark.error_logs
@pytest.mark.parametrize("style", ["json", "console"])
def test_secrets_are_masked_wherever_they_stand(
    capsys: pytest.CaptureFixture[str], style: str
) -> None:
    """Mask them in messages, arguments, extras and tracebacks; the longer one first."""
    configure_logs(level="DEBUG", style=style, secrets=["s3cret", "s3cret-and-more", ""])
    log = logging.getLogger("service.x")
    log.info("url with s3cret and %s", "s3cret-and-more", extra={"url": "https://s3cret/"})
    try:
        fail("s3cret")
    except ValueError:
        log.exception("failed")
    text = capsys.readouterr().err
    assert "***" in text
    assert "s3cret" not in text
    assert "-and-more" not in text


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_stay_silent_at_debug(capsys: pytest.CaptureFixture[str], library: str) -> None:
    """Let nobody else log bodies, addresses and headers."""
    configure_logs(level="DEBUG", style="json")
    for name in (library, f"{library}.inner"):
        logging.getLogger(name).debug("body")
        logging.getLogger(name).error("amqp://user:password@broker")
    assert "" == capsys.readouterr().err


def test_level_is_the_services_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Write ours from the level on, others from WARNING on."""
    configure_logs(level="DEBUG", style="json")
    logging.getLogger("service.x").debug("ours")
    logging.getLogger("asyncio").info("theirs")
    logging.getLogger("asyncio").warning("theirs")
    assert [("ours", "debug"), ("theirs", "warning")] == [
        (line["event"], line["level"]) for line in lines(capsys)
    ]


def test_console_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Write no JSON and, without a terminal, no colours."""
    configure_logs(level="INFO", style="console")
    logging.getLogger("service.x").info("started", extra={"port": 8080})
    text = capsys.readouterr().err
    assert "started" in text
    assert "\x1b" not in text
    assert not text.startswith("{")


def test_lines_are_counted_by_level(capsys: pytest.CaptureFixture[str]) -> None:
    """Count what is written, not what is below the level."""
    metrics = Metrics()
    configure_logs(level="INFO", style="json", metrics=metrics)
    log = logging.getLogger("service.x")
    log.debug("no")
    log.info("yes")
    log.warning("yes")
    counted = [
        metrics.registry.get_sample_value("importer_log_lines_total", {"level": level})
        for level in ("debug", "info", "warning")
    ]
    assert [0.0, 1.0, 1.0] == counted


def test_warnings_become_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Write what Python warns of in the same form."""
    configure_logs(level="INFO", style="json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    (line,) = lines(capsys)
    assert ("warning", "py.warnings") == (line["level"], line["logger"])


def test_configuring_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Replace what was there."""
    configure_logs(level="INFO", style="json")
    configure_logs(level="INFO", style="json")
    logging.getLogger("service.x").info("once")
    assert 1 == len(lines(capsys))
