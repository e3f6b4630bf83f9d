"""Redis Functions: Lua libraries that Redis stores and runs."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ResponseError

Argument = int | str | bytes
KEYS_A_CALL = 100  # a longer call would delay other clients


class Functions:
    """Calls the functions of a Lua library. Their names contain a hash of the source, so releases do not collide."""

    def __init__(self, redis: "Redis", source: Path) -> None:
        self._redis = redis
        text = source.read_text()
        self._version = hashlib.sha256(text.encode()).hexdigest()[:8]
        self._source = text.replace("@VERSION@", self._version)

    async def call(self, name: str, keys: Sequence[str], *args: Argument) -> Any:
        """Return the function's answer. `keys` has at least one key; all of them are in one cluster slot."""
        return await self._loaded(lambda: self.send(self._redis, name, keys, *args))

    async def call_each(self, name: str, keys: Sequence[str], *args: Argument) -> list[Any]:
        """Return the answers to one call per key, in one round trip.

        Keys may be in any slot. A call may be made twice.
        """
        return await self.pipelined(lambda pipe: [self.send(pipe, name, [key], *args) for key in keys])

    async def call_many(
        self, name: str, calls: Sequence[tuple[str, Sequence[Argument]]], *shared: Argument
    ) -> list[Any]:
        """Call the function for keys in any slots, in one round trip; the answers. A call may be made twice.

        Args:
            name: of a function that takes the shared arguments, then those of each key.
            calls: the keys, each with its own arguments. On one server, up to `KEYS_A_CALL` of them share a call.
            shared: arguments for all keys.
        """
        size = 1 if isinstance(self._redis, RedisCluster) else KEYS_A_CALL
        parts = [calls[start : start + size] for start in range(0, len(calls), size)]

        def queue(pipe: Any) -> None:
            for part in parts:
                self.send(pipe, name, [key for key, _ in part], *shared, *(arg for _, own in part for arg in own))

        return await self.pipelined(queue) if parts else []

    async def pipelined(self, queue: Callable[[Any], object]) -> list[Any]:
        """Return the answers to all calls that `queue` adds to the pipeline. A call may be made twice."""

        async def work() -> Any:
            async with self._redis.pipeline(transaction=False) as pipe:
                queue(pipe)
                return await pipe.execute()

        return list(await self._loaded(work))

    def send(self, redis: Any, name: str, keys: Sequence[str], *args: Argument) -> Any:
        """Call the function on a client or pipeline. ResponseError may mean that the functions are not loaded."""
        return redis.execute_command("FCALL", f"{name}_{self._version}", len(keys), *keys, *args)

    async def load(self) -> None:
        """Load the functions, on each primary of a cluster."""
        await self._redis.function_load(self._source, replace=True)

    async def _loaded(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do the work; load the functions and repeat it if Redis does not have them (a new or emptied server)."""
        try:
            return await work()
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await self.load()
            return await work()
