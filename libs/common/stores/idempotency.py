"""`Idempotency-Key`: the same key and body get the first answer again, also when the first try died half-way."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from cassandra.query import PreparedStatement

from libs.common.core.errors import ConflictError, KeyReusedError
from libs.common.core.ids import now_ms
from libs.common.stores.cassandra import Cassandra

STALE_MS = 30_000  # a try that has not answered by then is taken to be dead; one of slow uploads may still run


class StillRunningError(ConflictError):
    """An earlier run with this key has not ended."""

    code, title = "idempotency_in_progress", "The first request with this key is still running"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body of a success."""

    status: int
    body: bytes


Create = Callable[[int], Awaitable[Answer]]
"""Creates the resource under the id given to it; run again with the same id, be it at the same time, it must change
nothing."""


class Idempotency:
    """Reserves a key together with the id of what it creates, so that a repeat after a crash creates nothing new.

    A key runs once at a time in this process, before the store is asked: many conditional writes to one partition would
    keep one another from ending. What other processes run is seen in the store.
    """

    def __init__(self, cassandra: Cassandra, mint: Callable[[], int]) -> None:
        self._cassandra = cassandra
        self._mint = mint
        self._running: dict[tuple[int, str], bytes] = {}

    @classmethod
    async def open(cls, cassandra: Cassandra, mint: Callable[[], int]) -> Self:
        """Prepare the statements."""
        keys = cls(cassandra, mint)
        keys._reserve = await cassandra.prepare(
            "INSERT INTO idempotency_keys (account_id, key, body_hash, resource_id, started_ms)"
            " VALUES (?, ?, ?, ?, ?) IF NOT EXISTS",
            idempotent=False,
        )
        keys._read = await cassandra.prepare("SELECT * FROM idempotency_keys WHERE account_id = ? AND key = ?")
        keys._take_over = await cassandra.prepare(
            "UPDATE idempotency_keys USING TTL 86400 SET started_ms = ?"
            " WHERE account_id = ? AND key = ? IF started_ms = ?",
            idempotent=False,
        )
        keys._answer = await cassandra.prepare(
            "UPDATE idempotency_keys SET status = ?, answer = ? WHERE account_id = ? AND key = ? IF EXISTS",
            idempotent=False,
        )
        keys._release = await cassandra.prepare(
            "UPDATE idempotency_keys USING TTL 86400 SET started_ms = 0 WHERE account_id = ? AND key = ? IF EXISTS",
            idempotent=False,
        )
        return keys

    _reserve: PreparedStatement
    _read: PreparedStatement
    _take_over: PreparedStatement
    _answer: PreparedStatement
    _release: PreparedStatement

    async def run(self, account_id: int, key: str | None, request: bytes, create: Create) -> Answer:
        """The answer of `create`, or of the earlier run with this key. `request` tells routes and bodies apart.

        Raises:
            KeyReusedError: the key came with another request before.
            StillRunningError: an earlier run has not ended.
        """
        if key is None:
            return await create(self._mint())
        digest, running = hashlib.sha256(request).digest(), (account_id, key)
        if running in self._running:
            raise StillRunningError if self._running[running] == digest else KeyReusedError
        self._running[running] = digest
        try:
            return await self._run_alone(account_id, key, digest, create)
        finally:
            del self._running[running]

    async def _run_alone(self, account_id: int, key: str, digest: bytes, create: Create) -> Answer:
        started, resource_id = now_ms(), self._mint()
        if not await self._cassandra.applied(self._reserve, (account_id, key, digest, resource_id, started)):
            row = await self._cassandra.one(self._read, (account_id, key))
            if row is None or row.body_hash != digest:
                raise KeyReusedError
            if row.answer is not None:
                return Answer(row.status, row.answer)
            if row.started_ms > started - STALE_MS:
                raise StillRunningError
            if not await self._cassandra.applied(self._take_over, (started, account_id, key, row.started_ms)):
                raise StillRunningError
            resource_id = row.resource_id
        try:
            answer = await create(resource_id)
        except Exception:
            await self._cassandra.execute(self._release, (account_id, key))
            raise
        await self._cassandra.execute(self._answer, (answer.status, answer.body, account_id, key))
        return answer
