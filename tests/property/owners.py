"""The owners of records, in memory: what the feed and the fan-out ask, answered exactly."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from itertools import pairwise

from libs.contracts.internal.post import RankingFeatures
from libs.contracts.internal.user import AudienceMode, AudienceRecord
from libs.contracts.public import Author, Engagement, PostRecord
from libs.feedlists import Range
from services.feed.domain.feed import Followees, Relation
from services.feed.tests.world import record

PEOPLE = range(1, 5)


class Owners:
    """Implements the `Graph`, `Posts` and `Marks` of the feed and the `FollowerGraph` of fan-out."""

    def __init__(self) -> None:
        self.follows: set[tuple[int, int]] = set()
        self.fresh: set[tuple[int, int]] = set()
        """Follows and unmutes so young that readers still pull: their event may not be handled yet."""
        self.mutes: set[tuple[int, int]] = set()
        self.blocks: set[tuple[int, int]] = set()
        self.private: set[int] = set()
        self.requests: set[tuple[int, int]] = set()
        """To follow a private account, unanswered."""
        self.banned: set[int] = set()
        self.pull: set[int] = set()
        self.left_pull: set[int] = set()
        self.posts: dict[int, PostRecord] = {}
        self.deleted: set[int] = set()

    def shows(self, reader_id: int, author_id: int) -> bool:
        """True if posts of the author belong to the reader's feed."""
        edge = (reader_id, author_id)
        if reader_id == author_id:
            return True
        return edge in self.follows and edge not in self.mutes and author_id not in self.banned

    def eligible(self, reader_id: int) -> set[int]:
        """Return the posts that the reader's feed must show, sooner or later."""
        alive = (r for p, r in self.posts.items() if p not in self.deleted)
        return {r.post_id for r in alive if self.shows(reader_id, r.author_id)}

    def by(self, author_id: int) -> set[int]:
        """Return the posts of the author, deleted ones included."""
        return {post_id for post_id, record in self.posts.items() if record.author_id == author_id}

    def is_pulled(self, reader_id: int, author_id: int) -> bool:
        return (reader_id, author_id) in self.fresh or author_id in self.pull | self.left_pull

    async def followees(self, user_id: int) -> Followees:
        everyone = frozenset(a for a in PEOPLE if a != user_id and self.shows(user_id, a))
        pull = frozenset(a for a in everyone if self.is_pulled(user_id, a))
        return Followees(everyone, pull, pull - self.pull - self.left_pull)

    async def authors(self, user_ids: Sequence[int]) -> dict[int, Author]:
        return {u: Author(user_id=u, username=f"user_{u}", display_name=f"User {u}") for u in user_ids}

    async def relation(self, reader_id: int, author_id: int) -> Relation:
        edge = (reader_id, author_id)
        following = edge in self.follows
        is_closed = author_id in self.private and not following
        hidden = is_closed or author_id in self.banned or bool({edge, edge[::-1]} & self.blocks)
        return Relation(hidden, following, edge in self.mutes)

    async def records(self, post_ids: Sequence[int]) -> dict[int, PostRecord]:
        return {p: self.posts[p] for p in post_ids if p in self.posts and p not in self.deleted}

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        return [
            RankingFeatures(p, r.author_id, r.counts.like_count, 0, 0)
            for p, r in (await self.records(post_ids)).items()
        ]

    async def recent(
        self, author_ids: Iterable[int], after_id: int, before_id: int | None, limit_each: int
    ) -> dict[int, list[int]]:
        found = defaultdict[int, list[int]](list)
        wanted = set(author_ids)
        for post_id in sorted(self.posts.keys() - self.deleted, reverse=True):
            author_id = self.posts[post_id].author_id
            is_between = after_id < post_id and (before_id is None or post_id < before_id)
            if author_id in wanted and is_between and len(found[author_id]) < limit_each:
                found[author_id].append(post_id)
        return {author_id: post_ids for author_id, post_ids in found.items() if post_ids}

    async def of(self, _: int, post_ids: Sequence[int]) -> dict[int, Engagement]:
        return {post_id: Engagement() for post_id in post_ids}

    async def audiences(self, author_ids: Collection[int], followers_up_to: int) -> Mapping[int, AudienceRecord]:
        found = {}
        for author_id in author_ids:
            followers = self._followers(author_id)
            mode: AudienceMode = "pull" if author_id in self.pull else "push"
            few = followers if mode == "push" and len(followers) <= followers_up_to else None
            found[author_id] = AudienceRecord(
                user_id=author_id, follower_count=len(followers), mode=mode, followers=few
            )
        return found

    async def follower_ranges(self, author_id: int, size: int) -> Sequence[Range]:
        ids = self._followers(author_id)
        return list(pairwise([0, *ids[size - 1 : -1 : size], *ids[-1:]]))

    async def followers(self, author_id: int, within: Range) -> AsyncIterator[Sequence[int]]:
        for follower in self._followers(author_id):
            if within[0] < follower <= within[1]:
                yield [follower]

    def _followers(self, author_id: int) -> list[int]:
        return sorted(reader for reader, author in self.follows if author == author_id)

    def add(self, post_id: int, author_id: int, likes: int) -> None:
        self.posts[post_id] = record(post_id, author_id, likes)
