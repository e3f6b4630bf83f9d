"""Marks of who is to be let in no more, though an access token of theirs has not expired."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.stores.redis import get_many
from libs.common.web.auth import ACCESS_TOKEN_S, LEEWAY_S, Principal

READ_S = 0.1  # a request is not held up for longer; who signs out waits as long as Redis may take
LIFE_S = ACCESS_TOKEN_S + LEEWAY_S
log = get_logger(__name__)


class RevokedSessions:
    """Made by the user service, read by all. Implements `libs.common.web.auth.SessionRevocation`.

    None of it ever raises: where a mark could not be made or read, a token is good until it expires.
    """

    def __init__(self, redis: "Redis", settings: Settings) -> None:
        self._redis = redis
        self._prefix = settings.redis_prefix("shutout")
        self._read_s = READ_S * settings.timeout_factor

    async def holds(self, principal: Principal) -> bool | None:
        """Whether the session has ended, or the person is banned; None when it can't be told."""
        async with _trying("shutouts_unreadable"), asyncio.timeout(self._read_s):
            keys = [self._session(principal.session_id), self._user(principal.user_id)]
            return any(await get_many(self._redis, keys))
        return None

    async def end(self, session_ids: Iterable[int]) -> None:
        """These sessions have ended."""
        async with _trying("shutout_not_marked"), self._redis.pipeline(transaction=False) as pipe:
            for session_id in session_ids:
                pipe.set(self._session(session_id), 1, ex=LIFE_S)
            await pipe.execute()

    async def ban(self, user_id: int) -> None:
        """All sessions of the person are shut out."""
        async with _trying("shutout_not_marked"):
            await self._redis.set(self._user(user_id), 1, ex=LIFE_S)

    async def unban(self, user_id: int) -> None:
        """They live again."""
        async with _trying("shutout_not_taken_back"):
            await self._redis.delete(self._user(user_id))

    def _session(self, session_id: int) -> str:
        return f"{self._prefix}session:{session_id}"

    def _user(self, user_id: int) -> str:
        return f"{self._prefix}user:{user_id}"


@asynccontextmanager
async def _trying(failure: str) -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        log.warning(failure, error=repr(error))
