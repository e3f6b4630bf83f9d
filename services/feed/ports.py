"""The ports of the feed service."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from libs.common.core.errors import UnavailableError
from libs.common.stores.rate import RateCheck
from libs.contracts.base import Payload
from libs.contracts.internal.post import RankingFeatures
from libs.contracts.public import Author, Engagement, PostRecord
from libs.feedlists import DeliveryStatus, FeedList, UnpushedRange
from services.feed.domain.feed import Candidates, DeliveryPace, Followees, Reader, Relation, Source
from services.feed.domain.ranking import Score

T = TypeVar("T")
LATEST = 50  # newest posts of one pulled author (docs/figures.md)


@dataclass(frozen=True, slots=True)
class Partial(Generic[T]):
    """Values by id. With `stale` their owner is unavailable: they are the last known ones, and some may be missing."""

    values: dict[int, T]
    stale: bool = False

    def complete(self) -> dict[int, T]:
        """Return the values. Raises UnavailableError if they are stale."""
        if self.stale:
            raise UnavailableError
        return self.values


class CandidateSource(Protocol):
    """Proposes posts for a feed. Raises UnavailableError only when it has no data at all."""

    async def candidates(self, reader: Reader) -> Candidates: ...


class Ranker(Protocol):
    """Puts posts into the order of a ranked feed."""

    async def rank(self, features: Mapping[RankingFeatures, Source], now_ms: int) -> list[int]:
        """Return the ids of all posts, best first. Raises UnavailableError."""

    def score(self, features: RankingFeatures, now_ms: int) -> Score:
        """Return the terms that make up the score of one post, for explanations."""


class Graph(Protocol):
    """The follow graph of the user service. Raises UnavailableError."""

    async def followees(self, user_id: int) -> Followees: ...

    async def authors(self, user_ids: Sequence[int]) -> dict[int, Author]: ...

    async def relation(self, reader_id: int, author_id: int) -> Relation: ...


class AuthorCache(Protocol):
    """Profiles, also while the user service is unavailable."""

    async def authors(self, user_ids: Sequence[int]) -> Partial[Author]: ...


class Posts(Protocol):
    """The posts of the post service. Raises UnavailableError."""

    async def records(self, post_ids: Sequence[int]) -> dict[int, PostRecord]:
        """Return the published ones among `post_ids`."""

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        """Features of the published ones, up to a minute old."""

    async def recent(
        self, author_ids: Iterable[int], after_id: int, before_id: int | None, limit_each: int
    ) -> dict[int, list[int]]:
        """Return published ids between the bounds by author, newest first; authors without any are left out."""

    async def latest(self, author_ids: Sequence[int], window_start: int) -> dict[int, list[int]]:
        """Return the newest `LATEST` ids of each author, from `window_start` on, that id included."""


class PostCache(Protocol):
    """Posts, also while the post service is unavailable."""

    async def records(self, post_ids: Sequence[int]) -> Partial[PostRecord]: ...

    async def latest(self, author_ids: Sequence[int], window_start: int) -> Partial[list[int]]: ...


class EngagementSource(Protocol):
    """Counts, and what the reader did. Raises UnavailableError."""

    async def of(self, reader_id: int, post_ids: Sequence[int]) -> dict[int, Engagement]: ...


class FeedListStore(Protocol):
    """The feed lists. Raises UnavailableError."""

    async def read(self, user_id: int) -> FeedList | None: ...

    async def begin(self, user_id: int) -> None: ...

    async def merge(self, user_id: int, post_ids: Iterable[int], *, finish: bool) -> bool: ...

    async def merge_unpushed(self, user_id: int, post_ids: Sequence[int], gap_id: int) -> bool: ...

    async def remove(self, user_id: int, post_ids: Iterable[int]) -> None: ...


class UnpushedRangeStore(Protocol):
    """Posts that were not pushed because of backpressure. Raises UnavailableError."""

    async def of(self, user_id: int) -> list[UnpushedRange]: ...


class BackpressureSource(Protocol):
    """The backpressure level that fan-out workers agree on. Raises UnavailableError."""

    async def read(self) -> int | None:
        """Return None if no worker published a level recently."""


class DeliveryPaceSource(Protocol):
    """Knows the current delivery pace, without waiting."""

    @property
    def pace(self) -> DeliveryPace: ...


class DeliveryProgressStore(Protocol):
    """How far the fan-out of a post is. Raises UnavailableError."""

    async def of(self, post_id: int) -> DeliveryStatus | None: ...


class RemovalProgressStore(DeliveryProgressStore, Protocol):
    """How far the removal of a deleted post from feed lists is. Raises UnavailableError."""

    async def author(self, post_id: int) -> int | None:
        """Return the author of a deleted post."""


class Generation(Protocol):
    """Tells a Redis from one that was emptied. Raises UnavailableError."""

    async def generation(self) -> bytes: ...


class Stamps(Generation, Protocol):
    """Cache invalidation stamps. Raises UnavailableError."""

    def activity(self, user_id: int) -> str: ...

    def changed(self, entity_id: int) -> str: ...

    def changed_lately(self, entity_id: int) -> str: ...

    async def exist(self, keys: Iterable[str]) -> list[bool]: ...

    async def read(self, keys: Iterable[str]) -> list[bytes]: ...

    async def invalidate(self, payloads: Iterable[Payload]) -> None: ...


@dataclass(frozen=True, slots=True)
class CachedPage:
    """The content of a first page, as JSON, and its age."""

    body: bytes
    age_s: int


@dataclass(frozen=True, slots=True)
class PinnedOrder:
    """The order that a feed session shows. It contains all posts at or above the id `floor` when the session began."""

    floor: int
    post_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Position:
    """The last position of a reader in the feed, for their other devices."""

    session_id: str
    post_id: int


@dataclass(frozen=True, slots=True)
class PageDependencies:
    """What a cached page depends on.

    `relied_on`: posts and their authors. `pulled`: the pulled authors. `pulled_seen`: their `Cache.pulled_seen` before
    the page was assembled.
    """

    relied_on: Collection[int]
    pulled: Collection[int]
    pulled_seen: str


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """A valid cached page, if there is one, and the stamp that a new page would be cached under."""

    page: CachedPage | None
    stamp: str


class Cache(Protocol):
    """Cached pages, sessions, positions and followees; none of it is the only copy. Raises UnavailableError."""

    async def lookup(self, reader_id: int, variant: str, check: RateCheck | None = None) -> CacheLookup:
        """Read a first page and the reader's stamps in one round trip, which also counts the request.

        A page is valid until a push to the list, or until a stamp changes that it depends on.
        """

    async def pulled_seen(self, author_ids: Collection[int]) -> str:
        """Return a value that changes when one of these authors posts or deletes. Read it before assembling a page."""

    async def cache_page(
        self, reader_id: int, variant: str, stamp: str, dependencies: PageDependencies, body: bytes
    ) -> None: ...

    async def pin_order(self, reader_id: int, session_id: str, order: PinnedOrder) -> None: ...

    async def pinned_order(self, reader_id: int, session_id: str) -> PinnedOrder | None:
        """Return the order of the session, and renew its time to live."""

    async def save_position(self, reader_id: int, position: Position) -> None: ...

    async def position(self, reader_id: int) -> Position | None: ...

    async def cache_followees(self, user_id: int, followees: Followees) -> None: ...

    async def forget_followee(self, user_id: int, followee_id: int) -> None:
        """Remove a followee from the cached list, so that it is not shown while the user service is unavailable."""

    async def cached_followees(self, user_id: int) -> Followees | None: ...
