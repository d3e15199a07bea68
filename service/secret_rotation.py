"""Gives changed secrets from files to the parts that use them, while the service runs."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from service.factories import secrets
from service.settings.environment import SettingsInvalid, refreshed
from service.settings.secret_files import News, SecretFiles
from service.settings.tree import PREFIX
from service.telemetry.logs import mask

POLL_SECONDS = 2.0
WEBHOOK = f"{PREFIX}BITRIX__WEBHOOK_URL"
CLIENT_SECRET = f"{PREFIX}BITRIX__CLIENT_SECRET"
BROKER = f"{PREFIX}RABBIT__URL"
FOLLOWED = (WEBHOOK, CLIENT_SECRET, BROKER)
ELSEWHERE = "it leads to another host; restart the importer if you intend this"

log = logging.getLogger(__name__)

Take = Callable[[str], bool]
"""Puts a new secret to use; returns False when it leads to another host."""


class Rekeying:
    """Reads the files regularly; logs a secret that cannot be used, and keeps the old one."""

    def __init__(
        self, files: SecretFiles, takers: Mapping[str, Take], *, on_taken: Callable[[], None]
    ) -> None:
        """`takers`: who uses the secret of a setting; `on_taken` is told of each one taken."""
        self._files = files
        self._takers = takers
        self._on_taken = on_taken
        self._first = True

    async def run(self) -> None:
        """Follow the files until cancelled; end at once where there are none."""
        while self._files:
            for news in await asyncio.to_thread(self._files.news):
                self._hear(news)
            self._first = False
            await asyncio.sleep(POLL_SECONDS)

    def _hear(self, news: News) -> None:
        wrong = news.flaw or self._taken(news)
        if wrong:
            shown = {"name_of_setting": news.setting, "reason": wrong}
            log.warning("secret file not used: the previous secret stays in use", extra=shown)
        elif not self._first:
            log.info("secret read again", extra={"name_of_setting": news.setting})
            self._on_taken()

    def _taken(self, news: News) -> str:
        """Take a secret into use; return why not, "" if it was."""
        try:
            settings = refreshed(news.setting, news.text)
        except SettingsInvalid as invalid:
            return str(invalid)
        for secret in secrets(settings):
            mask(secret)
        return "" if self._takers[news.setting](news.text) else ELSEWHERE
