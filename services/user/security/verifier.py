"""Verification of access tokens, including their session."""

from libs.common.web.auth import KeySource, Principal, SessionRevokedError, TokenVerifier
from libs.contracts.base import utc_now
from services.user.ports import SessionStore


class SessionVerifier(TokenVerifier):
    """Also checks the session, which only this service can do without a remote call."""

    def __init__(self, keys: KeySource, sessions: SessionStore) -> None:
        super().__init__(keys)
        self._sessions = sessions

    async def verify(self, token: str) -> Principal:
        """Return the principal of a token.

        Raises:
            UnauthorizedError: it has another signature or shape, or has expired.
            SessionRevokedError: its session has ended.
        """
        principal = await self.signed(token)
        if not await self._sessions.is_active(principal.user_id, principal.session_id, utc_now()):
            raise SessionRevokedError
        return principal
