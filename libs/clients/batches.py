"""Splits a long list of ids into several calls, each of a size that the server accepts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
CALLS_AT_ONCE = 16
"""Calls in progress for one list. Most of the client's pool of 64 connections stays free for others."""


async def in_batches(ids: Sequence[int], size: int, ask: Callable[[Sequence[int]], Awaitable[list[T]]]) -> list[T]:
    """Return the answers for all `ids`, in their order. Without ids no call is made."""
    slots = asyncio.Semaphore(CALLS_AT_ONCE)

    async def one(batch: Sequence[int]) -> list[T]:
        async with slots:
            return await ask(batch)

    batches = [ids[start : start + size] for start in range(0, len(ids), size)]
    return [item for answer in await asyncio.gather(*map(one, batches)) for item in answer]
