"""A small world in memory: users, posts, lists and cache as small real classes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from libs.common.contracts.media import Dimensions, MediaDocument
from libs.common.contracts.public import Author, Counts, Engagement, PostRecord
from libs.common.ids import first_id_at, id_time_ms, now_ms
from libs.common.runtime.errors import UnavailableError
from libs.common.runtime.pagination import Cursors
from libs.feedlists import CAP, FeedList
from services.feed.candidates import CandidateSource
from services.feed.domain import Followees
from services.feed.ports import CachedPage
from services.feed.service import FeedReader

MINUTE_MS = 60_000


class InMemoryGraph:
    def __init__(self) -> None:
        self.follows: dict[int, set[int]] = defaultdict(set)
        self.pull: set[int] = set()
        self.down = False

    async def followees(self, user_id: int) -> Followees:
        if self.down:
            raise UnavailableError
        followed = frozenset(self.follows[user_id])
        return Followees(followed, followed & self.pull)

    async def authors(self, user_ids: Sequence[int]) -> dict[int, Author]:
        return {u: Author(user_id=u, username=f"user_{u}", display_name=f"User {u}") for u in user_ids}


class InMemoryPosts:
    def __init__(self) -> None:
        self.all: dict[int, PostRecord] = {}
        self.calls = 0

    async def records(self, post_ids: Sequence[int]) -> dict[int, PostRecord]:
        return {p: self.all[p] for p in post_ids if p in self.all}

    async def recent(
        self, author_ids: Iterable[int], after_id: int, before_id: int | None, limit_each: int
    ) -> list[int]:
        self.calls += 1
        found: list[int] = []
        for author_id in author_ids:
            own = sorted((p for p, r in self.all.items() if r.author_id == author_id), reverse=True)
            found += [p for p in own if p > after_id and (before_id is None or p < before_id)][:limit_each]
        return found


class InMemoryMarks:
    def __init__(self) -> None:
        self.down = False

    async def of(self, _: int, post_ids: Sequence[int]) -> dict[int, Engagement]:
        if self.down:
            raise UnavailableError
        return {post_id: Engagement(like_count=1, is_liked=True) for post_id in post_ids}


class InMemoryLists:
    def __init__(self) -> None:
        self.lists: dict[int, tuple[set[int], bool, bool]] = {}

    async def read(self, user_id: int) -> FeedList | None:
        if user_id not in self.lists:
            return None
        held, complete, building = self.lists[user_id]
        return FeedList(tuple(sorted(held, reverse=True)), complete, building)

    async def begin(self, user_id: int) -> None:
        self.lists.setdefault(user_id, (set(), False, True))

    async def merge(self, user_id: int, post_ids: Sequence[int], *, whole: bool) -> bool:
        if user_id not in self.lists:
            return False
        held, complete, building = self.lists[user_id]
        union = sorted(held | set(post_ids), reverse=True)
        self.lists[user_id] = (set(union[:CAP]), (complete or whole) and len(union) <= CAP, building and not whole)
        return True

    async def remove(self, user_id: int, post_ids: Iterable[int]) -> None:
        if user_id in self.lists:
            self.lists[user_id][0].difference_update(post_ids)

    def push(self, user_id: int, post_id: int) -> None:
        if user_id in self.lists:
            self.lists[user_id][0].add(post_id)


class InMemoryCache:
    def __init__(self) -> None:
        self.sessions: dict[str, list[int]] = {}
        self.followees: dict[int, Followees] = {}

    async def page(self, reader_id: int, variant: str) -> CachedPage | None:
        return None

    async def stamp(self, reader_id: int) -> str:
        return ""

    async def keep_page(
        self, reader_id: int, variant: str, stamp: str, post_ids: Sequence[int], body: bytes
    ) -> None: ...

    async def keep_session(self, session_id: str, order: Sequence[int]) -> None:
        self.sessions[session_id] = list(order)

    async def session(self, session_id: str) -> list[int] | None:
        return self.sessions.get(session_id)

    async def keep_followees(self, user_id: int, followees: Followees) -> None:
        self.followees[user_id] = followees

    async def kept_followees(self, user_id: int) -> Followees | None:
        kept = self.followees.get(user_id)
        return kept and Followees(kept.all, kept.pull, stale=True)


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
    """Posts reach lists at once; what differs from the real system is only where things are kept."""

    def __init__(self) -> None:
        self.graph, self.posts, self.marks = InMemoryGraph(), InMemoryPosts(), InMemoryMarks()
        self.lists, self.cache = InMemoryLists(), InMemoryCache()
        self.source = CandidateSource(self.graph, self.posts, self.lists, self.cache, window_days=7)
        self.reader = FeedReader(
            self.source,
            self.graph,
            self.posts,
            self.marks,
            self.lists,
            self.cache,
            Cursors("secret"),
            "http://feedmill",
        )
        self._sequence = 0

    def post(self, author_id: int, minutes_ago: float = 0, likes: int = 0) -> int:
        self._sequence += 1
        post_id = first_id_at(int(now_ms() - minutes_ago * MINUTE_MS)) + self._sequence
        self.posts.all[post_id] = record(post_id, author_id, likes)
        if author_id not in self.graph.pull:
            for follower, followees in self.graph.follows.items():
                if author_id in followees:
                    self.lists.push(follower, post_id)
        return post_id
