"""The stored feed, cached pages, positions and followees in Redis.

The keys of one reader are in the slot of their feed list.
"""

import hashlib
import time
from array import array
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis, RedisCluster

from libs.common.stores.rate import RateCheck
from libs.common.stores.redis import translates_errors
from libs.feedlists import FeedLists, UnpushedRanges
from libs.invalidation import InvalidationStamps
from services.feed.domain.feed import Followees
from services.feed.ports import (
    CachedPage,
    CacheLookup,
    OverallStamps,
    PageDependencies,
    PinnedOrder,
    Position,
    StoredFeed,
)

POSITION_S = 7 * 86_400  # the post is no longer in the window then
FOLLOWEES_S = 86_400  # the maximum age of followees while the graph is unavailable (docs/figures.md)
_NONE = b"-"
_INT64 = "q"


@dataclass(frozen=True, slots=True)
class _PageStamps:
    """The stamps that a first page depends on.

    `own` combines the reader's list and activity and the generation of Redis. `changed` is the stamp of the last change
    of any post or author. `pulled` is the stamp of the last post of any pulled author.
    """

    own: bytes
    changed: bytes
    pulled: bytes

    def pack(self) -> str:
        return b"\n".join((self.own, self.changed, self.pulled)).decode()


@translates_errors
class RedisFeedCache:
    """Implements `ports.Cache`."""

    def __init__(
        self,
        redis: "Redis",
        lists: FeedLists,
        unpushed: UnpushedRanges,
        stamps: InvalidationStamps,
        page_s: int,
        session_s: int,
    ) -> None:
        self._redis = redis
        self._lists = lists
        self._unpushed = unpushed
        self._stamps = stamps
        self._page_s = page_s
        self._session_s = session_s

    async def lookup(self, reader_id: int, variant: str, check: RateCheck | None = None) -> CacheLookup:
        raw, stamps = await self._read(reader_id, variant, check)
        page = await self._valid(raw, stamps) if raw is not None and self._page_s else None
        return CacheLookup(page, stamps.pack())

    async def _read(self, reader_id: int, variant: str, check: RateCheck | None) -> tuple[bytes | None, _PageStamps]:
        stamps, lists, is_cluster = self._stamps, self._lists, isinstance(self._redis, RedisCluster)
        keys = [
            lists.late_key(reader_id),
            stamps.activity(reader_id),
            stamps.generation_key,
            stamps.all_pages,
            stamps.any_followees,
            stamps.any_changed,
            stamps.any_pulled,
            lists.key(reader_id, f"page-{variant}"),
        ]
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.lindex(lists.key(reader_id), -1)
            if is_cluster:  # the keys are on several nodes, which MGET does not span
                for key in keys:
                    pipe.get(key)
            else:
                pipe.mget(keys)
            if check is not None:
                check.queue(pipe)
            tail, *answers = await pipe.execute()
        found, counted = (answers[: len(keys)], answers[len(keys) :]) if is_cluster else (answers[0], answers[1:])
        if check is not None:
            check.settle(counted)
        late, activity, generation, all_pages, followees, changed, pulled, page = found
        generation = generation or await stamps.generation()
        own = _joined(tail, late, activity, generation, all_pages, followees)
        return page, _PageStamps(own, changed or _NONE, pulled or _NONE)

    async def _valid(self, raw: bytes, now: _PageStamps) -> CachedPage | None:
        counted_s, dependencies = raw.split(b"\n", 1)
        made_s, own, changed, pulled, relied_on, authors, pulled_seen, body = dependencies.split(b"\n", 7)
        if own != now.own:
            return None
        if changed != now.changed and any(await self._stamps.exist(map(self._stamps.changed, _ids(relied_on)))):
            return None
        if pulled != now.pulled and pulled_seen.decode() != await self.pulled_seen(_ids(authors)):
            return None
        return CachedPage(body, _age_s(made_s), _age_s(counted_s), dependencies[: -len(body)])

    async def stored_feed(self, reader_id: int, session_id: str | None) -> StoredFeed:
        stamps = self._stamps
        async with self._redis.pipeline(transaction=False) as pipe:
            self._lists.queue_read(pipe, reader_id)
            pipe.hgetall(self._unpushed.key_of(reader_id))
            for key in (
                stamps.generation_key,
                stamps.activity(reader_id),
                stamps.any_followees,
                stamps.any_changed,
                stamps.any_profile,
            ):
                pipe.get(key)
            if session_id is not None:
                pipe.getex(self._session_key(reader_id, session_id), ex=self._session_s)
            (
                listed,
                merged_up_to,
                _,
                ranges,
                generation,
                activity,
                followees,
                changed,
                profile,
                *pinned,
            ) = await pipe.execute()
        generation = generation or await stamps.generation()
        return StoredFeed(
            self._lists.parse(listed, merged_up_to),
            self._unpushed.parse(ranges),
            _pinned_order(pinned[0]) if pinned and pinned[0] else None,
            OverallStamps(
                followees=_joined(generation, activity, followees),
                records=_joined(generation, changed),
                profiles=_joined(generation, profile),
            ),
        )

    async def pulled_seen(self, author_ids: Collection[int]) -> str:
        seen = await self._stamps.read([self._stamps.activity(author_id) for author_id in author_ids])
        return hashlib.blake2b(b"/".join(seen), digest_size=16).hexdigest()

    async def cache_page(
        self, reader_id: int, variant: str, stamp: str, dependencies: PageDependencies, body: bytes
    ) -> None:
        if self._page_s:
            ids = (",".join(map(str, ids)) for ids in (dependencies.relied_on, dependencies.pulled))
            now_s = str(int(time.time()))
            head = "\n".join((now_s, now_s, stamp, *ids, dependencies.pulled_seen, ""))
            await self._redis.set(self._lists.key(reader_id, f"page-{variant}"), head.encode() + body, ex=self._page_s)

    async def recount_page(self, reader_id: int, variant: str, page: CachedPage, body: bytes) -> None:
        value = b"%d\n%s%s" % (time.time(), page.dependencies, body)
        left_s = max(1, self._page_s - page.age_s)
        await self._redis.set(self._lists.key(reader_id, f"page-{variant}"), value, xx=True, ex=left_s)

    async def pin_order(self, reader_id: int, session_id: str, order: PinnedOrder) -> None:
        packed = array(_INT64, [order.floor, *order.post_ids]).tobytes()
        await self._redis.set(self._session_key(reader_id, session_id), packed, ex=self._session_s)

    def _session_key(self, reader_id: int, session_id: str) -> str:
        return self._lists.key(reader_id, f"session-{session_id}")

    async def save_position(self, reader_id: int, position: Position) -> None:
        value = f"{position.session_id} {position.post_id}"
        await self._redis.set(self._lists.key(reader_id, "position"), value, ex=POSITION_S)

    async def position(self, reader_id: int) -> Position | None:
        raw: Any = await self._redis.get(self._lists.key(reader_id, "position"))
        if raw is None:
            return None
        session_id, post_id = raw.decode().split()
        return Position(session_id, int(post_id))

    async def cache_followees(self, user_id: int, followees: Followees) -> None:
        value = orjson.dumps([list(followees.all), list(followees.pull), list(followees.fresh)])
        await self._redis.set(self._lists.key(user_id, "followees"), value, ex=FOLLOWEES_S)

    async def forget_followee(self, user_id: int, followee_id: int) -> None:
        key = self._lists.key(user_id, "followees")
        if raw := await self._redis.get(key):
            left = [[one for one in ids if one != followee_id] for ids in orjson.loads(raw)]
            await self._redis.set(key, orjson.dumps(left), xx=True, keepttl=True)

    async def cached_followees(self, user_id: int) -> Followees | None:
        raw = await self._redis.get(self._lists.key(user_id, "followees"))
        if raw is None:
            return None
        everyone, pull, fresh = map(frozenset, orjson.loads(raw))
        return Followees(everyone, pull, fresh, stale=True)


def _joined(*stamps: bytes | None) -> bytes:
    return b"/".join(stamp or _NONE for stamp in stamps)


def _age_s(at_s: bytes) -> int:
    return max(0, int(time.time()) - int(at_s))


def _pinned_order(packed: bytes) -> PinnedOrder:
    numbers: array[int] = array(_INT64)
    numbers.frombytes(packed)
    floor, *post_ids = numbers.tolist()
    return PinnedOrder(floor, post_ids)


def _ids(text: bytes) -> list[int]:
    return [int(one) for one in text.split(b",") if one]
