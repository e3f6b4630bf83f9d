"""`Idempotency-Key`: a repeated request with the same key and body gets the first answer, even after a crash."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from libs.common.core.errors import ConflictError, KeyReusedError
from libs.common.core.ids import now_ms
from libs.common.stores.cassandra import Cassandra, CassandraStore

STALE_MS = 30_000  # a request without an answer after this time counts as dead, though a slow upload may still run
KEPT_FAILURES = 10_000  # the oldest is dropped first: a repeat of it then waits until it is stale


class StillRunningError(ConflictError):
    """The first request with the same `Idempotency-Key` is not finished yet."""

    code, title = "idempotency_in_progress", "The first request with this key is still running"


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: status and JSON body."""

    status: int
    body: bytes


_Request = tuple[int, str]  # account id and key


@dataclass(frozen=True, slots=True)
class Reservation:
    """The id of the new resource. With `is_retry`, an earlier request may have created it."""

    resource_id: int
    is_retry: bool


Create = Callable[[Reservation], Awaitable[Answer]]
"""Creates the reserved resource. It must be idempotent, also when it runs concurrently."""


class Idempotency(CassandraStore):
    """Reserves a key together with the id of the new resource, so that a repeat after a crash creates no second one.

    A process refuses concurrent requests with one key without asking the store, because many lightweight transactions
    on one partition would delay each other. The store protects against other processes.

    A request that fails while the store is unavailable cannot release its key. The process remembers when the request
    started, and lets a repeat take the key over at once.
    """

    cql = {
        "reserve": (
            "INSERT INTO idempotency_keys (account_id, key, body_hash, resource_id, started_ms)"
            " VALUES (?, ?, ?, ?, ?) IF NOT EXISTS"
        ),
        "read": "SELECT * FROM idempotency_keys WHERE account_id = ? AND key = ?",
        "take_over": (
            "UPDATE idempotency_keys USING TTL 86400 SET started_ms = ?"
            " WHERE account_id = ? AND key = ? IF started_ms = ?"
        ),
        "answer": "UPDATE idempotency_keys SET status = ?, answer = ? WHERE account_id = ? AND key = ? IF EXISTS",
        "release": (
            "UPDATE idempotency_keys USING TTL 86400 SET started_ms = 0 WHERE account_id = ? AND key = ? IF EXISTS"
        ),
    }

    def __init__(self, cassandra: Cassandra, mint: Callable[[], int]) -> None:
        super().__init__(cassandra)
        self._mint = mint
        self._running: dict[_Request, bytes] = {}
        self._failed: dict[_Request, set[int]] = {}

    async def run(self, account_id: int, key: str | None, request: bytes, create: Create) -> Answer:
        """The answer of `create`, or of the earlier request with this key. `request` contains the route and the body.

        Raises:
            KeyReusedError: the key was used for a different request.
            StillRunningError: an earlier request with the key has no answer yet.
        """
        if key is None:
            return await create(Reservation(self._mint(), is_retry=False))
        digest, running = hashlib.sha256(request).digest(), (account_id, key)
        if running in self._running:
            raise StillRunningError if self._running[running] == digest else KeyReusedError
        self._running[running] = digest
        started = now_ms()
        try:
            answer = await self._run_alone(account_id, key, digest, create, started)
        except (StillRunningError, KeyReusedError):
            raise
        except BaseException:  # also when the request is cancelled at its deadline
            self._remember_failure(running, started)
            raise
        finally:
            del self._running[running]
        self._failed.pop(running, None)
        return answer

    def _remember_failure(self, failed: _Request, started: int) -> None:
        self._failed.setdefault(failed, set()).add(started)
        if len(self._failed) > KEPT_FAILURES:
            del self._failed[next(iter(self._failed))]

    async def _run_alone(self, account_id: int, key: str, digest: bytes, create: Create, started: int) -> Answer:
        reserved = Reservation(self._mint(), is_retry=False)
        if not await self._applied("reserve", account_id, key, digest, reserved.resource_id, started):
            row = await self._row("read", account_id, key)
            if row is None or row.body_hash != digest:
                raise KeyReusedError
            if row.answer is not None:
                return Answer(row.status, row.answer)
            failed_here = row.started_ms in self._failed.get((account_id, key), ())
            if row.started_ms > started - STALE_MS and not failed_here:
                raise StillRunningError
            if not await self._applied("take_over", started, account_id, key, row.started_ms):
                raise StillRunningError
            reserved = Reservation(row.resource_id, is_retry=True)
        try:
            answer = await create(reserved)
        except Exception:
            await self._applied("release", account_id, key)
            raise
        await self._applied("answer", answer.status, answer.body, account_id, key)
        return answer
