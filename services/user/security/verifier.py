"""Access tokens that end with their session."""

from libs.common.web.auth import KeySource, Principal, SessionRevokedError, TokenVerifier
from libs.contracts.base import utc_now
from services.user.ports import SessionStore


class SessionVerifier(TokenVerifier):
    """Checks the session also, which only this service can do without a call."""

    def __init__(self, keys: KeySource, sessions: SessionStore) -> None:
        super().__init__(keys)
        self._sessions = sessions

    async def verify(self, token: str) -> Principal:
        """The person behind the token.

        Raises:
            UnauthorizedError: not signed by us, expired, of another shape, or of an ended session.
        """
        principal = await self.signed(token)
        if not await self._sessions.lives(principal.user_id, principal.session_id, utc_now()):
            raise SessionRevokedError
        return principal
