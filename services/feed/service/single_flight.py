"""Work that several ask for at the same time, done once."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Hashable
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from libs.common.core.context import set_deadline

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[K, T]):
    """Runs one task a key. Whoever asks while it runs gets its outcome; giving up does not end it for the others."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[T]] = {}

    async def join(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The outcome of the work that is under way for the key, or of new work."""
        task = self._running.get(key)
        if task is None:
            context = copy_context()
            context.run(set_deadline, math.inf)  # others may wait for longer than who asked first
            task = self._running[key] = asyncio.create_task(work(), context=context)
            task.add_done_callback(lambda _: self._running.pop(key))
        return await asyncio.shield(task)
