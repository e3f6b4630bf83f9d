"""Public keys of access tokens, fetched from the user service and cached."""

import asyncio
import time
from typing import Any

import jwt

from libs.common.web.client import ServiceClient
from libs.telemetry.caches import count_reads

_MIN_REFRESH_S = 5.0  # tokens with invented key ids cause at most one fetch in this time


class RemoteKeys:
    """Fetches the JWKS when a key id is unknown. Cached keys still work while the user service is unavailable."""

    def __init__(self, user: ServiceClient) -> None:
        self._user = user
        self._keys: dict[str, Any] = {}
        self._next_fetch = 0.0
        self._lock = asyncio.Lock()

    async def key(self, kid: str) -> Any | None:
        """The key; None if the user service does not publish it.

        Raises:
            UnavailableError: the key is not cached and the user service did not answer.
        """
        is_known = kid in self._keys
        count_reads("token_keys", hits=int(is_known), misses=int(not is_known))
        if not is_known:
            async with self._lock:
                if kid not in self._keys and time.monotonic() >= self._next_fetch:
                    await self._fetch()
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        document = await self._user.get("/.well-known/jwks.json")
        self._keys = {key.key_id: key.key for key in jwt.PyJWKSet.from_dict(document).keys if key.key_id}
        self._next_fetch = time.monotonic() + _MIN_REFRESH_S
