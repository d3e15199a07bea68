"""Decides what the simulated portal answers, from the first check to the time block."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.sandbox.call import Call
from tests.sandbox.catalogue import Catalogue
from tests.sandbox.clock import Clock
from tests.sandbox.fault_injection import perform
from tests.sandbox.faults import Fault, FaultPlan
from tests.sandbox.ledger import Ledger
from tests.sandbox.limits import LeakyBucket, OperatingGauge
from tests.sandbox.methods import Methods
from tests.sandbox.reply import Refusal, Reply, error_reply, html_reply, refusal
from tests.sandbox.settings import Settings
from tests.sandbox.tokens import Tokens

IMPORT = "crm.item.batchimport"
OAUTH = "oauth.token"
REFUSING_STATES = {
    "plan": (401, "ACCESS_DENIED", "REST is available only by subscription"),
    "overload": (503, "OVERLOAD_LIMIT", "REST API is blocked due to overload."),
    "deleted": (403, "PORTAL_DELETED", "Portal was deleted"),
    "auth_server": (401, "CONNECTION_ERROR", "Error connecting to authorization server"),
}


class Portal:
    """Simulates one Bitrix24 account; outlives any server that exposes it."""

    def __init__(self, settings: Settings | None = None, *faults: Fault) -> None:
        """Open an empty portal."""
        self._initial = settings or Settings()
        self.faults = FaultPlan()
        self.reset()
        self.faults.add(*faults)

    @property
    def webhook_path(self) -> str:
        """Return the path of the portal's incoming webhook, to be joined to its address."""
        return f"rest/{self.settings.user}/{self.settings.secret}/"

    def reset(self) -> None:
        """Return to the state of the start: empty, without faults, first settings."""
        self.settings = self._initial
        self.clock = Clock(self.settings.speed)
        self.ledger = Ledger(light=self.settings.light)
        self.tokens = Tokens(self.settings, self.clock.now())
        self.faults.clear()
        self._buckets: dict[str, LeakyBucket] = {}
        self._gauges: dict[tuple[str, str], OperatingGauge] = {}
        self._build()

    def configure(self, **changes: Any) -> None:
        """Change settings at run time; takes effect with the next call."""
        self.settings = self.settings.patched(changes)
        self.clock.set_speed(self.settings.speed)
        self.ledger.light = self.settings.light
        if {"rate", "burst"} & changes.keys():
            self._buckets.clear()
        if {"access_token", "refresh_token"} & changes.keys():
            self.tokens = Tokens(self.settings, self.clock.now())
        self._build()

    def _build(self) -> None:
        self.catalogue = Catalogue(self.settings)
        self._methods = Methods(
            settings=self.settings,
            catalogue=self.catalogue,
            clock=self.clock,
            ledger=self.ledger,
        )

    async def answer(self, call: Call) -> Reply:
        """Answer one REST call and note it in the ledger."""
        reply = await self._guarded(call)
        call.record.finish(reply.status, reply.error, cut=reply.share is not None)
        return reply

    async def refresh(self, call: Call) -> Reply:
        """Answer one call of the authorisation server."""
        strike = self.faults.draw(OAUTH, call.text())
        call.record.fault = strike.name

        async def execute() -> Reply:
            now = self.clock.now()
            return self.tokens.refresh(call.params, self.settings, now, call.base_url)

        if self.settings.oauth_outage:
            reply = html_reply(503)
        else:
            reply = await perform(strike, call, execute)
        call.record.finish(reply.status, reply.error, cut=reply.share is not None)
        return reply

    async def _guarded(self, call: Call) -> Reply:
        if self.settings.jitter_seconds:
            # The worst that jitter can do: all that left within a time arrives at its end at once.
            together = 2 * self.settings.jitter_seconds
            await self.clock.sleep_until((self.clock.now() // together + 1) * together)
        started = time.time()
        try:
            self._admit(call)
            self._authorise(call)
            gauge = self._budget(call)
            strike = self.faults.draw(call.method, call.text() if self.faults.faults else "")
            call.record.fault = strike.name

            async def execute() -> Reply:
                return await self._execute(call, gauge, started)

            return await perform(strike, call, execute)
        except Refusal as refused:
            return refused.reply

    def _admit(self, call: Call) -> None:
        """Refuse in front of the portal: nothing behind has seen the call."""
        settings = self.settings
        state = settings.state
        if state == "html503" or (state == "import_html503" and call.method == IMPORT):
            raise Refusal(html_reply(503))
        if settings.rate is None:
            return
        bucket = self._buckets.get(call.source)
        if bucket is None:
            bucket = self._buckets[call.source] = LeakyBucket(settings.rate, settings.burst)
        if not bucket.admits(self.clock.now()):
            raise refusal(503, "QUERY_LIMIT_EXCEEDED", "Too many requests")

    def _authorise(self, call: Call) -> None:
        """Check the portal's state, the credentials and their scope."""
        settings = self.settings
        if settings.state in REFUSING_STATES:
            status, code, description = REFUSING_STATES[settings.state]
            raise refusal(settings.state_status or status, code, description)
        if call.secret is None:
            self.tokens.check(call.token, self.clock.now())
            if settings.state == "credentials":
                text = "The user does not have access to the application"
                raise refusal(settings.state_status or 401, "user_access_error", text)
        elif settings.state == "credentials" or self._webhook_differs(call):
            text = "Invalid request credentials"
            raise refusal(settings.state_status or 401, "INVALID_CREDENTIALS", text)
        scoped = call.method.startswith("crm.")
        if scoped and (settings.state == "scope" or "crm" not in settings.scopes):
            text = "The request requires higher privileges than provided by the webhook token"
            raise refusal(settings.state_status or 401, "insufficient_scope", text)

    def _webhook_differs(self, call: Call) -> bool:
        return (call.user, call.secret) != (self.settings.user, self.settings.secret)

    def _budget(self, call: Call) -> OperatingGauge:
        """Return the gauge of this credential's method, or refuse when it is spent."""
        gauge = self._gauges.setdefault((call.credential, call.method), OperatingGauge())
        limit = self.settings.operating_limit
        ban = self.settings.operating_ban_seconds
        if limit is not None and gauge.refuses(self.clock.now(), limit, ban):
            text = "Method is blocked due to operation time limit."
            raise refusal(429, "OPERATION_TIME_LIMIT", text)
        return gauge

    async def _execute(self, call: Call, gauge: OperatingGauge, started: float) -> Reply:
        """Run the method; only a call that succeeds is counted and timed."""
        work = self._methods.by_name.get(call.method)
        if work is None:
            return error_reply(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
        payload = await work(call)
        gauge.add(self.clock.now(), call.seconds)
        payload["time"] = self._time_block(call, gauge, started)
        return Reply(200, payload=payload)

    def _time_block(
        self, call: Call, gauge: OperatingGauge, started: float
    ) -> Mapping[str, object]:
        """Report the call's times, in the unit that the settings ask for."""
        settings = self.settings
        unit = 1.0 if settings.report == "real" else settings.speed
        elapsed = (time.time() - started) * unit
        finished = started + elapsed
        block: dict[str, object] = {
            "start": started,
            "finish": finished,
            "duration": elapsed,
            "processing": call.seconds * unit / settings.speed or elapsed,
            "date_start": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            "date_finish": datetime.fromtimestamp(finished, UTC).isoformat(timespec="seconds"),
        }
        if settings.counters:
            now = self.clock.now()
            reset = time.time() + (gauge.reset_at(now) - now) * unit / settings.speed
            block["operating"] = gauge.total(now) * unit / settings.speed
            block["operating_reset_at"] = int(reset) if settings.speed == 1 else reset
        return block
