"""Who may decode next."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """A fixed number of turns at once, dealt round robin to the owners who wait; in order for each owner.

    One owner never holds all of them (unless there is only one): another's picture finds a turn free, or waits for one
    picture at most of each owner that was there before.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._per_owner = max(1, at_once - 1)
        self._held: Counter[int] = Counter()
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}  # by owner, who is next first

    @asynccontextmanager
    async def turn(self, owner_id: int) -> AsyncIterator[None]:
        """Wait for a turn, and hold it."""
        dealt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner_id, deque()).append(dealt)
        self._deal()
        try:
            await dealt
            yield
        finally:
            if not dealt.cancelled():  # else it was cancelled while it waited
                self._free += 1
                self._held[owner_id] -= 1
                self._held += Counter()  # forgets owners without turns
                if queue := self._waiting.pop(owner_id, None):
                    self._waiting[owner_id] = queue  # behind those who came while this turn lasted
                self._deal()

    def _deal(self) -> None:
        while self._free:
            owner_id = next((owner for owner in self._waiting if self._held[owner] < self._per_owner), None)
            if owner_id is None:
                return
            queue = self._waiting.pop(owner_id)
            dealt = queue.popleft()
            if not dealt.cancelled():
                self._free -= 1
                self._held[owner_id] += 1
                dealt.set_result(None)
            if queue:
                self._waiting[owner_id] = queue  # behind the others
