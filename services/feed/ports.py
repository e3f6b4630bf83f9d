"""What the feed needs of others."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from libs.common.core.errors import UnavailableError
from libs.common.stores.rate import RateCheck
from libs.contracts.base import Payload
from libs.contracts.internal.post import RankingFeatures
from libs.contracts.public import Author, Engagement, PostRecord
from libs.feedlists import DeliveryStatus, FeedList, UnpushedRange
from services.feed.domain.feed import DeliveryPace, Followees, Relation

LATEST = 50  # newest posts of one pulled author (docs/figures.md)


class LastKnownError(UnavailableError):
    """The owner is away. `known` are those of the values asked for that were kept, and did not change since."""

    def __init__(self, known: dict[int, Any]) -> None:
        super().__init__()
        self.known = known


def last_known(error: UnavailableError) -> dict[int, Any]:
    """What can be shown all the same."""
    return error.known if isinstance(error, LastKnownError) else {}


class Graph(Protocol):
    """Whom readers follow. Raises UnavailableError."""

    async def followees(self, user_id: int) -> Followees: ...

    async def authors(self, user_ids: Sequence[int]) -> dict[int, Author]: ...

    async def relation(self, reader_id: int, author_id: int) -> Relation: ...


class Posts(Protocol):
    """Posts of others and their state. Raises UnavailableError."""

    async def records(self, post_ids: Sequence[int]) -> dict[int, PostRecord]:
        """The published ones among `post_ids`."""

    async def ranking_features(self, post_ids: Sequence[int]) -> list[RankingFeatures]:
        """Of the published ones, up to a minute old."""

    async def recent(
        self, author_ids: Iterable[int], after_id: int, before_id: int | None, limit_each: int
    ) -> dict[int, list[int]]:
        """Published ids between the bounds by author, newest first; authors without any are left out."""

    async def latest(self, author_ids: Sequence[int], window_start: int) -> dict[int, list[int]]:
        """The newest `LATEST` ids of each author, from `window_start` on, that id included."""


class Marks(Protocol):
    """Counts, and what the reader did. Raises UnavailableError."""

    async def of(self, reader_id: int, post_ids: Sequence[int]) -> dict[int, Engagement]: ...


class FeedListStore(Protocol):
    """The feed lists. Raises redis.RedisError."""

    async def read(self, user_id: int) -> FeedList | None: ...

    async def begin(self, user_id: int) -> None: ...

    async def merge(self, user_id: int, post_ids: Iterable[int], *, finish: bool) -> bool: ...

    async def heal(self, user_id: int, post_ids: Sequence[int], gap_id: int) -> bool: ...

    async def remove(self, user_id: int, post_ids: Iterable[int]) -> None: ...


class UnpushedRangeStore(Protocol):
    """Posts that backpressure kept from being pushed. Raises redis.RedisError."""

    async def of(self, user_id: int) -> list[UnpushedRange]: ...


class BackpressureSource(Protocol):
    """The backpressure level that fan-out workers agree on. Raises redis.RedisError."""

    async def read(self) -> int | None:
        """None when nobody published one of late."""


class Load(Protocol):
    """The backpressure of the moment."""

    @property
    def pace(self) -> DeliveryPace: ...


class DeliveryProgressStore(Protocol):
    """How far the fan-out of a post is. Raises redis.RedisError."""

    async def of(self, post_id: int) -> DeliveryStatus | None: ...


class RemovalProgressStore(DeliveryProgressStore, Protocol):
    """The same of deletes."""

    async def author(self, post_id: int) -> int | None:
        """Whose post it was that was deleted."""


class Generation(Protocol):
    """Tells a Redis from one that was emptied. Raises redis.RedisError."""

    async def generation(self) -> bytes: ...


class Stamps(Generation, Protocol):
    """Cache invalidation stamps. Raises redis.RedisError."""

    def activity(self, user_id: int) -> str: ...

    def changed(self, entity_id: int) -> str: ...

    def changed_lately(self, entity_id: int) -> str: ...

    async def exist(self, keys: Iterable[str]) -> list[bool]: ...

    async def read(self, keys: Iterable[str]) -> list[bytes]: ...

    async def invalidate(self, payloads: Iterable[Payload]) -> None: ...


@dataclass(frozen=True, slots=True)
class CachedPage:
    """An assembled first page, as JSON, and how long ago it was made."""

    body: bytes
    age_s: int


@dataclass(frozen=True, slots=True)
class Session:
    """A pinned order of posts at or above `floor`."""

    floor: int
    order: Sequence[int]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader is, for their other devices."""

    session_id: str
    post_id: int


@dataclass(frozen=True, slots=True)
class PageDependencies:
    """What a page is true by: posts and their authors, and the authors that were pulled, with what was seen of them."""

    relied_on: Collection[int]
    pulled: Collection[int]
    pulled_seen: str


class Cache(Protocol):
    """What is kept in Redis beside the lists; nothing of it is the only copy. Raises redis.RedisError."""

    async def page(self, reader_id: int, variant: str, charge: RateCheck | None = None) -> CachedPage | None:
        """A page that is still true: no push, act or deletion has come since. The request is counted on the way."""

    async def stamp(self, reader_id: int) -> str:
        """What the reader's pages depend on, as of now; take it before assembling."""

    async def pulled_seen(self, author_ids: Collection[int]) -> str:
        """What tells whether one of these authors did something; take it before assembling."""

    async def cache_page(
        self, reader_id: int, variant: str, stamp: str, dependencies: PageDependencies, body: bytes
    ) -> None: ...

    async def pin_session(self, reader_id: int, session_id: str, session: Session) -> None: ...

    async def session(self, reader_id: int, session_id: str) -> Session | None:
        """Renews its life."""

    async def save_position(self, reader_id: int, position: Position) -> None: ...

    async def position(self, reader_id: int) -> Position | None: ...

    async def cache_followees(self, user_id: int, followees: Followees) -> None: ...

    async def forget_followee(self, user_id: int, followee_id: int) -> None:
        """Not followed any more: not to be shown either while the graph is away."""

    async def cached_followees(self, user_id: int) -> Followees | None: ...
