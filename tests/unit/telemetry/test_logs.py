"""Logs: one JSON line per record, to standard error, without secrets."""

import json
import logging
import time
import warnings
from typing import Any

import pytest

from service.telemetry.logs import configure_logs
from service.telemetry.metrics import Metrics

pytestmark = pytest.mark.usefixtures("own_logging")
LIBRARIES = ("aio_pika", "aiormq", "pamqp", "httpx", "httpcore")


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
    assert "ValueError" in line["exception"]
    assert "ValueError: bug" not in line["exception"], "the text may quote a message"


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


@pytest.mark.parametrize("secret", ["rabbit", "1", '":', "info", "event", "2026", "\\", "{", "e"])
def test_a_short_secret_breaks_no_line(capsys: pytest.CaptureFixture[str], secret: str) -> None:
    """Only values are masked: every line is JSON, and level, logger and time stay."""
    configure_logs(level="INFO", style="json", secrets=[secret])
    logging.getLogger("service.rabbit.consumer").info(
        "consuming", extra={"url": f"amqp://user:{secret}@host", "items": 1, "list": [secret]}
    )
    warned, line = lines(capsys)
    assert ("warning", 1) == (warned["level"], warned["how_many"])
    assert ("info", "service.rabbit.consumer", 1) == (line["level"], line["logger"], line["items"])
    assert ["***"] == line["list"]
    assert f":{secret}@" not in line["url"]
    assert line["time"].startswith("20")


def test_a_secret_is_masked_in_whatever_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """In members of members, in other objects, in JSON that is logged as a text."""
    secret = 'long "secret" пароль'
    configure_logs(level="INFO", style="json", secrets=[secret])
    extra = {
        "inner": {"deep": [{"url": f"x{secret}y"}]},
        "error": ValueError(secret),
        "body": json.dumps({"password": secret}),
        "shown": repr(secret),
    }
    logging.getLogger("service.x").info("x", extra=extra)
    text = capsys.readouterr().err
    assert "пароль" not in text
    assert "secret" not in text
    assert "x***y" == json.loads(text)["inner"]["deep"][0]["url"]


def test_ids_stay_as_they_were_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever searches the log for an id finds it, in any alphabet."""
    for style in ("json", "console"):
        configure_logs(level="INFO", style=style)
        logging.getLogger("service.x").info("x", extra={"event_id": "Заказ-3285 順 😀"})
        assert "Заказ-3285 順 😀" in capsys.readouterr().err


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("sign", ["\x1b[2J", "\x9b31m", *"\x07\u202e\u2028\r\n\ud800\x00\x7f"])
def test_what_a_terminal_obeys_is_never_written_raw(
    capsys: pytest.CaptureFixture[str], style: str, sign: str
) -> None:
    """An id cannot clear a screen, forge a line or hide what follows; JSON keeps its value."""
    configure_logs(level="INFO", style=style)
    logging.getLogger("service.x").warning("said %s", sign, extra={"event_id": f"a{sign}b"})
    text = capsys.readouterr().err
    assert sign not in text.removesuffix("\n")
    assert 1 == text.count("\n")
    if style == "json":
        assert f"a{sign}b" == json.loads(text)["event_id"]


def test_numbers_that_json_does_not_know_break_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    """They become texts."""
    configure_logs(level="INFO", style="json")
    logging.getLogger("service.x").info("x", extra={"a": float("nan"), "b": [float("inf")]})
    (line,) = lines(capsys)
    assert ("nan", ["inf"]) == (line["a"], line["b"])


@pytest.mark.error_logs
def test_the_same_failure_is_told_ten_times_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another code is another failure; the next minute tells how many were left out."""
    clock = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    configure_logs(level="INFO", style="json")
    log = logging.getLogger("service.x")
    for number in range(6000):
        log.warning("event failed", extra={"code": "100", "event_id": f"e{number}"})
    log.warning("event failed", extra={"code": "200", "event_id": "other"})
    for _ in range(50):
        log.info("no failure")
    told = lines(capsys)
    assert 10 == sum(line.get("code") == "100" for line in told)
    assert 1 == sum(line.get("code") == "200" for line in told)
    assert 50 == sum(line["event"] == "no failure" for line in told)
    clock += 60.0
    log.warning("event failed", extra={"code": "100", "event_id": "later"})
    (line,) = lines(capsys)
    assert 5990 == line["left_out_before"]
