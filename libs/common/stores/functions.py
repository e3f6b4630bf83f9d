"""Redis Functions."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError


class Functions:
    """Calls those of a Lua library; their names carry a hash of the source, so releases side by side do not collide."""

    def __init__(self, redis: "Redis", source: Path) -> None:
        self._redis = redis
        text = source.read_text()
        self._version = hashlib.sha256(text.encode()).hexdigest()[:8]
        self._source = text.replace("@VERSION@", self._version)

    async def call(self, name: str, keys: Sequence[str], *args: int) -> Any:
        """The function's answer. `keys`, at least one, lie in one slot."""
        redis: Any = self._redis
        command = self.command(name, keys, *args)
        try:
            return await redis.execute_command(*command)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await self.load()  # a Redis that was replaced by an empty one
            return await redis.execute_command(*command)

    def command(self, name: str, keys: Sequence[str], *args: int) -> tuple[str | int, ...]:
        """What `call` sends, for a pipeline: there an error means that the functions are to be loaded."""
        return "FCALL", f"{name}_{self._version}", len(keys), *keys, *args

    async def load(self) -> None:
        """Load the functions, on every primary of a cluster."""
        await self._redis.function_load(self._source, replace=True)
