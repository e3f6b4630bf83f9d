"""Argon2id on threads."""

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

AT_ONCE = 2  # each takes 64 MiB and a core for some 50 ms
QUEUE = 8  # a wait of 0.2 s; who comes after these is refused at once
WAIT_S = 2.0  # times timeout_factor
SHARES = CallerShares(account=2, address=8)  # in a full queue an address gives way to others anyway
LESS_URGENT = 10  # nice: each hash has four threads of its own, which would leave the event loop a ninth of the CPU
T = TypeVar("T")


def hashing_gate(settings: Settings) -> FairSemaphore:
    """What all hashing of a process goes through."""
    shares = SHARES.if_limited(settings.rate_limits)
    return FairSemaphore("passwords", AT_ONCE, shares, queue=QUEUE, wait_s=WAIT_S * settings.timeout_factor)


class Argon2Hasher:
    """Implements `ports.PasswordHasher`. Raises OverloadedError and TooManyInProgressError as `FairSemaphore` does."""

    def __init__(self, argon2: Argon2, nobody: str, gate: FairSemaphore) -> None:
        self._argon2 = argon2
        self._nobody = nobody
        self._gate = gate
        # On Linux a thread has a priority of its own, and those that it starts inherit it.
        self._threads = ThreadPoolExecutor(AT_ONCE, "passwords", os.nice, (LESS_URGENT,))

    @classmethod
    async def create(cls, gate: FairSemaphore, argon2: Argon2 | None = None) -> Self:
        """With a hash of nobody's password, so that an unknown login takes as long as a known one."""
        argon2 = argon2 or Argon2()
        return cls(argon2, await asyncio.to_thread(argon2.hash, secrets.token_urlsafe(32)), gate)

    async def hash(self, password: str) -> str:
        """See the port."""
        return await self._on_thread(lambda: self._argon2.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """See the port."""
        return await self._on_thread(lambda: self._verify(password_hash or self._nobody, password))

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._argon2.verify(password_hash, password)
        except VerificationError:
            return False

    async def _on_thread(self, work: Callable[[], T]) -> T:
        """A thread can't be stopped, so the slot is in use until it ends, whether or not anybody still waits for it."""
        place = await self._gate.acquire(caller())
        result = asyncio.get_running_loop().run_in_executor(self._threads, work)
        result.add_done_callback(lambda _: place.release())
        return await asyncio.shield(result)
