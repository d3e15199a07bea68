"""Configures the logs: to standard error, without secrets."""

import json
import logging
import sys
from collections import deque
from collections.abc import Iterable

import structlog

from service.telemetry.metrics import Metrics

LEARNT = 32
"""So many secrets learnt at run time are masked: the last pairs of tokens."""


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
        self._given = tuple(secrets)
        self._learnt: deque[str] = deque(maxlen=LEARNT)
        self._secrets = self._longest_first()

    def learn(self, secret: str) -> None:
        """Mask one more text; the oldest learnt is forgotten, for tokens end."""
        if secret not in self._learnt:
            self._learnt.append(secret)
            self._secrets = self._longest_first()

    def format(self, record: logging.LogRecord) -> str:
        text = self._inner.format(record)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _longest_first(self) -> list[str]:
        plain = {text for text in (*self._given, *self._learnt) if text}
        escaped = {json.dumps(text)[1:-1] for text in plain}
        return sorted(plain | escaped, key=len, reverse=True)


def mask(secret: str) -> None:
    """Mask a secret that was learnt at run time, in every log configured here."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, _Masking):
            handler.formatter.learn(secret)


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
