"""Retries of transactions that PostgreSQL aborted."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from libs.common.core.errors import UnavailableError

ATTEMPTS = 5
_BACKOFF_S = 0.02
T = TypeVar("T")


async def with_retries(transaction: Callable[[], Awaitable[T]]) -> T:
    """Run the transaction again after a deadlock or a serialization failure.

    Raises:
        UnavailableError: every attempt failed.
    """
    for attempt in range(ATTEMPTS):
        try:
            return await transaction()
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            await asyncio.sleep(random.uniform(0, _BACKOFF_S * 2**attempt))
    raise UnavailableError("Too many concurrent changes. Please retry.")
