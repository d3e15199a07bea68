"""Issues and checks the tokens of an OAuth application; the pair rotates at each refresh."""

import time
from collections.abc import Mapping

from tests.sandbox.reply import Reply, error_reply, refusal
from tests.sandbox.settings import Settings

MEMBER = "a223c6b3710f85df22e9377d6c4f7553"


class Tokens:
    """Stands for the authorisation server and the portal's memory of its tokens."""

    def __init__(self, settings: Settings, now: float) -> None:
        """Start with the pair that the settings name."""
        self._expiry = {settings.access_token: now + settings.token_seconds}
        self._refresh_token = settings.refresh_token
        self._issued = 0

    def check(self, token: str | None, now: float) -> None:
        """Refuse a call whose token is absent, unknown or too old."""
        if token is None or token not in self._expiry:
            raise refusal(401, "NO_AUTH_FOUND", "Wrong authorization data")
        if now >= self._expiry[token]:
            raise refusal(401, "expired_token", "The access token provided has expired")

    def expire(self) -> None:
        """Let every access token issued so far expire at once."""
        self._expiry = dict.fromkeys(self._expiry, 0.0)

    def revoke(self) -> None:
        """Make the refresh token worthless, as an uninstalled application sees it."""
        self._refresh_token = ""

    def refresh(
        self, params: Mapping[str, object], settings: Settings, now: float, base_url: str
    ) -> Reply:
        """Exchange a refresh token for a new pair; the old one is worthless from then on."""
        if params.get("grant_type") != "refresh_token":
            return error_reply(400, "invalid_request", "Unsupported grant type")
        if params.get("client_id") != settings.client_id:
            return error_reply(400, "invalid_client", "Client not found")
        if params.get("client_secret") != settings.client_secret:
            return error_reply(400, "invalid_client", "Client secret is wrong")
        if not self._refresh_token or params.get("refresh_token") != self._refresh_token:
            return error_reply(400, "invalid_grant", "Refresh token is invalid")
        return Reply(200, payload=self._rotated(settings, now, base_url))

    def _rotated(self, settings: Settings, now: float, base_url: str) -> dict[str, object]:
        self._issued += 1
        access = f"{settings.access_token}-{self._issued}"
        self._refresh_token = f"{settings.refresh_token}-{self._issued}"
        self._expiry[access] = now + settings.token_seconds
        lifetime = settings.token_seconds / settings.speed
        return {
            "access_token": access,
            "refresh_token": self._refresh_token,
            "expires": int(time.time() + lifetime),
            "expires_in": int(lifetime) if lifetime >= 1 else lifetime,
            "client_endpoint": f"{base_url}rest/",
            "server_endpoint": f"{base_url}rest/",
            "domain": "oauth.bitrix.info",
            "member_id": MEMBER,
            "scope": ",".join(settings.scopes),
            "status": "L",
            "user_id": int(settings.user),
        }
