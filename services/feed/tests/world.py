"""A feed service with fakes of its ports, which store users, posts, lists and pages in memory."""

import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from libs.common.core.errors import UnavailableError
from libs.common.core.fairness import FairSemaphore
from libs.common.core.ids import first_id_at, id_time_ms, now_ms
from libs.common.stores.rate import RateCheck
from libs.common.web.paging import Cursors
from libs.contracts.base import Payload
from libs.contracts.events import FollowDeleted
from libs.contracts.internal.post import RankingFeatures
from libs.contracts.media import Dimensions, MediaDocument
from libs.contracts.public import Author, Counts, Engagement, PostRecord
from libs.feedlists import CAP, FeedList, UnpushedRange
from libs.invalidation import FRESH_S, Ask, Invalidation, Recent
from libs.invalidation.table import invalidation_of
from services.feed.domain.feed import DeliveryPace, Followees, Relation
from services.feed.ports import (
    CachedPage,
    CacheLookup,
    OverallStamps,
    PageDependencies,
    PinnedOrder,
    Position,
    StoredFeed,
)
from services.feed.service.candidates import CandidateGatherer
from services.feed.service.followees import Readers
from services.feed.service.paginator import FeedPaginator
from services.feed.service.ranker import ScoreRanker
from services.feed.service.reader import FeedReader
from services.feed.service.sources import AuthorSource, ListSource
from services.feed.service.window import FeedWindow
from services.feed.stores.cached import CachedPosts, CachedProfiles

MINUTE_MS = 60_000


class InMemoryGraph:
    def __init__(self) -> None:
        self.follows: dict[int, set[int]] = defaultdict(set)
        self.pull: set[int] = set()
        self.banned: set[int] = set()
        self.asked_followees = 0
        self.down = False

    async def followees(self, user_id: int) -> Followees:
        if self.down:
            raise UnavailableError
        self.asked_followees += 1
        followed = frozenset(self.follows[user_id] - self.banned)
        return Followees(followed, followed & self.pull)

    async def relation(self, reader_id: int, author_id: int) -> Relation:
        return Relation(hidden=False, following=author_id in self.follows[reader_id], muted=False)

    async def authors(self, user_ids: Sequence[int]) -> dict[int, Author]:
        if self.down:
            raise UnavailableError
        return {u: Author(user_id=u, username=f"user_{u}", display_name=f"User {u}") for u in user_ids}


class InMemoryPosts:
    def __init__(self) -> None:
        self.all: dict[int, PostRecord] = {}
        self.calls = 0
        self.down = self.features_down = False

    async def records(self, post_ids: Sequence[int]) -> dict[int, PostRecord]:
        if self.down:
            raise UnavailableError
        return {p: self.all[p] for p in post_ids if p in self.all}

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        if self.features_down:
            raise UnavailableError
        records = (await self.records(post_ids)).values()
        return [
            RankingFeatures(r.post_id, r.author_id, r.counts.like_count, r.counts.comment_count, r.counts.save_count)
            for r in records
        ]

    async def recent(
        self, author_ids: Iterable[int], after_id: int, before_id: int | None, limit_each: int
    ) -> dict[int, list[int]]:
        if self.down:
            raise UnavailableError
        self.calls += 1
        found: dict[int, list[int]] = {}
        for author_id in author_ids:
            own = sorted((p for p, r in self.all.items() if r.author_id == author_id), reverse=True)
            if within := [p for p in own if p > after_id and (before_id is None or p < before_id)][:limit_each]:
                found[author_id] = within
        return found


class InMemoryEngagement:
    def __init__(self) -> None:
        self.likes, self.down = 1, False

    async def of(self, _: int, post_ids: Sequence[int]) -> dict[int, Engagement]:
        if self.down:
            raise UnavailableError
        return {post_id: Engagement(like_count=self.likes, is_liked=True) for post_id in post_ids}


class InMemoryLists:
    """Behaves like `FeedLists`: a list is building, complete, or cut off below its oldest entry."""

    def __init__(self) -> None:
        self.lists: dict[int, FeedList] = {}

    async def read(self, user_id: int) -> FeedList | None:
        return self.lists.get(user_id)

    async def begin(self, user_id: int) -> None:
        self.lists.setdefault(user_id, FeedList((), complete=False, building=True))

    async def merge(self, user_id: int, post_ids: Iterable[int], *, finish: bool) -> bool:
        found = self.lists.get(user_id)
        if found is None:
            return False
        is_cut = not (found.complete or found.building)
        union = sorted({*found.post_ids, *(p for p in post_ids if not is_cut or p >= found.post_ids[-1])}, reverse=True)
        building = found.building and not finish
        complete = not (is_cut or building) and len(union) < CAP
        self.lists[user_id] = FeedList(tuple(union[:CAP]), complete, building, found.merged_up_to)
        return True

    async def remove(self, user_id: int, post_ids: Iterable[int]) -> None:
        if found := self.lists.get(user_id):
            left = tuple(p for p in found.post_ids if p not in set(post_ids))
            self.lists[user_id] = replace(found, post_ids=left)

    async def merge_unpushed(self, user_id: int, post_ids: Sequence[int], gap_id: int) -> bool:
        await self.merge(user_id, post_ids, finish=False)
        self.lists[user_id] = replace(self.lists[user_id], merged_up_to=gap_id)
        return True

    async def push(self, user_id: int, post_id: int) -> None:
        await self.merge(user_id, [post_id], finish=False)


class InMemoryUnpushedRanges:
    def __init__(self) -> None:
        self.ranges: list[UnpushedRange] = []

    async def of(self, user_id: int) -> list[UnpushedRange]:
        return self.ranges


class InMemoryStamps:
    def __init__(self) -> None:
        self.stamps: dict[str, bytes] = {}
        self.visibility = set[int]()
        self.recent: dict[int, tuple[bytes, float, Sequence[int]]] = {}
        self.redis_generation = b"a"

    def activity(self, user_id: int) -> str:
        return f"of:{user_id}"

    def profile(self, user_id: int) -> str:
        return f"profile:{user_id}"

    def changed(self, entity_id: int) -> str:
        return f"outdated:{entity_id}"

    def changed_lately(self, entity_id: int) -> str:
        return f"changed:{entity_id}"

    async def generation(self) -> bytes:
        return self.redis_generation

    async def read(self, keys: Iterable[str]) -> list[bytes]:
        return [self.redis_generation + self.stamps.get(key, b"") for key in keys]

    async def exist(self, keys: Iterable[str]) -> list[bool]:
        return [key in self.stamps for key in keys]

    async def invalidate(self, payloads: Iterable[Payload]) -> None:
        await self.write(Invalidation.merge(map(invalidation_of, payloads)))

    async def write(self, invalidation: Invalidation) -> None:
        self.visibility |= set(invalidation.visibility)
        for author_id, _ in invalidation.posted:
            self.recent.pop(author_id, None)
        keys = [
            *map(self.activity, invalidation.active),
            *map(self.profile, invalidation.profiles),
            *(key(one) for one in invalidation.changed for key in (self.changed, self.changed_lately)),
            *(["any changed"] if invalidation.changed else []),
            *(["any profile"] if invalidation.profiles else []),
            *(["any followees"] if invalidation.followees else []),
        ]
        self.stamps |= dict.fromkeys(keys, secrets.token_bytes(8))

    def overall(self, reader_id: int) -> OverallStamps:
        parts = (f"of:{reader_id}", "any followees"), ("any changed",), ("any profile",)
        stamps = (b"/".join([self.redis_generation, *(self.stamps.get(key, b"-") for key in keys)]) for keys in parts)
        return OverallStamps(*stamps)


class InMemoryRecent:
    """Behaves like `RecentPosts`, without leases."""

    def __init__(self, stamps: InMemoryStamps, clock: Callable[[], float]) -> None:
        self._stamps = stamps
        self._clock = clock

    async def get(self, author_ids: Sequence[int], ask: Ask) -> Recent:
        generation, now_s, stored = self._stamps.redis_generation, self._clock(), self._stamps.recent
        held = {a: one for a in author_ids if (one := stored.get(a)) and one[0] == generation}
        due = [a for a in author_ids if a not in held or now_s - held[a][1] > FRESH_S]
        try:
            found = await ask(due) if due else {}
        except UnavailableError:
            return Recent({a: post_ids for a, (_, _, post_ids) in held.items() if post_ids}, stale=True)
        stored |= {a: (generation, now_s, found.get(a, ())) for a in due}
        return Recent({a: stored[a][2] for a in author_ids if stored[a][2]})


class FixedLoad:
    pace = DeliveryPace.NORMAL


class InMemoryCache:
    def __init__(self, lists: InMemoryLists, unpushed: InMemoryUnpushedRanges, stamps: InMemoryStamps) -> None:
        self._lists = lists
        self._unpushed = unpushed
        self._stamps = stamps
        self.down = False
        self.pinned: dict[str, PinnedOrder] = {}
        self.positions: dict[int, Position] = {}
        self.followees: dict[int, Followees] = {}
        self.page: CachedPage | None = None
        self.cached: list[tuple[str, bytes]] = []
        """The variant and the content of each page that was cached."""

    async def lookup(self, reader_id: int, variant: str, check: RateCheck | None = None) -> CacheLookup:
        return CacheLookup(self.page, "")

    async def pulled_seen(self, author_ids: Collection[int]) -> str:
        return ""

    async def cache_page(
        self, reader_id: int, variant: str, stamp: str, dependencies: PageDependencies, body: bytes
    ) -> None:
        self.cached.append((variant, body))

    async def recount_page(self, reader_id: int, variant: str, page: CachedPage, body: bytes) -> None:
        self.page = CachedPage(body, page.age_s)

    async def pin_order(self, reader_id: int, session_id: str, order: PinnedOrder) -> None:
        self.pinned[session_id] = order

    async def stored_feed(self, reader_id: int, session_id: str | None) -> StoredFeed:
        if self.down:
            raise UnavailableError
        pinned = self.pinned.get(session_id) if session_id else None
        listed, unpushed = await self._lists.read(reader_id), await self._unpushed.of(reader_id)
        return StoredFeed(listed, unpushed, pinned, self._stamps.overall(reader_id))

    async def save_position(self, reader_id: int, position: Position) -> None:
        self.positions[reader_id] = position

    async def position(self, reader_id: int) -> Position | None:
        return self.positions.get(reader_id)

    async def cache_followees(self, user_id: int, followees: Followees) -> None:
        self.followees[user_id] = followees

    async def forget_followee(self, user_id: int, followee_id: int) -> None:
        if cached := self.followees.get(user_id):
            self.followees[user_id] = replace(cached, all=cached.all - {followee_id}, pull=cached.pull - {followee_id})

    async def cached_followees(self, user_id: int) -> Followees | None:
        cached = self.followees.get(user_id)
        return cached and replace(cached, stale=True)


def record(post_id: int, author_id: int, likes: int = 0) -> PostRecord:
    document = MediaDocument(
        media_id=post_id,
        owner_id=author_id,
        paths={"thumbnail": "aa/1/2/thumbnail.webp"},
        dimensions=Dimensions(width=3, height=4),
        placeholder="L",
        dominant_color="#000000",
    )
    return PostRecord(
        post_id=post_id,
        author_id=author_id,
        media=(document,),
        caption="",
        hashtags=(),
        mentions=(),
        location=None,
        counts=Counts(like_count=likes),
        status="published",
        version=1,
        created_at=datetime.fromtimestamp(id_time_ms(post_id) / 1000, UTC),
    )


class World:
    """Composes the real services with the fakes. Posts are pushed to lists at once."""

    def __init__(self) -> None:
        self.graph, self.posts, self.engagement = InMemoryGraph(), InMemoryPosts(), InMemoryEngagement()
        self.lists, self.unpushed, self.stamps = InMemoryLists(), InMemoryUnpushedRanges(), InMemoryStamps()
        self.cache, self.now_s = InMemoryCache(self.lists, self.unpushed, self.stamps), 0.0
        self.delivery, self.ranking = FixedLoad(), FairSemaphore("ranking", 1)
        authors = CachedProfiles(self.graph, self.stamps, lambda: self.now_s)
        recent = InMemoryRecent(self.stamps, lambda: self.now_s)
        records = CachedPosts(self.posts, self.stamps, recent, lambda: self.now_s)
        self.window, self.readers = FeedWindow(7), Readers(self.graph, self.cache, lambda: self.now_s)
        self.list_source = ListSource(self.readers, self.posts, records, self.lists, self.window)
        author_source = AuthorSource(records, self.window)
        candidates = CandidateGatherer([self.list_source, author_source], self.posts, self.window)
        self.reader = FeedReader(
            FeedPaginator(candidates, ScoreRanker(), self.posts, records, self.lists, self.cache),
            self.readers,
            candidates,
            self.posts,
            authors,
            self.engagement,
            self.cache,
            self.delivery,
            Cursors("secret"),
            "http://feedmill",
            self.ranking,
        )
        self._sequence = 0

    async def unfollow(self, reader_id: int, author_id: int) -> None:
        self.graph.follows[reader_id].discard(author_id)
        await self.stamps.invalidate([FollowDeleted(follower_id=reader_id, followee_id=author_id)])

    async def post(self, author_id: int, minutes_ago: float = 0, likes: int = 0, *, pushed: bool = True) -> int:
        self._sequence += 1
        post_id = first_id_at(int(now_ms() - minutes_ago * MINUTE_MS)) + self._sequence
        self.posts.all[post_id] = record(post_id, author_id, likes)
        await self.stamps.write(Invalidation(active=[author_id], posted=[(author_id, post_id)]))
        if pushed and author_id not in self.graph.pull:
            for follower, followees in self.graph.follows.items():
                if author_id in followees:
                    await self.lists.push(follower, post_id)
        return post_id
