"""Argon2id on threads."""

import asyncio
import secrets
from typing import Self

from argon2 import PasswordHasher as Argon2
from argon2.exceptions import VerificationError

from libs.common.runtime.errors import UnavailableError

AT_ONCE = 2  # each takes 64 MiB and a core for some 50 ms
MAX_WAIT_S = 5.0  # whoever would wait longer for a turn is told to come back


class Argon2Hasher:
    """Implements `ports.PasswordHasher`."""

    def __init__(self, argon2: Argon2, nobody: str) -> None:
        self._argon2 = argon2
        self._nobody = nobody
        self._turns = asyncio.Semaphore(AT_ONCE)

    @classmethod
    async def create(cls, argon2: Argon2 | None = None) -> Self:
        """With a hash of nobody's password, so that an unknown login takes as long as a known one."""
        argon2 = argon2 or Argon2()
        return cls(argon2, await asyncio.to_thread(argon2.hash, secrets.token_urlsafe(32)))

    async def hash(self, password: str) -> str:
        """See the port."""
        await self._turn()
        try:
            return await asyncio.to_thread(self._argon2.hash, password)
        finally:
            self._turns.release()

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """See the port."""
        await self._turn()
        try:
            return await asyncio.to_thread(self._verify, password_hash or self._nobody, password)
        finally:
            self._turns.release()

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._argon2.verify(password_hash, password)
        except VerificationError:
            return False

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                await self._turns.acquire()
        except TimeoutError as error:
            raise UnavailableError("too many are signing in just now") from error
