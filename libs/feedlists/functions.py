"""The Redis Functions of `library.lua`."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
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
        return await self._loaded(lambda: self._fcall(self._redis, name, keys, args))

    async def call_each(self, name: str, keys: Sequence[str], *args: int) -> None:
        """One call a key, in one round trip; the keys lie anywhere. A call may be made twice."""

        async def pipelined() -> None:
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    self._fcall(pipe, name, [key], args)
                await pipe.execute()

        await self._loaded(pipelined)

    async def load(self) -> None:
        """Load the functions, on every primary of a cluster."""
        await self._redis.function_load(_SOURCE.replace("@VERSION@", _VERSION), replace=True)

    async def _loaded(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Again, with the functions, on a Redis that was replaced by an empty one."""
        try:
            return await work()
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await self.load()
            return await work()

    @staticmethod
    def _fcall(redis: Any, name: str, keys: Sequence[str], args: Sequence[int]) -> Any:
        return redis.execute_command("FCALL", f"{name}_{_VERSION}", len(keys), *keys, *args)
