"""64-bit time-ordered ids: 41 bits of milliseconds since 2024-01-01, 10 bits of node, 12 bits of sequence."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

EPOCH_MS = 1_704_067_200_000  # 2024-01-01T00:00:00Z
NODE_BITS = 10
SEQUENCE_BITS = 12
NODE_COUNT = 1 << NODE_BITS
MAX_ID = (1 << 63) - 1
_SHIFT = NODE_BITS + SEQUENCE_BITS
_LAST_SEQUENCE = (1 << SEQUENCE_BITS) - 1
LEASE_MS = 30_000  # a crashed process keeps its node number at most this long
RENEW_S = 10.0
RENEW_AGAIN_S = 1.0  # after one that failed
NODES_TRIED = 64  # at random: while half of all numbers are held, the chance to find none is 2^-64


class NoLeaseError(RuntimeError):
    """The process holds no node number for the current time, so it may not mint ids."""


@dataclass(frozen=True, slots=True)
class NodeLease:
    """The right to mint with `node` in the half-open range of milliseconds `[from_ms, until_ms)`.

    Ranges of one node never overlap, whichever process holds them. So uniqueness depends on the lease store alone, not
    on any clock.
    """

    node: int
    from_ms: int
    until_ms: int


class NodeLeaseStore(Protocol):
    """Stores the leases. Each deployable that mints ids uses its own store."""

    async def until_ms(self, node: int) -> int | None:
        """The end of the last range leased for `node`; None if there was none."""

    async def extend(self, node: int, seen_until_ms: int | None, until_ms: int) -> bool:
        """Compare and set; False if another process was faster."""


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def id_time_ms(value: int) -> int:
    """The time of minting, in ms since the Unix epoch."""
    return (value >> _SHIFT) + EPOCH_MS


def id_time(value: int) -> datetime:
    """The time of minting, in UTC."""
    return datetime.fromtimestamp(id_time_ms(value) / 1000, UTC)


def first_id_at(at_ms: int) -> int:
    """Return the smallest id that can be minted at `at_ms`, as a bound for range reads."""
    return max(0, at_ms - EPOCH_MS) << _SHIFT


def parse_id(text: str) -> int | None:
    """The id that the decimal string represents; None if it is not in canonical form."""
    if not text.isascii() or not text.isdigit() or len(text) > 19 or (text[0] == "0" and text != "0"):
        return None
    value = int(text)
    return value if value <= MAX_ID else None


class IdMinter:
    """Mints ids within the leased range of time. It never mints outside of the range, even if the clock jumps."""

    def __init__(self, store: NodeLeaseStore, clock_ms: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._clock_ms = clock_ms
        self._lease: NodeLease | None = None
        self._last_ms = 0
        self._sequence = 0

    async def acquire(self) -> NodeLease:
        """Take a node number that nobody holds now.

        Raises:
            NoLeaseError: all numbers tried were leased.
        """
        for _ in range(NODES_TRIED):
            node = secrets.randbelow(NODE_COUNT)
            seen, now = await self._store.until_ms(node), self._clock_ms()
            if seen is not None and seen > now:
                continue
            if await self._store.extend(node, seen, now + LEASE_MS):
                self._lease = NodeLease(node, max(now, seen or 0), now + LEASE_MS)
                # Another node number may make an id smaller within one millisecond, so the next id uses a later one.
                self._last_ms, self._sequence = max(self._last_ms, self._lease.from_ms - 1), _LAST_SEQUENCE
                return self._lease
        raise NoLeaseError("no free node number")

    async def renew(self) -> None:
        """Extend the lease, or acquire another one if it was lost. Raises NoLeaseError."""
        lease = self._lease
        until = self._clock_ms() + LEASE_MS
        if lease is not None and until <= lease.until_ms:
            return
        if lease is not None and await self._store.extend(lease.node, lease.until_ms, until):
            self._lease = NodeLease(lease.node, lease.from_ms, until)
        else:
            self._lease = None
            await self.acquire()

    def mint(self) -> int:
        """Return a new id, greater than all earlier ones of this minter, also across leases.

        Raises:
            NoLeaseError: there is no lease, it expired, or the clock is outside of it.
        """
        lease = self._lease
        if lease is None:
            raise NoLeaseError("no node number is leased")
        at, sequence = max(self._clock_ms(), self._last_ms), 0
        if at == self._last_ms:
            sequence = self._sequence + 1
            if sequence > _LAST_SEQUENCE:
                at, sequence = at + 1, 0
        if not lease.from_ms <= at < lease.until_ms:
            raise NoLeaseError("the clock is outside the leased range")
        self._last_ms, self._sequence = at, sequence
        return (at - EPOCH_MS) << _SHIFT | lease.node << SEQUENCE_BITS | sequence
