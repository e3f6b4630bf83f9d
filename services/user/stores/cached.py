"""Values that stand in for PostgreSQL during an outage."""

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

SESSIONS_MAX = 20_000
SESSION_S = 60  # an ended session may be accepted for as long everywhere (docs/figures.md)


class CachedProfileStore(PostgresProfileStore):
    """During an outage, shows each reader the profiles last shown to them, unless either side changed since."""

    def __init__(self, postgres: Postgres, paths: SecretPaths, stamps: InvalidationStamps) -> None:
        super().__init__(postgres, paths)
        self._shown = StaleIfErrorCache[Profile](stamps.unchanged)

    async def profiles(self, user_ids: Sequence[int], reader_id: int | None) -> list[Profile]:
        async def ask() -> dict[int, Profile]:
            found = await super(CachedProfileStore, self).profiles(user_ids, reader_id)
            return {profile.user_id: profile for profile in found}

        return list((await self._shown.get(reader_id, user_ids, ask)).values())


class CachedSessionStore(PostgresSessionStore):
    """During an outage, treats a session that was active within the last minute as active."""

    def __init__(self, postgres: Postgres) -> None:
        super().__init__(postgres)
        self._last_active: TTLCache[int, int] = TTLCache(SESSIONS_MAX, SESSION_S)

    async def is_active(self, user_id: int, session_id: int, now: datetime) -> bool:
        try:
            found = await super().is_active(user_id, session_id, now)
        except UnavailableError:
            if self._last_active.get(session_id) != user_id:
                raise
            return True
        self._last_active.pop(session_id, None)
        if found:
            self._last_active[session_id] = user_id
        return found
