"""Declares every setting: its name, type, default and meaning."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, Json, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.settings.process import Console, Http, Log, Shutdown, Tracing
from service.settings.section import Section
from service.settings.shapes import (
    Authority,
    AuthServer,
    Brokers,
    Endpoint,
    FieldName,
    File,
    LongWait,
    Management,
    Name,
    Originator,
    Proxy,
    Seconds,
    Secret,
    TypeId,
    Wait,
    Webhook,
    in_its_case,
)

PREFIX = "IMPORTER_"


class Rabbit(Section):
    """The broker, and the names of what we use there."""

    url: Brokers = Field(
        SecretStr("amqp://guest:guest@127.0.0.1:5672/"),
        description="broker address, amqp or amqps; several, comma-separated, for a cluster",
    )
    ca_file: Authority | None = Field(
        None, description="certificate authority of the broker (path), read again at each dial"
    )
    cert_file: File | None = Field(None, description="client certificate (path)")
    key_file: File | None = Field(None, description="key of the client certificate (path)")
    heartbeat_seconds: Annotated[float, Field(ge=1, le=600)] = Field(
        15, description="while the broker has been silent for longer, no portal call starts"
    )
    management_url: Management | None = Field(
        None, description="management API of the broker, http://user:password@host:15672/"
    )
    intake_exchange: Name = Field("crm.items", description="topic exchange for item events")
    intake_queue: Name = Field("crm.items.import", description="queue of item events")
    delivery_limit: Annotated[int, Field(ge=100, le=2_000_000_000)] = Field(
        1000, description="after this many deliveries of one message the broker dead-letters it"
    )
    results_exchange: Name = Field("crm.items.results", description="topic exchange for results")
    succeeded_queue: Name = Field("crm.items.succeeded", description="queue of succeeded events")
    failed_queue: Name = Field("crm.items.failed", description="queue of failed events")
    dead_letter_exchange: Name = Field("crm.items.dlx", description="fanout for dead letters")
    dead_letter_queue: Name = Field("crm.items.dlq", description="queue of dead letters")
    memory_queue: Annotated[str, Field(max_length=255)] | None = Field(
        None,
        description="stream where every process notes what it sends, so that repeats are "
        "recognised after a restart; unset: the intake queue's name with `memory` as its last "
        "part; empty: off",
    )
    parked_queue: Annotated[str, Field(max_length=244)] | None = Field(
        None,
        description="prefix of the queues where events wait for their lane, for other items "
        "or for a proof: `<prefix>.<entityTypeId>`, `.doubtful`, `.links`; unset: the intake "
        "queue's name with `parked` as its last part; empty: no such queues, and a closed "
        "lane pauses the whole intake",
    )
    topology: Literal["declare", "check"] = Field(
        "declare", description="declare: create what is missing; check: only verify"
    )
    hold_seconds: Seconds = Field(
        600, description="longest time an unsettled delivery is held before it is returned"
    )
    max_message_bytes: Annotated[int, Field(ge=1, le=134_217_728)] = Field(
        2_000_000, description="largest message body after decompression; larger is malformed"
    )

    @property
    def memory_name(self) -> str:
        """The name of the memory; empty where there is none."""
        return self._beside("memory") if self.memory_queue is None else self.memory_queue

    @property
    def parked_name(self) -> str:
        """What names of inner queues begin with; empty where there are none."""
        return self._beside("parked") if self.parked_queue is None else self.parked_queue

    def _beside(self, name: str) -> str:
        return ".".join([*self.intake_queue.split(".")[:-1], name])


class Bitrix(Section):
    """The portal."""

    webhook_url: Webhook | None = Field(
        None, description="incoming webhook, https://portal/rest/1/secret/"
    )
    client_endpoint: Endpoint | None = Field(
        None, description="the portal, for an OAuth application: https://portal/rest/"
    )
    client_id: Name | None = Field(None, description="OAuth application: its client_id")
    client_secret: Secret | None = Field(None, description="OAuth application: its client_secret")
    oauth_url: AuthServer = Field(
        "https://oauth.bitrix24.tech/oauth/token/",
        description="where an OAuth application renews its tokens",
    )
    token_file: Path | None = Field(
        None,
        description="file that keeps an OAuth application's pair of tokens (path, in a folder "
        "that this process may write to and that outlives it)",
    )
    refresh_token: Secret | None = Field(
        None, description="first refresh token; used only while there is no token file"
    )
    ca_file: Authority | None = Field(
        None,
        description="certificate authority of a self-hosted portal (path); unset: those of "
        "the system, or SSL_CERT_FILE and SSL_CERT_DIR",
    )
    proxy_url: Proxy | None = Field(
        None,
        description="proxy for the portal and the authorisation server, "
        "http://user:password@host:3128/; proxies of the environment are not used",
    )
    allow_http: bool = Field(default=False, description="allow plain HTTP to other machines")
    timeout_seconds: Seconds = Field(
        70, description="longest time of a call; the cloud cuts calls at 60"
    )
    settle_seconds: Wait = Field(
        65,
        description="how long the portal may work on an unanswered call, from the end of its body",
    )
    recheck_seconds: Annotated[float, Field(ge=0, le=60)] = Field(
        3, description="wait before an item that was not found is looked up again (replica lag)"
    )
    requests_per_second: Annotated[float, Field(gt=0, le=1000)] = Field(
        2, description="rate at which the portal's request bucket empties"
    )
    burst: Annotated[int, Field(ge=1, le=100_000)] = Field(
        50, description="capacity of the portal's request bucket"
    )
    operating_limit_seconds: Annotated[float, Field(ge=0, le=36_000)] = Field(
        420, description="execution budget per method per 10 minutes; 0 = off"
    )
    operating_window_seconds: Annotated[float, Field(gt=0, le=36_000)] = Field(
        600, description="time over which the portal adds up execution seconds"
    )
    originator: Originator = Field("crm-importer", description="originatorId of imported items")
    external_id_fields: Json[dict[TypeId, FieldName]] = Field(
        default_factory=dict,
        validate_default=False,
        description='external id fields by type, {"7":"ufCrm_123"}',
    )


class BatchSettings(Section):
    """The bounds of a batch and of what is held."""

    max_items: Annotated[int, Field(ge=1, le=20)] = Field(20, description="items per call, 1..20")
    window_seconds: Wait = Field(
        2, description="longest wait of a batch, from its first item; 0 = send at once"
    )
    max_bytes: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(
        16_000_000, description="bytes of messages per batch"
    )
    slots: Annotated[int, Field(ge=1, le=50)] = Field(2, description="calls in flight")
    prefetch: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        None, description="deliveries held; unset: MAX_ITEMS x (SLOTS + 8)"
    )


class Retry(Section):
    """Back-off between tries."""

    base_seconds: Seconds = Field(1, description="first back-off, before jitter")
    cap_seconds: Seconds = Field(60, description="longest back-off, before jitter")
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        5, description="tries of an item that keeps failing alone"
    )


class Pause(Section):
    """When a failing portal pauses intake, and how it is probed."""

    after_seconds: Wait = Field(
        60, description="a failure of the whole portal becomes a pause after this time"
    )
    probe_seconds: Seconds = Field(15, description="first wait before a probe; doubles")
    probe_cap_seconds: Seconds = Field(300, description="longest wait between probes")


class Brake(Section):
    """The brake against filling the dead-letter queue."""

    share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="a lane closes when more than this share of its items is rejected; 0 = off",
    )
    items: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        200,
        description="number of last answered items of a type that BRAKE__SHARE counts; 0 = off",
    )


class ClaimSettings(Section):
    """What is remembered of ended events."""

    remember: Annotated[int, Field(ge=1, le=200_000)] = Field(
        50_000, description="imported event ids remembered in memory, as digests of fixed size"
    )


class LinkSettings(Section):
    """Events that refer to the items of others."""

    wait_seconds: LongWait = Field(
        86_400,
        description="how long an event waits for its linked items, counted only while the "
        "importer runs, the portal takes imports, and the lanes of both types are open",
    )


class Settings(BaseSettings):
    """Every setting of the service."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _any_case(cls, value: object, info: ValidationInfo) -> object:
        return in_its_case(value, cls.model_fields[info.field_name or ""].annotation)

    rabbit: Rabbit = Rabbit()
    bitrix: Bitrix = Bitrix()
    batch: BatchSettings = BatchSettings()
    retry: Retry = Retry()
    pause: Pause = Pause()
    brake: Brake = Brake()
    claims: ClaimSettings = ClaimSettings()
    links: LinkSettings = LinkSettings()
    shutdown: Shutdown = Shutdown()
    http: Http = Http()
    log: Log = Log()
    tracing: Tracing = Tracing()
    console: Console = Console()
    ambiguous: Literal["dead_letter", "resend"] = Field(
        "dead_letter", description="what to do with an item that may exist and cannot be looked up"
    )
    ambiguous_after_seconds: Wait = Field(
        3600, description="how long an event in doubt waits for proof that its type can be read"
    )
    lookup: Literal["doubtful", "always", "never"] = Field(
        "doubtful", description="when to look an item up in the portal before sending it"
    )
    validation: Literal["off", "warn", "reject"] = Field(
        "warn",
        description="what to do with an item whose fields the portal would drop or change "
        "silently",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values only from what `environment.load` has read: nothing is ignored silently."""
        return (init_settings,)

    @property
    def prefetch(self) -> int:
        """Deliveries held at most."""
        batch = self.batch
        return batch.prefetch or batch.max_items * (batch.slots + 8)

    @property
    def status_url(self) -> str:
        """Where the importer tells its state."""
        return self.console.status_url or f"http://127.0.0.1:{self.http.port}/status"
