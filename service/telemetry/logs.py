"""Configures the logs: to standard error, without secrets, readable as they were written."""

import io
import json
import logging
import sys
import time
from collections.abc import Iterable
from typing import Any

import structlog

from service.domain.collapsing import Collapse
from service.telemetry.masking import SHORT, Masking, escaped, visible
from service.telemetry.metrics import Metrics
from service.telemetry.tracebacks import without_values

ALIKE = ("code", "kind", "reason", "host", "connection", "queue", "work")
"""Failures that agree in these members count as the same failure."""

log = logging.getLogger(__name__)


class _Counting(logging.Filter):
    """Counts log lines by level."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self._lines = metrics.log_lines

    def filter(self, record: logging.LogRecord) -> bool:
        self._lines.labels(record.levelname.lower()).inc()
        return True


class _Collapsing(logging.Filter):
    """Leaves out equal failures after ten a minute; the next one tells how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self._collapse = Collapse()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        alike = (str(record.__dict__.get(name)) for name in ALIKE)
        kind = (record.name, str(record.msg), *alike)
        told, left_out = self._collapse.admits(kind, time.monotonic())
        if left_out:
            record.__dict__["left_out_before"] = left_out
        return told


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Writes records; knows what it masks, so that more can be learnt."""

    masking: Masking


def masked(text: str) -> str:
    """Return another's words with our secrets masked; a short one may be in them by chance."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, _Formatter):
            return handler.formatter.masking.sure(text)
    return text


def mask(secret: str) -> None:
    """Mask a secret that was learnt at run time, in every log configured here."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, _Formatter):
            handler.formatter.masking.learn(secret)


def configure_logs(
    *, level: str, style: str, secrets: Iterable[str] = (), metrics: Metrics | None = None
) -> None:
    """Write this service's logs to standard error, as JSON lines or for people.

    Libraries that would log bodies, addresses or headers are kept at WARNING at any level.
    """
    masking = Masking(secrets)
    handler = logging.StreamHandler(_standard_error())
    handler.setFormatter(_formatter(style, masking))
    handler.addFilter(_Collapsing())
    if metrics is not None:
        handler.addFilter(_Counting(metrics))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("service").setLevel(level)
    for library in ("aio_pika", "aiormq", "pamqp", "httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)
    if masking.short:
        log.warning(
            "a password or secret is short: it can be guessed, and equal words in the log are "
            "hidden too",
            extra={"shorter_than": SHORT, "how_many": masking.short},
        )


def _formatter(style: str, masking: Masking) -> _Formatter:
    before: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    after: list[structlog.types.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.ExceptionRenderer(without_values),
        masking.record,
    ]
    if style == "json":
        after.append(_as_json)
    else:
        colours = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        after += [_for_terminals, colours]
    formatter = _Formatter(processors=after, foreign_pre_chain=before)
    formatter.masking = masking
    return formatter


def _standard_error() -> Any:  # noqa: ANN401 - whatever stands there
    """Return standard error, made to write UTF-8 whatever the locale: ids stay as sent."""
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
    return sys.stderr


def _as_json(_: object, __: str, event: Any) -> str:  # noqa: ANN401 - structlog's
    """Write a record as one line of JSON: letters of any alphabet as they are."""
    return escaped(json.dumps(event, ensure_ascii=False, default=str))


def _for_terminals(_: object, __: str, event: Any) -> Any:  # noqa: ANN401 - structlog's
    """Show what a terminal would obey; only a traceback keeps its lines."""
    return {
        key: visible(value, keep="\n\t" if key == "exception" else "")
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }
