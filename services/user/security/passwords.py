"""Argon2id hashes, computed on threads."""

import asyncio
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from argon2 import PasswordHasher as Argon2
from argon2.exceptions import VerificationError

from libs.common.core.context import caller
from libs.common.core.fairness import CallerShares, FairSemaphore
from libs.common.core.settings import Settings

MAX_CONCURRENT = 2  # each takes 64 MiB and a core for about 50 ms
QUEUE = 8  # a wait of 0.2 s; further calls are rejected at once
WAIT_S = 2.0  # times timeout_factor
SHARES = CallerShares(account=2, address=8)  # when the queue is full, addresses with fewer calls are preferred anyway
NICENESS = 10  # each hash runs four threads, which at normal priority would leave the event loop a ninth of the CPU
T = TypeVar("T")


def hashing_gate(settings: Settings) -> FairSemaphore:
    """Return the semaphore for all password hashing of a process."""
    shares = SHARES.if_limited(settings.rate_limits)
    return FairSemaphore("passwords", MAX_CONCURRENT, shares, queue=QUEUE, wait_s=WAIT_S * settings.timeout_factor)


class Argon2Hasher:
    """Implements `ports.PasswordHasher`. Raises OverloadedError and TooManyInProgressError as `FairSemaphore` does."""

    def __init__(self, argon2: Argon2, decoy_hash: str, gate: FairSemaphore) -> None:
        self._argon2 = argon2
        self._decoy_hash = decoy_hash
        self._gate = gate
        # On Linux, niceness is per thread, and the threads that Argon2 starts inherit it.
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT, "passwords", os.nice, (NICENESS,))

    @classmethod
    async def create(cls, gate: FairSemaphore, argon2: Argon2 | None = None) -> Self:
        """Create a hasher with a decoy hash, so that a login to an unknown account takes as long as to a known one."""
        argon2 = argon2 or Argon2()
        return cls(argon2, await asyncio.to_thread(argon2.hash, secrets.token_urlsafe(32)), gate)

    async def hash(self, password: str) -> str:
        return await self._on_thread(lambda: self._argon2.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        return await self._on_thread(lambda: self._verify(password_hash or self._decoy_hash, password))

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._argon2.verify(password_hash, password)
        except VerificationError:
            return False

    async def _on_thread(self, work: Callable[[], T]) -> T:
        """Run `work` on a thread.

        A thread cannot be stopped, so it uses its slot until it ends, even after a cancellation.
        """
        slot = await self._gate.acquire(caller())
        result = asyncio.get_running_loop().run_in_executor(self._threads, work)
        result.add_done_callback(lambda _: slot.release())
        return await asyncio.shield(result)
