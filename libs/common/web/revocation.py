"""Sessions that were revoked before their access tokens expire, stored in Redis."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.stores.redis import get_many
from libs.common.web.auth import ACCESS_TOKEN_S, LEEWAY_S, Principal

READ_S = 0.1  # requests wait this long; writes use the time-out of Redis
LIFE_S = ACCESS_TOKEN_S + LEEWAY_S
log = get_logger(__name__)


class RedisRevokedSessions:
    """Implements `libs.common.web.auth.SessionRevocation`. The user service writes, all deployables read.

    No method raises: if Redis is down, access tokens are valid until they expire.
    """

    def __init__(self, redis: "Redis", settings: Settings) -> None:
        self._redis = redis
        self._prefix = settings.redis_prefix("shutout")
        self._read_s = READ_S * settings.timeout_factor

    async def is_revoked(self, principal: Principal) -> bool | None:
        async with _log_errors("revocations_not_read"), asyncio.timeout(self._read_s):
            keys = [self._session(principal.session_id), self._user(principal.user_id)]
            return any(await get_many(self._redis, keys))
        return None

    async def end(self, session_ids: Iterable[int]) -> None:
        """Revoke the access tokens of these sessions."""
        async with _log_errors("revocation_not_written"), self._redis.pipeline(transaction=False) as pipe:
            for session_id in session_ids:
                pipe.set(self._session(session_id), 1, ex=LIFE_S)
            await pipe.execute()

    async def ban(self, user_id: int) -> None:
        """Revoke the access tokens of all sessions of the user."""
        async with _log_errors("revocation_not_written"):
            await self._redis.set(self._user(user_id), 1, ex=LIFE_S)

    async def unban(self, user_id: int) -> None:
        """Remove the mark of `ban`: access tokens of the user that have not expired are valid again."""
        async with _log_errors("revocation_not_deleted"):
            await self._redis.delete(self._user(user_id))

    def _session(self, session_id: int) -> str:
        return f"{self._prefix}session:{session_id}"

    def _user(self, user_id: int) -> str:
        return f"{self._prefix}user:{user_id}"


@asynccontextmanager
async def _log_errors(event: str) -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        log.warning(event, error=repr(error))
