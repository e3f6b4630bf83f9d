"""The concepts of a feed: sources, candidates, the reader and gaps in coverage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from libs.common.core.ids import first_id_at, id_time_ms

DAY_MS = 86_400_000


class Order(StrEnum):
    """A ranked feed shows the posts of the window, best first. A chronological feed shows all posts, newest first."""

    RANKED = "ranked"
    CHRONOLOGICAL = "chronological"


class Source(StrEnum):
    """The way by which a post enters the feed."""

    OWN = "own"
    PUSHED = "pushed"
    PULLED = "pulled"


class GapReason(StrEnum):
    """Why posts may be missing from a page, or why they were pulled instead of pushed."""

    REBUILDING = "rebuilding"
    """The feed list is not complete yet."""
    SOURCE_DOWN = "source_down"
    """A store or a service is unavailable."""
    LOSSY = "lossy"
    """Fan-out is too far behind and pushes nothing, so the posts are pulled. The page is complete."""


class DeliveryPace(StrEnum):
    """How fast new posts reach feeds, according to the backpressure level of fan-out."""

    NORMAL = "normal"
    BEHIND = "behind"
    """Posts are pushed late."""
    ACTIVE_ONLY = "active_only"
    """Posts are pushed late, and only into lists that were read within 24 h. The next read rebuilds the others."""
    PULL = "pull"
    """Posts are not pushed. Reads pull them as soon as fan-out has recorded their range."""
    UNKNOWN = "unknown"
    """No worker published a level within 30 s, or Redis is unavailable."""

    @classmethod
    def at(cls, level: int | None) -> "DeliveryPace":
        """Return the pace at a published level, 0 to 3; None means that no level is known."""
        return cls.UNKNOWN if level is None else (cls.NORMAL, cls.BEHIND, cls.ACTIVE_ONLY, cls.PULL)[level]


@dataclass(frozen=True, slots=True)
class CoverageGap:
    """A reason why a page may be incomplete, and the range of ids if it is known.

    `stale` means that cached data is shown, because the service that owns it is unavailable.
    """

    reason: GapReason
    first_id: int | None = None
    last_id: int | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Followees:
    """The authors that the reader follows and has not muted. `pull` are those whose posts are pulled at read time.

    `fresh` are those in `pull` that the reader followed or unmuted recently: their posts may not be in the list yet.
    They are pulled until it has caught up. `stale` means that the graph is unavailable.
    """

    all: frozenset[int]
    pull: frozenset[int]
    fresh: frozenset[int] = frozenset()
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    """The user whose feed is read, and the authors in it."""

    user_id: int
    followees: Followees


@dataclass(frozen=True, slots=True)
class Candidates:
    """Posts that may be in the feed, each with the source that proposed it.

    No post at or above the id `floor` is missing, unless `gaps` says so. Below the floor posts may be missing.
    """

    sources: Mapping[int, Source]
    floor: int
    gaps: frozenset[CoverageGap] = frozenset()

    @property
    def post_ids(self) -> list[int]:
        """The ids, newest first."""
        return sorted(self.sources, reverse=True)

    @classmethod
    def merge(cls, parts: Sequence["Candidates"], floor: int) -> "Candidates":
        """Return all posts at or above the highest floor. If two parts have the same post, the later one wins."""
        floor = max(floor, *(part.floor for part in parts))
        sources = {p: source for part in parts for p, source in part.sources.items() if p >= floor}
        return cls(sources, floor, frozenset().union(*(part.gaps for part in parts)))


def source_of(author_id: int, reader: Reader) -> Source | None:
    """Return how posts of this author enter the feed, or None if the reader does not follow the author."""
    followees = reader.followees
    if author_id == reader.user_id:
        return Source.OWN
    if author_id not in followees.all:
        return None
    is_pulled = author_id in followees.pull and author_id not in followees.fresh
    return Source.PULLED if is_pulled else Source.PUSHED


def window_start(top: int, window_days: int) -> int:
    """Return the first id inside the window that ends at the id `top`."""
    return first_id_at(id_time_ms(top) - window_days * DAY_MS)


@dataclass(frozen=True, slots=True)
class Relation:
    """The relation of a reader to an author.

    The author is `hidden` after a block by either of them or a ban, if private and not followed, or if unknown.
    """

    hidden: bool
    following: bool
    muted: bool
