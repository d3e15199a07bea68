"""Configures the logs: to standard error, without secrets."""

import json
import logging
import sys
from collections.abc import Iterable

import structlog

from service.telemetry.metrics import Metrics


class _Counting(logging.Filter):
    """Counts log lines by level."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self._lines = metrics.log_lines

    def filter(self, record: logging.LogRecord) -> bool:
        self._lines.labels(record.levelname.lower()).inc()
        return True


class _Masking(logging.Formatter):
    """Masks the secrets in whatever another formatter has written: the last line of defence."""

    def __init__(self, inner: logging.Formatter, secrets: Iterable[str]) -> None:
        super().__init__()
        self._inner = inner
        plain = {text for text in secrets if text}
        escaped = {json.dumps(text)[1:-1] for text in plain}
        self._secrets = sorted(plain | escaped, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        text = self._inner.format(record)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def configure_logs(
    *, level: str, style: str, secrets: Iterable[str] = (), metrics: Metrics | None = None
) -> None:
    """Write this service's logs to standard error, as JSON lines or for people.

    Libraries that would log bodies, addresses or headers are kept at WARNING at any level.
    """
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    before: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    after: list[structlog.types.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta
    ]
    if style == "json":
        after.append(structlog.processors.format_exc_info)
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[*after, renderer], foreign_pre_chain=before
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masking(formatter, secrets))
    if metrics is not None:
        handler.addFilter(_Counting(metrics))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("service").setLevel(level)
    for library in ("aio_pika", "aiormq", "pamqp", "httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)
