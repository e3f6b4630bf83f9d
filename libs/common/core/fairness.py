"""Capacity that callers share: a limited number of slots, a share for each caller, a short fair queue (ADR 12)."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from libs.common.core.context import Caller, caller
from libs.common.core.errors import OverloadedError, TooManyInProgressError
from libs.telemetry.metrics import counter
from libs.telemetry.pools import watch_pool

REFUSED = counter("feedmill_gate_refused_total")


@dataclass(frozen=True, slots=True)
class CallerShares:
    """The slots and queue places, together, that one account and one address may use; None: all of them."""

    account: int | None = None
    address: int | None = None

    def if_limited(self, limited: bool) -> "CallerShares":
        """Return these shares, or no shares if all requests come from one machine (FEEDMILL_RATE_LIMITS is false)."""
        return self if limited else CallerShares()


class Slot:
    """A slot in use, released at the end of a `with` block. Releasing it twice does nothing."""

    def __init__(self, gate: "FairSemaphore", keys: list[Hashable]) -> None:
        self._gate = gate
        self._keys: list[Hashable] | None = keys

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def charge(self, account: int) -> None:
        """Count the slot against an account too, once it is known. Raises TooManyInProgressError."""
        if self._keys is not None:
            self._keys += self._gate.count(Caller(account, None))

    def release(self) -> None:
        """Pass the slot to the next waiting caller."""
        keys, self._keys = self._keys, None
        if keys is not None:
            self._gate.release(keys)


class FairSemaphore:
    """A semaphore whose waiting callers take turns (round robin), so one busy caller does not delay the others.

    Args:
        name: its label in metrics; those of one name are added up.
        slots: the number of slots.
        shares: limits for one caller.
        queue: how many requests may wait, of all callers together.
        wait_s: how long a request may wait.
    """

    def __init__(
        self, name: str, slots: int, shares: CallerShares = CallerShares(), *, queue: int = 0, wait_s: float = 1.0
    ) -> None:
        self.size = slots
        self._name = name
        self._free = slots
        self._shares = shares
        self._queue = queue
        self._wait_s = wait_s
        self._used: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        """By caller, in the order of turns. A deque is never empty, and there are none while a slot is free."""
        watch_pool(name, self)

    @property
    def in_use(self) -> int:
        """The number of slots in use."""
        return self.size - self._free

    @property
    def waiting(self) -> int:
        """How many requests wait for a slot."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[Slot]:
        """A slot for the caller of the current request, until the block ends. Raises the errors of `acquire`."""
        with await self.acquire(caller()) as slot:
            yield slot

    async def acquire(self, who: Caller | None, wait_s: float | None = None) -> Slot:
        """Wait for a slot. `None` stands for our own work, which no share limits. `wait_s` replaces the default.

        Raises:
            TooManyInProgressError: the caller's share is used up.
            OverloadedError: the queue is full, or no slot became free in time.
        """
        keys = self.count(who)
        if self._free:
            self._free -= 1
            return Slot(self, keys)
        try:
            await self._turn(keys[0] if keys else None, self._wait_s if wait_s is None else wait_s)
        except BaseException:
            self._used.subtract(keys)
            self._forget(keys)
            raise
        return Slot(self, keys)

    def count(self, who: Caller | None) -> list[Hashable]:
        """Add one to the caller's use. Return the counted keys, account first; the first key decides about turns.

        Raises:
            TooManyInProgressError: the caller's share is used up.
        """
        if who is None:
            return []
        wanted = (("account", who.account, self._shares.account), ("address", who.address, self._shares.address))
        keys = [((kind, name), share) for kind, name, share in wanted if name is not None]
        if any(share is not None and self._used[key] >= share for key, share in keys):
            raise self._refusal(TooManyInProgressError(), "share")
        self._used.update(key for key, _ in keys)
        return [key for key, _ in keys]

    def release(self, keys: list[Hashable]) -> None:
        """Undo `count`, and pass the slot on. Only `Slot` calls it."""
        self._used.subtract(keys)
        self._forget(keys)
        self._pass_on()

    async def _turn(self, key: Hashable, wait_s: float) -> None:
        if self.waiting >= self._queue:
            self._make_room(len(self._waiting.get(key, ())))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            async with asyncio.timeout(wait_s):
                await turn
        except BaseException as error:
            self._leave(key, turn)
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # it got a slot at the same moment
                self._pass_on()
            if isinstance(error, TimeoutError):
                raise self._refusal(OverloadedError(), "wait") from error
            raise

    def _make_room(self, own: int) -> None:
        """Refuse the last request of the caller with the longest queue; raise if that is the newcomer itself."""
        turns = max(self._waiting.values(), key=len, default=None)
        if turns is None or len(turns) <= own + 1:
            raise self._refusal(OverloadedError(), "queue")
        refused = turns.pop()
        if not refused.done():
            refused.set_exception(self._refusal(OverloadedError(), "queue"))

    def _pass_on(self) -> None:
        """Give the slot to the next caller, and put that caller behind the others."""
        while self._waiting:
            key = next(iter(self._waiting))
            turns = self._waiting.pop(key)
            turn = turns.popleft()
            if turns:
                self._waiting[key] = turns
            if not turn.done():  # a cancelled turn is done, though its task has not removed it yet
                turn.set_result(None)
                return
        self._free += 1

    def _leave(self, key: Hashable, turn: "asyncio.Future[None]") -> None:
        turns = self._waiting.get(key, deque())
        if turn in turns:
            turns.remove(turn)
        if not turns:
            self._waiting.pop(key, None)

    def _forget(self, keys: list[Hashable]) -> None:
        for key in keys:
            if not self._used[key]:
                del self._used[key]

    def _refusal(self, error: OverloadedError | TooManyInProgressError, why: str) -> Exception:
        REFUSED.labels(self._name, why).inc()
        return error
