"""Capacity that callers share: so many at once, a share for each account and address, a short fair queue (ADR 12)."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import Counter as Metric

from libs.common.core.context import Caller, caller
from libs.common.core.errors import OverloadedError, TooManyInProgressError

REFUSED = Metric("feedmill_gate_refused_total", "Requests for shared capacity that were refused.", ["gate", "why"])


@dataclass(frozen=True, slots=True)
class CallerShares:
    """How many slots and places in the queue, together, one account and one address may use; None: all of them."""

    account: int | None = None
    address: int | None = None

    def if_limited(self, limited: bool) -> "CallerShares":
        """No shares where all callers are one machine: sample worlds, tests, benchmarks (FEEDMILL_RATE_LIMITS)."""
        return self if limited else CallerShares()


class Slot:
    """A slot in use. Releasing it twice does nothing."""

    def __init__(self, gate: "FairSemaphore", keys: list[Hashable]) -> None:
        self._gate = gate
        self._keys: list[Hashable] | None = keys

    def charge(self, account: int) -> None:
        """Count the slot for an account that was not known at first, too. Raises TooManyInProgressError."""
        if self._keys is not None:
            self._keys += self._gate.count(Caller(account, None))

    def release(self) -> None:
        """Give the slot to who waits for it."""
        keys, self._keys = self._keys, None
        if keys is not None:
            self._gate.release(keys)


class FairSemaphore:
    """Lets at most `slots` callers in at once; who waits is let in in turn between callers, not in order of arrival.

    Args:
        name: in metrics.
        slots: how many at once.
        shares: of one caller.
        queue: how many may wait, all callers together.
        wait_s: for how long.
    """

    def __init__(
        self, name: str, slots: int, shares: CallerShares = CallerShares(), *, queue: int = 0, wait_s: float = 1.0
    ) -> None:
        self._name = name
        self._free = slots
        self._shares = shares
        self._queue = queue
        self._wait_s = wait_s
        self._used: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        """By caller, in the order of their turns. Never empty deques, and only while no slot is free."""

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[Slot]:
        """A slot for the caller of the request in hand, until the block ends. Raises as `acquire`."""
        place = await self.acquire(caller())
        try:
            yield place
        finally:
            place.release()

    async def acquire(self, who: Caller | None, wait_s: float | None = None) -> Slot:
        """A slot. `None` is ourselves, who have no share. `wait_s` is for this one, in place of the gate's.

        Raises:
            TooManyInProgressError: the caller's share is used up.
            OverloadedError: the queue is full, or there was no turn in time.
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
        """Add one to what the caller uses. Account first: it is whose turn it is. Raises TooManyInProgressError."""
        if who is None:
            return []
        wanted = (("account", who.account, self._shares.account), ("address", who.address, self._shares.address))
        keys = [((kind, name), share) for kind, name, share in wanted if name is not None]
        if any(share is not None and self._used[key] >= share for key, share in keys):
            raise self._refusal(TooManyInProgressError(), "share")
        self._used.update(key for key, _ in keys)
        return [key for key, _ in keys]

    def release(self, keys: list[Hashable]) -> None:
        """Called by `Slot`."""
        self._used.subtract(keys)
        self._forget(keys)
        self._pass_on()

    async def _turn(self, key: Hashable, wait_s: float) -> None:
        if sum(map(len, self._waiting.values())) >= self._queue:
            self._make_room(len(self._waiting.get(key, ())))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            async with asyncio.timeout(wait_s):
                await turn
        except BaseException as error:
            self._leave(key, turn)
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # the slot came at the same time
                self._pass_on()
            if isinstance(error, TimeoutError):
                raise self._refusal(OverloadedError(), "wait") from error
            raise

    def _make_room(self, own: int) -> None:
        """Refuse the last of whoever waits most often, else, when that would be the newcomer, the newcomer."""
        turns = max(self._waiting.values(), key=len, default=None)
        if turns is None or len(turns) <= own + 1:
            raise self._refusal(OverloadedError(), "queue")
        refused = turns.pop()
        if not refused.done():
            refused.set_exception(self._refusal(OverloadedError(), "queue"))

    def _pass_on(self) -> None:
        """Let the next one in, and put its caller behind the others."""
        while self._waiting:
            key = next(iter(self._waiting))
            turns = self._waiting.pop(key)
            turn = turns.popleft()
            if turns:
                self._waiting[key] = turns
            if not turn.done():  # one that was cancelled is done, and still to leave
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
