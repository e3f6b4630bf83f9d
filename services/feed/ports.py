"""Ports: the stores and services that the feed depends on."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from libs.common.core.errors import UnavailableError
from libs.common.stores.rate import RateCheck
from libs.contracts.base import Payload
from libs.contracts.internal.post import RankingFeatures
from libs.contracts.public import Author, Engagement, PostRecord
from libs.feedlists import DeliveryStatus, FeedList, UnpushedRange
from libs.invalidation import Ask, Recent
from services.feed.domain.feed import Candidates, DeliveryPace, Followees, Reader, Relation, Source
from services.feed.domain.ranking import Score

T = TypeVar("T")
CACHED_S = 60  # records, profiles and followees in memory; also bounds the effect of a stamp that Redis lost


@dataclass(frozen=True, slots=True)
class Partial(Generic[T]):
    """Values by id.

    `stale` means that their owner is unavailable: these are the last known values, and some may be missing.
    """

    values: dict[int, T]
    stale: bool = False

    def complete(self) -> dict[int, T]:
        """Return the values. Raises UnavailableError if they are stale."""
        if self.stale:
            raise UnavailableError
        return self.values


@dataclass(frozen=True, slots=True)
class PinnedOrder:
    """The order that a feed session shows. It contains all posts at or above the id `floor` when the session began."""

    floor: int
    post_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class OverallStamps:
    """Stamps that change with any value of a kind, so that cached values need no check while they stay the same.

    `followees` is for the reader's followees, `records` for all posts, `profiles` for all authors.
    """

    followees: bytes
    records: bytes
    profiles: bytes


@dataclass(frozen=True, slots=True)
class StoredFeed:
    """What Redis stores of one reader's feed, read in one round trip.

    `pinned` is the order of the session that was asked for, or None if there is none.
    """

    listed: FeedList | None
    unpushed: Sequence[UnpushedRange]
    pinned: PinnedOrder | None
    stamps: OverallStamps


@dataclass(frozen=True, slots=True)
class ReaderState(Reader):
    """A reader, and what Redis stored of the feed when the read began; None while Redis is unavailable."""

    stored: StoredFeed | None

    @property
    def pinned(self) -> PinnedOrder | None:
        """The order of the session that was asked for, if Redis has it."""
        return self.stored.pinned if self.stored else None


class CandidateSource(Protocol):
    """Proposes posts for a feed. Raises UnavailableError only when it knows nothing at all."""

    async def candidates(self, reader: ReaderState) -> Candidates: ...


class Ranker(Protocol):
    """Puts posts into the order of a ranked feed."""

    async def rank(self, features: Mapping[RankingFeatures, Source], now_ms: int) -> list[int]:
        """Return the ids of all posts, best first. Raises UnavailableError."""

    def score(self, features: RankingFeatures, now_ms: int) -> Score:
        """Return the score of one post, for explanations."""


class Graph(Protocol):
    """Follows, mutes, blocks and profiles from the user service. All methods raise UnavailableError."""

    async def followees(self, user_id: int) -> Followees: ...

    async def authors(self, user_ids: Sequence[int]) -> dict[int, Author]: ...

    async def relation(self, reader_id: int, author_id: int) -> Relation: ...


class AuthorCache(Protocol):
    """Profiles from memory or the user service, and the last known ones while it is unavailable."""

    async def authors(self, user_ids: Sequence[int], overall: bytes | None) -> Partial[Author]:
        """Return the users that exist. `overall` is `OverallStamps.profiles`, or None if it is unknown."""


class Posts(Protocol):
    """Published posts from the post service. All methods raise UnavailableError."""

    async def records(self, post_ids: Sequence[int]) -> dict[int, PostRecord]:
        """Return the posts among `post_ids` that are published, by id."""

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        """Return the features of the posts that are published. They may be a minute old."""

    async def recent(
        self, author_ids: Iterable[int], after_id: int, before_id: int | None, limit_each: int
    ) -> dict[int, list[int]]:
        """Return ids between the bounds, which are excluded, by author and newest first.

        Authors without such posts are left out.
        """


class PostCache(Protocol):
    """Posts from memory, Redis or the post service, and the last known ones while it is unavailable."""

    async def records(self, post_ids: Sequence[int], overall: bytes | None) -> Partial[PostRecord]:
        """Return the published posts. `overall` is `OverallStamps.records`, or None if it is unknown."""

    async def recent(self, author_ids: Collection[int], window_start: int) -> Partial[Sequence[int]]:
        """Return the newest ids of each author, at most `CAP`. The id `window_start` is the first that is included.

        Authors without such posts are left out.
        """


class RecentLists(Protocol):
    """The newest posts of authors; `libs.invalidation.RecentPosts` documents the method."""

    async def get(self, author_ids: Sequence[int], ask: Ask) -> Recent: ...


class EngagementSource(Protocol):
    """Counts of posts, and the likes and saves of the reader. Raises UnavailableError."""

    async def of(self, reader_id: int, post_ids: Sequence[int]) -> dict[int, Engagement]: ...


class FeedListStore(Protocol):
    """Feed lists; `libs.feedlists.FeedLists` documents the methods. All of them raise UnavailableError."""

    async def read(self, user_id: int) -> FeedList | None: ...

    async def begin(self, user_id: int) -> None: ...

    async def merge(self, user_id: int, post_ids: Iterable[int], *, finish: bool) -> bool: ...

    async def merge_unpushed(self, user_id: int, post_ids: Sequence[int], gap_id: int) -> bool: ...

    async def remove(self, user_id: int, post_ids: Iterable[int]) -> None: ...


class UnpushedRangeStore(Protocol):
    """Ranges of posts that were not pushed because of back pressure. Raises UnavailableError."""

    async def of(self, user_id: int) -> list[UnpushedRange]: ...


class BackpressureSource(Protocol):
    """The back pressure level that the fan-out workers publish. Raises UnavailableError."""

    async def read(self) -> int | None:
        """Return the level, 0 to 3, or None if no worker published one within 30 s."""


class DeliveryPaceSource(Protocol):
    """Knows the current delivery pace, without waiting."""

    @property
    def pace(self) -> DeliveryPace: ...


class DeliveryProgressStore(Protocol):
    """The progress of the fan-out of each post. Raises UnavailableError."""

    async def of(self, post_id: int) -> DeliveryStatus | None: ...


class RemovalProgressStore(DeliveryProgressStore, Protocol):
    """The progress of removing each deleted post from feed lists. Raises UnavailableError."""

    async def author(self, post_id: int) -> int | None:
        """Return the author of a deleted post, or None if the post was not deleted."""


class Generation(Protocol):
    """Identifies a Redis and its data. A new generation means that data may be lost. Raises UnavailableError."""

    async def generation(self) -> bytes: ...


class Stamps(Generation, Protocol):
    """Cache invalidation stamps; `InvalidationStamps` documents the methods. All of them raise UnavailableError."""

    def activity(self, user_id: int) -> str: ...

    def profile(self, user_id: int) -> str: ...

    def changed(self, entity_id: int) -> str: ...

    def changed_lately(self, entity_id: int) -> str: ...

    async def exist(self, keys: Iterable[str]) -> list[bool]: ...

    async def read(self, keys: Iterable[str]) -> list[bytes]: ...

    async def invalidate(self, payloads: Iterable[Payload]) -> None: ...


class ReadersLog(Protocol):
    """Users who read their feed, over all processes. Raises UnavailableError."""

    async def add(self, user_ids: Collection[int]) -> Mapping[str, int]:
        """Note that these users read their feed now. Return the number of readers by window, estimated within 1 %."""


@dataclass(frozen=True, slots=True)
class CachedPage:
    """The content of a first page, as JSON, its age, and the age of its counts.

    `dependencies` is for the cache alone.
    """

    body: bytes
    age_s: int
    counts_age_s: int = 0
    dependencies: bytes = b""


@dataclass(frozen=True, slots=True)
class Position:
    """The post that a reader reached, and the feed session, for the reader's other devices."""

    session_id: str
    post_id: int


@dataclass(frozen=True, slots=True)
class PageDependencies:
    """The data that a cached page depends on.

    `relied_on` are posts and their authors. `pulled` are the pulled authors. `pulled_seen` is the digest of their
    stamps from before the page was assembled.
    """

    relied_on: Collection[int]
    pulled: Collection[int]
    pulled_seen: str


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """A valid cached page, or None, and the stamp for caching a new page."""

    page: CachedPage | None
    stamp: str


class Cache(Protocol):
    """Cached pages, pinned orders, positions and followees.

    None of it is the only copy of anything. All methods raise UnavailableError.
    """

    async def lookup(self, reader_id: int, variant: str, check: RateCheck | None = None) -> CacheLookup:
        """Read a first page and the reader's stamps in one round trip, which also counts the request.

        A page is valid until a post is pushed to the reader, or until data that it depends on changes.
        """

    async def stored_feed(self, reader_id: int, session_id: str | None) -> StoredFeed:
        """Read the list and the pinned order of the session, and renew their time to live."""

    async def pulled_seen(self, author_ids: Collection[int]) -> str:
        """Return a digest of the stamps of these authors. Call it before assembling a page."""

    async def cache_page(
        self, reader_id: int, variant: str, stamp: str, dependencies: PageDependencies, body: bytes
    ) -> None: ...

    async def recount_page(self, reader_id: int, variant: str, page: CachedPage, body: bytes) -> None:
        """Replace the content of a cached page by the same posts with present counts. Its time to live stays."""

    async def pin_order(self, reader_id: int, session_id: str, order: PinnedOrder) -> None: ...

    async def save_position(self, reader_id: int, position: Position) -> None: ...

    async def position(self, reader_id: int) -> Position | None: ...

    async def cache_followees(self, user_id: int, followees: Followees) -> None: ...

    async def forget_followee(self, user_id: int, followee_id: int) -> None:
        """Remove an author from the cached followees, which are used while the graph is unavailable."""

    async def cached_followees(self, user_id: int) -> Followees | None: ...
