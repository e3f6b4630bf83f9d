"""Refresh tokens: the first of a session is random, the others are derived from their predecessor."""

import base64
import hashlib
import hmac
import secrets

_TOKEN_BYTES = 32


class HmacRefreshTokens:
    """Implements `ports.RefreshTokens`."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"feedmill refresh tokens", hashlib.sha256)

    def first(self) -> str:
        return secrets.token_urlsafe(_TOKEN_BYTES)

    def after(self, token: str) -> str:
        return base64.urlsafe_b64encode(hmac.digest(self._key, token.encode(), hashlib.sha256)).rstrip(b"=").decode()
