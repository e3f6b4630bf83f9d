"""Opens a deployable. While a store is not ready for it, it waits in the background instead of ending."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.web.runtime import cancel, stop_if_failed

AGAIN_S = 2.0
REASON_CHARS = 300  # the driver of Cassandra repeats its error for each node
log = get_logger(__name__)
Open = Callable[[], Awaitable[AsyncExitStack]]
"""Opens everything, or nothing. Raises UnavailableError if a store does not answer or has no tables yet."""


async def open_or_wait(open_all: Open, stack: AsyncExitStack) -> None:
    """Open now, or try again in the background. `stack` closes what was opened."""
    if not await _try(open_all, stack):
        waiting = asyncio.create_task(_open_later(open_all, stack), name="start")
        waiting.add_done_callback(stop_if_failed)
        stack.push_async_callback(cancel, waiting)


async def _open_later(open_all: Open, stack: AsyncExitStack) -> None:
    is_open = False
    while not is_open:
        await asyncio.sleep(AGAIN_S)
        is_open = await _try(open_all, stack)


async def _try(open_all: Open, stack: AsyncExitStack) -> bool:
    try:
        stack.push_async_exit(await open_all())
    except UnavailableError as error:
        log.warning("start_waits", error=f"{error.detail} {error.__cause__ or ''}".strip()[:REASON_CHARS])
        return False
    return True
