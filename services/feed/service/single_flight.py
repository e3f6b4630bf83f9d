"""Single flight: concurrent callers share one run of the same work."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Hashable
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from libs.common.core.context import set_deadline

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[K, T]):
    """Runs one task a key; later callers wait for the same task. A caller that gives up does not cancel it."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[T]] = {}

    async def run(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Wait for the running task of the key, or start one with `work`."""
        task = self._running.get(key)
        if task is None:
            context = copy_context()
            context.run(set_deadline, math.inf)  # later callers may have a longer deadline than the first
            task = self._running[key] = asyncio.create_task(work(), context=context)
            task.add_done_callback(lambda _: self._running.pop(key))
        return await asyncio.shield(task)
