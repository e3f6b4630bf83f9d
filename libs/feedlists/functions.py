"""The Redis Functions of `library.lua`."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

_SOURCE = (Path(__file__).parent / "library.lua").read_text()
_VERSION = hashlib.sha256(_SOURCE.encode()).hexdigest()[:8]


class Functions:
    """Calls them; their names carry a hash of the source, so releases side by side do not collide."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def call(self, name: str, keys: Sequence[str], *args: int) -> Any:
        """The function's answer. `keys`, at least one, lie in one slot."""
        try:
            return await self._fcall(name, keys, args)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await self.load()  # a Redis that was replaced by an empty one
            return await self._fcall(name, keys, args)

    async def load(self) -> None:
        """Load the functions, on every primary of a cluster."""
        await self._redis.function_load(_SOURCE.replace("@VERSION@", _VERSION), replace=True)

    async def _fcall(self, name: str, keys: Sequence[str], args: Sequence[int]) -> Any:
        redis: Any = self._redis
        return await redis.execute_command("FCALL", f"{name}_{_VERSION}", len(keys), *keys, *args)
