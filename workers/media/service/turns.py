"""Fair turns between owners of uploads."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """A fixed number of concurrent turns, given round robin to waiting owners, and in order to each owner.

    One owner never holds all turns, unless there is only one. So a picture of another owner finds a free turn, or waits
    for at most one picture of each owner that came before. `FairSemaphore` refuses callers over their share.
    """

    def __init__(self, max_concurrent: int) -> None:
        self._free = max_concurrent
        self._per_owner = max(1, max_concurrent - 1)
        self._held: Counter[int] = Counter()
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}  # by owner, the next one first

    @asynccontextmanager
    async def turn(self, owner_id: int) -> AsyncIterator[None]:
        """Wait for a turn, and hold it until the block ends."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner_id, deque()).append(turn)
        self._give_turns()
        try:
            await turn
            yield
        finally:
            if not turn.cancelled():  # a turn that was cancelled while waiting holds nothing
                self._free += 1
                self._held[owner_id] -= 1
                self._held += Counter()  # removes owners without turns
                if queue := self._waiting.pop(owner_id, None):
                    self._waiting[owner_id] = queue  # behind owners that came during this turn
                self._give_turns()

    def _give_turns(self) -> None:
        while self._free:
            owner_id = next((owner for owner in self._waiting if self._held[owner] < self._per_owner), None)
            if owner_id is None:
                return
            queue = self._waiting.pop(owner_id)
            turn = queue.popleft()
            if not turn.cancelled():
                self._free -= 1
                self._held[owner_id] += 1
                turn.set_result(None)
            if queue:
                self._waiting[owner_id] = queue  # behind the other owners
