"""The newest posts of authors in Redis, read from the records once for all processes.

A request that finds no list takes a lease and asks the post service. The list is stored if the lease is still the same.
A new post ends the lease, so no list from before it is stored. Section 3.2.1 of Nishtala et al., Scaling Memcache at
Facebook (NSDI 2013), describes leases.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.stores.redis import get_many
from libs.invalidation.stamps import LAST_KNOWN_S, InvalidationStamps
from libs.telemetry.caches import count_reads

FRESH_S = 3_600  # limits the effect of a lost deletion (docs/figures.md)
REFRESH_S = FRESH_S - 600  # from this age on, one request renews a list while the others use it
LEASE_S = 2  # longer than a call to the post service
WAIT_S, POLL_S = 0.2, 0.02  # for a list that somebody else fills
Ask = Callable[[Sequence[int]], Awaitable[Mapping[int, Sequence[int]]]]
"""Reads post ids by author from the records, newest first, without authors who have none. Raises UnavailableError."""
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Recent:
    """Post ids by author, newest first, without authors that have none.

    `stale` means that posts may be missing, because the post service is unavailable.
    """

    by_author: Mapping[int, Sequence[int]]
    stale: bool = False


@dataclass(frozen=True, slots=True)
class _List:
    post_ids: Sequence[int]
    made_s: int


class RecentPosts:
    """Reads lists of newest posts, and fills those that are absent or old."""

    def __init__(self, redis: "Redis", stamps: InvalidationStamps, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._stamps = stamps
        self._clock = clock

    async def get(self, author_ids: Sequence[int], ask: Ask) -> Recent:
        """Return the lists; `ask` reads those that are absent. While it fails, lists of the last 24 h are used.

        Raises UnavailableError if neither Redis nor `ask` responds.
        """
        try:
            held, generation = await self._read(author_ids)
        except (RedisError, UnavailableError):
            count_reads("recent_posts", hits=0, misses=len(author_ids))
            return Recent(await ask(author_ids))
        misses = len(self._older(author_ids, held, FRESH_S))
        count_reads("recent_posts", hits=len(author_ids) - misses, misses=misses)
        if due := self._older(author_ids, held, REFRESH_S):
            try:
                held |= await self._renew(due, held, generation, ask)
            except UnavailableError:
                return _recent(held, stale=True)
        return _recent(held)

    async def _renew(
        self, due: Sequence[int], held: Mapping[int, _List], generation: bytes, ask: Ask
    ) -> dict[int, _List]:
        """Ask for the lists whose lease is free, and wait for those that others fill.

        After 0.2 s ask for these, too, without storing them. Nothing waits while a usable list is held.
        """
        token, made_s, found = secrets.token_hex(8), int(self._clock()), dict[int, _List]()
        try:
            leased, found = await self._lease(due, token, generation)
            if leased:
                asked = _lists(leased, await ask(leased), made_s)
                found |= asked
                await self._fill(asked, token, generation)
            waited_s = 0.0
            while (missing := self._older(due, {**held, **found}, FRESH_S)) and waited_s < WAIT_S:
                await asyncio.sleep(POLL_S)
                waited_s += POLL_S
                found |= (await self._read(missing))[0]
        except RedisError as error:
            log.warning("recent_posts_not_cached", error=repr(error))
            missing = self._older(due, {**held, **found}, FRESH_S)
        return found | (_lists(missing, await ask(missing), made_s) if missing else {})

    def _older(self, author_ids: Iterable[int], held: Mapping[int, _List], age_s: int) -> list[int]:
        limit_s = self._clock() - age_s
        return [a for a in author_ids if a not in held or held[a].made_s < limit_s]

    async def _read(self, author_ids: Sequence[int]) -> tuple[dict[int, _List], bytes]:
        """Return the stored lists of the present generation, and the generation."""
        keys = [self._stamps.generation_key, *map(self._stamps.recent, author_ids)]
        generation, *values = await get_many(self._redis, keys)
        generation = generation or await self._stamps.generation()
        return _parsed(author_ids, values, generation), generation

    async def _lease(
        self, author_ids: Sequence[int], token: str, generation: bytes
    ) -> tuple[list[int], dict[int, _List]]:
        """Take the free leases. Return the authors to ask for, and the lists that others filled in the meantime."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for author_id in author_ids:
                pipe.set(self._stamps.recent_lease(author_id), token, nx=True, ex=LEASE_S)
                pipe.get(self._stamps.recent(author_id))
            answers = await pipe.execute()
        filled = _parsed(author_ids, answers[1::2], generation)
        old = set(self._older(author_ids, filled, REFRESH_S))
        return [a for a, is_ours in zip(author_ids, answers[::2], strict=True) if is_ours and a in old], filled

    async def _fill(self, lists: Mapping[int, _List], token: str, generation: bytes) -> None:
        values = [(self._stamps.recent(a), (_packed(one, generation),)) for a, one in lists.items()]
        await self._stamps.functions.call_many("fill", values, LAST_KNOWN_S, token)


def _parsed(author_ids: Iterable[int], values: Iterable[bytes | None], generation: bytes) -> dict[int, _List]:
    """Return the values of this generation."""
    found = dict[int, _List]()
    for author_id, value in zip(author_ids, values, strict=True):
        if value is not None:
            made_under, made_s, post_ids = value.split(b"\n")
            if made_under == generation:
                found[author_id] = _List(_ids(post_ids[1:-1]), int(made_s))
    return found


def _ids(text: bytes) -> Sequence[int]:
    return list(map(int, text.split(b","))) if text else ()


def _packed(one: _List, generation: bytes) -> bytes:
    # Commas on both sides of an id, so that `forget` finds no part of another one.
    return b"%s\n%d\n,%s," % (generation, one.made_s, ",".join(map(str, one.post_ids)).encode())


def _lists(author_ids: Iterable[int], found: Mapping[int, Sequence[int]], made_s: int) -> dict[int, _List]:
    return {author_id: _List(found.get(author_id, ()), made_s) for author_id in author_ids}


def _recent(lists: Mapping[int, _List], *, stale: bool = False) -> Recent:
    return Recent({author_id: one.post_ids for author_id, one in lists.items() if one.post_ids}, stale)
