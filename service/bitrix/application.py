"""Signs calls with an OAuth application's token; renews it when it is refused or known as old."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

from service.bitrix.auth import Endpoint
from service.bitrix.errors import auth_server_trouble, token_file_unusable
from service.bitrix.tokens import StoredTokens, TokenFile, TokenFileUnusable, TokenPair
from service.domain import addresses
from service.domain.network import Cause
from service.domain.outcomes import CallFailed

PATIENCE_SECONDS = 5.0
"""Longest wait of a call for its token. Later the call may not be ours any more."""
YOUNG_SECONDS = 60.0
"""A token younger than this is not renewed after a refusal, unless the portal says it is old."""
MAX_HOSTS = 16
"""Hosts about which the server is asked; each question costs a renewal."""
CLOSE_SECONDS = 10.0
LOCK_SECONDS = 5.0
"""Longest normal hold of the lock. A longer one is logged: its holder is slow or frozen."""
POLL_SECONDS = 0.05
SLOW = Cause(
    "the access token is being renewed, and this takes long",
    "wait; if it lasts, look for a stuck process that holds the token file",
)

log = logging.getLogger(__name__)


class Server(Protocol):
    """What exchanges a refresh token for the next pair."""

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Return the next pair; raises CallFailed."""

    def rekey(self, secret: str) -> None:
        """Take another secret of the application."""


class Application:
    """An OAuth application's credentials: one pair of tokens, shared through the token file.

    One renewal at a time in this process, one at a time among all that share the file. It goes on
    when nobody waits for it any more: an answer that is not written down costs the pair.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        store: TokenFile,
        server: Server,
        seed: str = "",
        reveal: Callable[[str], None] = lambda _: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Read the file, or start from the `seed`; raises TokenFileUnusable.

        `seed`: a refresh token, used only while there is no file; `reveal` is told every token.
        """
        self.endpoint, self._store, self._server = endpoint, store, server
        self._reveal, self._wall = reveal, wall
        self._pair = TokenPair(seed)
        self._unsaved: tuple[str, TokenPair] | None = None
        self._issued_at = -math.inf
        self._member = ""
        self._asked: set[str] = set()
        self._turn = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None
        self._notes: set[asyncio.Task[None]] = set()
        self._open()

    def __repr__(self) -> str:
        return f"Application({self.host})"

    @property
    def host(self) -> str:
        """The portal's host, which is no secret."""
        return self.endpoint.host

    def rekey(self, secret: str) -> bool:
        """Take another client_secret; it is used with the next renewal."""
        self._server.rekey(secret)
        return True

    async def token(self) -> str:
        """Return the access token, renewed if it is known to be old; raises CallFailed."""
        if not self._pair.usable(self._wall()):
            await self._renewed()
        return self._pair.access_token

    async def renew(self, refused: str, code: str) -> bool:
        """Get another token than the one refused; False if that would not help."""
        if self._pair.access_token != refused:
            return True
        young = asyncio.get_running_loop().time() - self._issued_at < YOUNG_SECONDS
        await self._renewed(look_only=young and code.lower() != "expired_token")
        return self._pair.access_token != refused

    async def confirms_host(self, target: str) -> bool:
        """Ask, once per host, whether the authorisation server finds our portal there too."""
        there = addresses.host(target)
        if not self.endpoint.protects(target) or not self._member:
            return False
        if not self._finds(there) and there not in self._asked and len(self._asked) < MAX_HOSTS:
            self._asked.add(there)
            await self._renewed()
        return self._finds(there)

    def note(self) -> None:
        """Write down where the portal was found, beside the calls."""
        note = asyncio.create_task(self._note_place(), name="note where the portal is")
        self._notes.add(note)
        note.add_done_callback(self._notes.discard)

    async def close(self) -> None:
        """Let what is under way come to its end, for a while."""
        tasks = [task for task in (self._renewal, *self._notes) if task and not task.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _open(self) -> None:
        self._store.check()
        self._reveal(self._pair.refresh_token)
        kept = self._store.read()
        if kept is not None:
            self._adopt(kept)
        elif not self._pair.refresh_token:
            raise TokenFileUnusable(
                f"the token file {self._store.path} does not exist: put it there, or set "
                f"IMPORTER_BITRIX__REFRESH_TOKEN for the first start"
            )

    def _adopt(self, kept: StoredTokens) -> None:
        """Use what the file holds; where the portal was found only if it was for our settings."""
        self._use(kept.pair)
        moved = kept.found not in {"", kept.configured, self.endpoint.url}
        if (
            moved
            and kept.configured == self.endpoint.configured
            and self.endpoint.protects(kept.found)
        ):
            self.endpoint.found(kept.found)

    def _use(self, pair: TokenPair) -> None:
        self._pair = pair
        self._member = self._member or pair.member_id
        self._reveal(pair.access_token)
        self._reveal(pair.refresh_token)

    async def _renewed(self, *, look_only: bool = False) -> None:
        """Wait for a renewal, ours or the one under way; raises CallFailed.

        `look_only`: just see whether somebody has put another pair into the file.
        """
        if self._renewal is None or self._renewal.done():
            renewal = self._renew(self._pair, look_only=look_only)
            self._renewal = asyncio.create_task(renewal, name="renew the access token")
            self._renewal.add_done_callback(_seen)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.shield(self._renewal)
        except TimeoutError:
            raise CallFailed(auth_server_trouble(SLOW)) from None

    async def _renew(self, refused: TokenPair, *, look_only: bool) -> None:
        try:
            async with self._locked():
                await self._renew_alone(refused, look_only=look_only)
        except TokenFileUnusable as unusable:
            log.warning("token file cannot be used", extra={"reason": str(unusable)})
            raise CallFailed(token_file_unusable(str(unusable))) from None
        except CallFailed as failed:
            fault = failed.fault
            shown = {"code": fault.code, "http_status": fault.http_status, "pause": fault.pause}
            log.warning("access token not renewed", extra=shown)
            raise

    async def _renew_alone(
        self, refused: TokenPair, *, look_only: bool, again: bool = True
    ) -> None:
        """Take what another process has got meanwhile; else exchange, write down, then use."""
        kept = await self._kept()
        other = kept is not None and kept.pair.access_token != refused.access_token
        if kept and other and kept.pair.usable(self._wall()):
            self._adopt(kept)
            return
        spent = (kept.pair if kept else refused).refresh_token
        if look_only and spent == refused.refresh_token:
            return
        try:
            pair = await self._exchanged(spent)
        except CallFailed as failed:
            if not again or failed.fault.code.lower() != "invalid_grant":
                raise
            now = await self._kept()
            if now is None or now.pair.refresh_token == spent:
                raise
            await self._renew_alone(refused, look_only=False, again=False)
            return
        await self._save(spent, pair)
        log.info("access token renewed")

    async def _exchanged(self, spent: str) -> TokenPair:
        """Return the pair that follows a refresh token; one that could not be written is kept."""
        if self._unsaved is not None and self._unsaved[0] == spent:
            return self._unsaved[1]
        await asyncio.to_thread(self._store.prepare)
        pair = await self._server.refresh(spent)
        self._reveal(pair.access_token)
        self._reveal(pair.refresh_token)
        return replace(pair, member_id=pair.member_id or self._member)

    async def _save(self, spent: str, pair: TokenPair) -> None:
        self._unsaved = (spent, pair)
        kept = StoredTokens(pair, self.endpoint.configured, self.endpoint.url)
        await asyncio.to_thread(self._store.commit, kept)
        self._unsaved = None
        self._use(pair)
        self._issued_at = asyncio.get_running_loop().time()

    async def _kept(self) -> StoredTokens | None:
        def read() -> StoredTokens | None:
            self._store.recover()
            return self._store.read()

        return await asyncio.to_thread(read)

    def _finds(self, there: str) -> bool:
        pair = self._pair
        return pair.member_id == self._member and addresses.host(pair.client_endpoint) == there

    async def _note_place(self) -> None:
        """Write down where the portal is now; without that, the next start is redirected again."""
        try:
            async with self._locked():
                kept = await self._kept()
                if kept is not None:
                    place = replace(
                        kept, configured=self.endpoint.configured, found=self.endpoint.url
                    )
                    await asyncio.to_thread(self._store.commit, place)
        except TokenFileUnusable as unusable:
            log.warning("token file cannot be used", extra={"reason": str(unusable)})

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """Be the only one who writes the file, in this process and among all."""
        async with self._turn:
            await self._lock()
            try:
                yield
            finally:
                self._store.unlock()

    async def _lock(self) -> None:
        now = asyncio.get_running_loop().time
        late = now() + LOCK_SECONDS
        while not await asyncio.to_thread(self._store.lock):
            if now() >= late:
                late = math.inf
                text = "token file is locked by another process, which may be stuck"
                log.warning(text, extra={"lock": str(self._store.lock_path)})
            await asyncio.sleep(POLL_SECONDS)


def _seen(renewal: asyncio.Task[None]) -> None:
    """Look at the end of a renewal that perhaps nobody waits for any more."""
    if not renewal.cancelled():
        renewal.exception()
