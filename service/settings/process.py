"""Declares the settings of the process itself: its end, its ports, its logs and traces."""

from typing import Annotated, Literal

from pydantic import Field

from service.settings.section import Section
from service.settings.shapes import Collector, Host, Seconds, Secret, StatusPage


class Shutdown(Section):
    """The end of the process."""

    deadline_seconds: Seconds = Field(90, description="drain time after SIGTERM")


class Http(Section):
    """The port for probes and metrics."""

    host: Host = Field(
        "0.0.0.0",  # noqa: S104 - a pod's
        description="address to listen on, IPv4 or IPv6; `::` is both",
    )
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        8080, description="port of /metrics, /livez, /readyz; 0 = any free one"
    )


class Log(Section):
    """Logging, to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level")
    format: Literal["json", "console"] = Field("json", description="json or console")


class Tracing(Section):
    """Traces, sent to a collector; needs the extra `tracing`."""

    endpoint: Collector | None = Field(
        None, description="collector (OTLP over HTTP), http://host:4318/v1/traces; unset: off"
    )
    share: Annotated[float, Field(ge=0, le=1)] = Field(
        1,
        description="share of new traces that are kept; for events with a trace, the "
        "producer decides",
    )


class Console(Section):
    """The operators' console; needs the extra `console`."""

    host: Host = Field(
        "127.0.0.1",
        description="address of the console; without a password only loopback is allowed",
    )
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        8081, description="port of the console; 0 = any free one"
    )
    password: Secret | None = Field(None, description="password of the console; unset: none")
    status_url: StatusPage | None = Field(
        None,
        description="/status of the importer, asked at every address of its name; "
        "unset: http://127.0.0.1:<HTTP__PORT>/status",
    )
