"""Waiting for a condition, with a deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
POLL_S = 0.02


async def eventually(condition: Callable[[], Awaitable[T]], deadline_s: float = 20.0) -> T:
    """Poll `condition` until its answer is true, and return the answer. AssertionError counts as "not yet".

    Raises:
        AssertionError: the deadline passed.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        failure: AssertionError | None = None
        try:
            if answer := await condition():
                return answer
        except AssertionError as error:
            failure = error
        if loop.time() > end:
            raise failure or AssertionError(f"not true within {deadline_s} s")
        await asyncio.sleep(POLL_S)
