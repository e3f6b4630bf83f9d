"""What PostgreSQL said last, for the time that it is away."""

from collections.abc import Sequence
from datetime import datetime

from cachetools import TTLCache
from redis.exceptions import RedisError

from libs.common.runtime.errors import UnavailableError
from libs.common.stores.postgres import Postgres
from libs.feedlists import ACT_S, Acts
from services.user.domain.people import Profile
from services.user.stores.postgres_accounts import PostgresSessionStore
from services.user.stores.postgres_profiles import PostgresProfileStore

KEPT_MAX = 20_000  # profiles or sessions, some 20 MB
SESSION_S = 60  # an ended one may live on for so long anywhere (API.md)


class KeptProfileStore(PostgresProfileStore):
    """Shows each reader the profiles last shown to them, while neither side has done anything since.

    Marks of what people did tell; they live as long as what is kept here.
    """

    def __init__(self, postgres: Postgres, acts: Acts) -> None:
        super().__init__(postgres)
        self._acts = acts
        self._kept: TTLCache[tuple[int | None, int], Profile] = TTLCache(KEPT_MAX, ACT_S)

    async def profiles(self, user_ids: Sequence[int], reader_id: int | None) -> list[Profile]:
        try:
            found = await super().profiles(user_ids, reader_id)
        except UnavailableError:
            kept = [self._kept.get((reader_id, user_id)) for user_id in user_ids]
            if not await self._nothing_happened({*user_ids, *([reader_id] if reader_id else [])}):
                raise
            known = [profile for profile in kept if profile]
            if len(known) < len(kept):
                raise
            return known
        for user_id in user_ids:
            self._kept.pop((reader_id, user_id), None)
        for profile in found:
            self._kept[reader_id, profile.user_id] = profile
        return found

    async def _nothing_happened(self, people: set[int]) -> bool:
        keys = [key for one in people for key in (self._acts.of(one), self._acts.outdated(one))]
        try:
            return not any(await self._acts.marked(keys))
        except RedisError:
            return False


class KeptSessionStore(PostgresSessionStore):
    """Takes a session that lived a minute ago to live on."""

    def __init__(self, postgres: Postgres) -> None:
        super().__init__(postgres)
        self._lived: TTLCache[int, int] = TTLCache(KEPT_MAX, SESSION_S)

    async def lives(self, user_id: int, session_id: int, now: datetime) -> bool:
        try:
            found = await super().lives(user_id, session_id, now)
        except UnavailableError:
            if self._lived.get(session_id) != user_id:
                raise
            return True
        self._lived.pop(session_id, None)
        if found:
            self._lived[session_id] = user_id
        return found
