"""Long lists of ids, asked in calls of the size that a server takes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
CALLS_AT_ONCE = 16
"""Of one question, so that it leaves most of a client's pool of 64 connections to others."""


async def in_batches(ids: Sequence[int], size: int, ask: Callable[[Sequence[int]], Awaitable[list[T]]]) -> list[T]:
    """The answers for all `ids`, in order. No call is made without ids."""
    slots = asyncio.Semaphore(CALLS_AT_ONCE)

    async def one(batch: Sequence[int]) -> list[T]:
        async with slots:
            return await ask(batch)

    batches = [ids[start : start + size] for start in range(0, len(ids), size)]
    return [item for answer in await asyncio.gather(*map(one, batches)) for item in answer]
