"""The progress of delivering posts, and of removing deleted posts."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

from redis.asyncio import Redis

from libs.common.core.ids import now_ms
from libs.common.stores.redis import translates_errors
from libs.common.stores.redis_functions import Functions
from libs.feedlists.lists import LIBRARY

LIFE_S = 7 * 86_400
Mode = Literal["push", "slow", "pull", "skipped"]
Range = tuple[int, int]
_DEAD_POST = "dead:"
_YES = ord("1")


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """The delivery of one post, or the removal of a deleted one.

    `delivered` counts feeds that have the post, or no longer have the deleted one. `retries` counts repeated attempts
    of chunks. `dead_letters` counts chunks, and the event of the post, that are in the dead letters and not done since.
    With the mode `skipped`, backpressure excluded the post from some or all feeds: it is in an unpushed range, and
    `followers` may be 0. `finished_at` is None while chunks are unfinished.
    """

    mode: Mode
    followers: int
    chunks: int
    chunks_done: int
    delivered: int
    started_at: datetime
    finished_at: datetime | None
    retries: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class ChunkProgress:
    """The progress of a chunk: followers up to `after_id` are done, and `delivered` of them have a feed."""

    after_id: int
    delivered: int
    is_done: bool


@translates_errors
class DeliveryProgress:
    """Stores the progress in one Redis hash per post. Values are absolute, so all writes may be repeated.

    The hash has `plan` (the bounds of the chunks), and for the chunk that starts after id n: `tries:n`, `at:n`
    (last follower-delivered), `done:n` (delivered-time), `dead:n`. `dead:` stands for the event of the post. Times are
    in ms since the Unix epoch. A finished chunk stays finished, whatever a late worker writes.
    """

    _NAME = "ledger"

    def __init__(self, redis: "Redis", prefix: str) -> None:
        self._redis = redis
        self._functions = Functions(redis, LIBRARY)
        self._prefix = prefix

    async def planned(
        self, post_id: int, *, mode: Mode, follower_count: int, chunks: Sequence[Range] = ()
    ) -> Sequence[Range]:
        """Store the plan, adjoining ranges of followers, unless there is one; the chunks of the stored plan."""
        key = self._key(post_id)
        bounds = ",".join(str(bound) for bound in (*(after for after, _ in chunks[:1]), *(end for _, end in chunks)))
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hsetnx(key, "plan", bounds)
            pipe.hget(key, "plan")
            _state(pipe, key, mode, follower_count)
            pipe.hdel(key, _DEAD_POST)
            _, plan, *_ = await pipe.execute()
        return _ranges(plan)

    async def delivered(self, counts: Iterable[tuple[int, int, int]]) -> None:
        """Note posts that were delivered without chunks, each as (post id, number of followers, delivered)."""
        calls = [(self._key(post_id), (follower_count, delivered)) for post_id, follower_count, delivered in counts]
        await self._functions.call_many("delivered", calls, LIFE_S, now_ms())

    async def delivered_before(self, post_ids: Iterable[int]) -> set[int]:
        """The posts that were delivered without chunks, and are not in the dead letters."""
        calls = [(post_id, (self._key(post_id), ())) for post_id in dict.fromkeys(post_ids)]
        answers: list[bytes] = await self._functions.call_many("delivered_before", [call for _, call in calls])
        return {post_id for (post_id, _), flag in zip(calls, b"".join(answers), strict=True) if flag == _YES}

    async def skipped(self, post_ids: Iterable[int]) -> None:
        """Note posts that were not pushed because of backpressure."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for post_id in post_ids:
                _state(pipe, self._key(post_id), "skipped")
            await pipe.execute()

    async def begun(self, post_id: int, chunk_after_id: int) -> ChunkProgress:
        """Note that a worker starts the chunk; the progress of earlier attempts."""
        key = self._key(post_id)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(key, f"at:{chunk_after_id}", f"done:{chunk_after_id}")
            pipe.hincrby(key, f"tries:{chunk_after_id}", 1)
            pipe.expire(key, LIFE_S)
            (at, done), *_ = await pipe.execute()
        if done:
            return ChunkProgress(chunk_after_id, _pair(done)[0], is_done=True)
        after_id, delivered = _pair(at) if at else (chunk_after_id, 0)
        return ChunkProgress(after_id, delivered, is_done=False)

    async def progressed(self, post_id: int, chunk_after_id: int, *, after_id: int, delivered: int, done: bool) -> None:
        """Note that the chunk's followers up to `after_id` are done, with `delivered` feeds since its start."""
        key = self._key(post_id)
        async with self._redis.pipeline(transaction=False) as pipe:
            if done:
                pipe.hsetnx(key, f"done:{chunk_after_id}", f"{delivered}-{now_ms()}")
            else:
                pipe.hset(key, f"at:{chunk_after_id}", f"{after_id}-{delivered}")
            pipe.expire(key, LIFE_S)
            await pipe.execute()

    async def died(self, post_id: int, chunk_after_id: int | None = None) -> None:
        """Note that the chunk, or without one the event of the post, was moved to the dead letters."""
        key = self._key(post_id)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hset(key, _DEAD_POST if chunk_after_id is None else f"dead:{chunk_after_id}", 1)
            pipe.hsetnx(key, "mode", "push")
            pipe.hsetnx(key, "started_at", now_ms())
            pipe.expire(key, LIFE_S)
            await pipe.execute()

    async def of(self, post_id: int) -> DeliveryStatus | None:
        """The delivery of a post; None if it was never planned, or more than 7 days ago."""
        raw: Any = await self._redis.hgetall(self._key(post_id))
        fields: dict[str, bytes] = {name.decode(): value for name, value in raw.items()}
        return _delivery_state(fields) if "mode" in fields else None

    def _key(self, post_id: int) -> str:
        return f"{self._prefix}{self._NAME}:{post_id}"


@translates_errors
class RemovalProgress(DeliveryProgress):
    """Stores the progress of removals in the same way. Posts noted here are not pushed any more."""

    _NAME = "removal"

    async def note(self, post_id: int, author_id: int) -> None:
        """Note that the post was deleted. `of` returns None until the removal is planned."""
        key = self._key(post_id)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hset(key, "author", author_id)
            pipe.hsetnx(key, "started_at", now_ms())
            pipe.expire(key, LIFE_S)
            await pipe.execute()

    async def known(self, post_ids: Collection[int]) -> set[int]:
        """The posts that were noted as deleted. One command finds the usual answer, that none was."""
        if not post_ids or not await self._redis.exists(*map(self._key, post_ids)):
            return set()
        async with self._redis.pipeline(transaction=False) as pipe:
            for post_id in post_ids:
                pipe.exists(self._key(post_id))
            found = await pipe.execute()
        return {post_id for post_id, is_there in zip(post_ids, found, strict=True) if is_there}

    async def author(self, post_id: int) -> int | None:
        """The author of a deleted post; None if it was not deleted, or more than 7 days ago."""
        raw = await self._redis.hget(self._key(post_id), "author")
        return None if raw is None else int(raw)


def _state(pipe: Any, key: str, mode: Mode, follower_count: int | None = None) -> None:
    pipe.hset(key, "mode", mode)
    if follower_count is not None:
        pipe.hset(key, "followers", follower_count)
    pipe.hsetnx(key, "started_at", now_ms())
    pipe.expire(key, LIFE_S)


def _delivery_state(fields: dict[str, bytes]) -> DeliveryStatus:
    by_kind: dict[str, dict[str, bytes]] = {"at": {}, "done": {}, "tries": {}, "dead": {}}
    for name, value in fields.items():
        kind, colon, chunk = name.partition(":")
        if colon:
            by_kind[kind][chunk] = value
    done = [_pair(value) for value in by_kind["done"].values()]
    open_ = [_pair(value) for chunk, value in by_kind["at"].items() if chunk not in by_kind["done"]]
    dead_letters = len(by_kind["dead"].keys() - by_kind["done"].keys())
    chunks = len(_ranges(fields.get("plan", b"")))
    started_ms = int(fields["started_at"])
    is_finished = len(done) >= chunks and not dead_letters
    finished_ms = max([started_ms, *(ms for _, ms in done)]) if is_finished else None
    mode: Any = fields["mode"].decode()
    return DeliveryStatus(
        mode=mode,
        followers=int(fields.get("followers", 0)),
        chunks=chunks,
        chunks_done=len(done),
        delivered=sum(delivered for delivered, _ in done) + sum(delivered for _, delivered in open_),
        started_at=_time(started_ms),
        finished_at=None if finished_ms is None else _time(finished_ms),
        retries=sum(int(tries) - 1 for tries in by_kind["tries"].values()),
        dead_letters=dead_letters,
    )


def _ranges(plan: bytes) -> list[Range]:
    return list(pairwise(int(bound) for bound in plan.split(b",") if bound))


def _pair(value: bytes) -> tuple[int, int]:
    first, second = value.split(b"-")
    return int(first), int(second)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
