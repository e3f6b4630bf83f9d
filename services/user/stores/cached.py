"""What PostgreSQL said last, for the time that it is away."""

from collections.abc import Sequence
from datetime import datetime

from cachetools import TTLCache

from libs.common.core.errors import UnavailableError
from libs.common.stores.postgres import Postgres
from libs.invalidation import InvalidationStamps, StaleIfErrorCache
from libs.media.paths import SecretPaths
from services.user.domain.people import Profile
from services.user.stores.postgres_accounts import PostgresSessionStore
from services.user.stores.postgres_profiles import PostgresProfileStore

KEPT_MAX = 20_000  # sessions
SESSION_S = 60  # an ended one may live on for so long anywhere (docs/figures.md)


class CachedProfileStore(PostgresProfileStore):
    """Shows each reader the profiles last shown to them, while neither side has done anything since."""

    def __init__(self, postgres: Postgres, paths: SecretPaths, stamps: InvalidationStamps) -> None:
        super().__init__(postgres, paths)
        self._shown = StaleIfErrorCache[Profile](stamps.unchanged)

    async def profiles(self, user_ids: Sequence[int], reader_id: int | None) -> list[Profile]:
        async def ask() -> dict[int, Profile]:
            found = await super(CachedProfileStore, self).profiles(user_ids, reader_id)
            return {profile.user_id: profile for profile in found}

        return list((await self._shown.get(reader_id, user_ids, ask)).values())


class CachedSessionStore(PostgresSessionStore):
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
