"""What a feed is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from libs.common.core.ids import first_id_at, id_time_ms

DAY_MS = 86_400_000


class Order(StrEnum):
    """The order of a feed."""

    RANKED = "ranked"
    CHRONOLOGICAL = "chronological"


class Source(StrEnum):
    """How a post came into the feed."""

    OWN = "own"
    PUSHED = "pushed"
    PULLED = "pulled"


class GapReason(StrEnum):
    """Why posts may be missing, or came another way."""

    REBUILDING = "rebuilding"
    SOURCE_DOWN = "source_down"
    LOSSY = "lossy"
    """Fan-out is too far behind and pushes nothing: the posts are pulled."""


class DeliveryPace(StrEnum):
    """How fast new posts arrive in feeds, by the backpressure level of fan-out."""

    NORMAL = "normal"
    BEHIND = "behind"
    """They come late."""
    ACTIVE_ONLY = "active_only"
    """They come late, and not into lists that were not read for 24 h: these are made anew by the next read."""
    PULL = "pull"
    """They are pulled, once fan-out has noted them."""
    UNKNOWN = "unknown"
    """No worker has said anything of late."""

    @classmethod
    def at(cls, level: int | None) -> "DeliveryPace":
        """Of a published level, 0 to 3."""
        return cls.UNKNOWN if level is None else (cls.NORMAL, cls.BEHIND, cls.ACTIVE_ONLY, cls.PULL)[level]


@dataclass(frozen=True, slots=True)
class CoverageGap:
    """A reason, and between which ids. `stale`: what was kept is shown in place of what an owner would say."""

    reason: GapReason
    first_id: int | None = None
    last_id: int | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Followees:
    """Whose posts the reader's feed shows, and which of them are pulled at read time.

    Of these, `fresh` are pulled only until the list has caught up. `stale` when the graph could not be asked.
    """

    all: frozenset[int]
    pull: frozenset[int]
    fresh: frozenset[int] = frozenset()
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose feed it is, and whom it is made of."""

    user_id: int
    followees: Followees


@dataclass(frozen=True, slots=True)
class Candidates:
    """Posts that may be in the feed, each with the source that proposed it.

    They are all that exist at or above the id `floor`; below it some may be missing.
    """

    sources: Mapping[int, Source]
    floor: int
    gaps: frozenset[CoverageGap] = frozenset()

    @property
    def post_ids(self) -> list[int]:
        """Newest first."""
        return sorted(self.sources, reverse=True)

    @classmethod
    def merge(cls, parts: Sequence["Candidates"], floor: int) -> "Candidates":
        """All posts at or above the highest floor; of two sources of a post the later part's stays."""
        floor = max(floor, *(part.floor for part in parts))
        sources = {p: source for part in parts for p, source in part.sources.items() if p >= floor}
        return cls(sources, floor, frozenset().union(*(part.gaps for part in parts)))


def source_of(author_id: int, reader: Reader) -> Source | None:
    """Why the reader sees posts of this author; None for one whom the reader does not follow."""
    followees = reader.followees
    if author_id == reader.user_id:
        return Source.OWN
    if author_id not in followees.all:
        return None
    is_pulled = author_id in followees.pull and author_id not in followees.fresh
    return Source.PULLED if is_pulled else Source.PUSHED


def window_start(top: int, window_days: int) -> int:
    """The first id inside the window that ends with the id `top`."""
    return first_id_at(id_time_ms(top) - window_days * DAY_MS)


@dataclass(frozen=True, slots=True)
class Relation:
    """How a reader stands to an author. `hidden`: blocked either way, banned, private and not followed, or nobody."""

    hidden: bool
    following: bool
    muted: bool
