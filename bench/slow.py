"""A small author's posts beside the rate-limited push of a post to a million followers."""

from dataclasses import dataclass

from bench.crowd import Crowd, crowd
from bench.delivery import Author, DeliveryError, delivered
from bench.figures import Figure, Latency, Row, rows_of
from libs.common.core.console import say
from libs.common.core.settings import Settings
from libs.common.testing.eventually import eventually
from libs.feedlists import DeliveryProgress
from libs.feedlists.delivery import DeliveryStatus

LIMIT_MS = 200.0  # how much longer the small author may wait
PUSH_S = 300.0  # far more than the million takes


@dataclass(frozen=True, slots=True)
class Size:
    """One of `every` followers of the large author has a feed list."""

    followers: int = 1_000_000
    small_followers: int = 100
    every: int = 10
    rounds: int = 50


async def measure(settings: Settings, size: Size = Size()) -> list[Row]:
    """Rows of the table. Each follower follows one of the two authors."""
    async with crowd(settings) as people:
        large_id, small_id = people.ids(2)
        followers, small_followers = people.ids(size.followers), people.ids(size.small_followers)
        say(f"making {size.followers:,} followers")
        await people.people((large_id, small_id))
        await people.people(small_followers)
        await people.follow(large_id, followers)
        await people.follow(small_id, small_followers)
        await people.settle()
        await people.give_lists((*followers[:: size.every], *small_followers))
        large, small = await people.author(large_id), await people.author(small_id)
        reader = await people.sign_in(small_followers[-1])
        pushes = Pushes(people, DeliveryProgress(people.redis, settings.redis_prefix("feed")), large)
        alone = [await delivered(people.api, small, reader, set()) for _ in range(size.rounds)]
        behind = []
        for _ in range(size.rounds):
            await pushes.under_way()
            behind.append(await delivered(people.api, small, reader, set()))
        rate = await pushes.rate()
    return _rows(size, Latency.of(behind), Latency.of(alone), rate)


class Pushes:
    """Posts of the large author, one after the other."""

    def __init__(self, people: Crowd, ledger: DeliveryProgress, author: Author) -> None:
        self._people = people
        self._ledger = ledger
        self._author = author
        self._post_id = 0

    async def under_way(self) -> None:
        """Returns while a push goes on; begins another one when need be."""
        if not self._post_id or (await self._state()).finished_at:
            post = await self._people.api.call("POST", "/posts", self._author.account, json=self._author.post)
            self._post_id = int(post["post_id"])
        await eventually(self._begun)

    async def rate(self) -> float:
        """Followers a second of the last push, once it is finished."""
        await eventually(self._finished, PUSH_S)
        state = await self._state()
        assert state.finished_at is not None
        return state.followers / (state.finished_at - state.started_at).total_seconds()

    async def _begun(self) -> bool:
        state = await self._ledger.of(self._post_id)
        if state and state.mode != "slow":
            raise DeliveryError(f"{state.followers:,} followers are {state.mode}, not in the slow lane")
        return state is not None and state.chunks_done > 0

    async def _finished(self) -> bool:
        return (await self._state()).finished_at is not None

    async def _state(self) -> DeliveryStatus:
        state = await self._ledger.of(self._post_id)
        assert state is not None
        return state


def _rows(size: Size, behind: Latency, alone: Latency, rate: float) -> list[Row]:
    what, limit = f"small author's post behind one to {size.followers:,}, beside alone", Figure(LIMIT_MS, "ms")
    waits = [(name, getattr(behind, name) - getattr(alone, name)) for name in ("p50", "p99")]
    return [
        *rows_of(what, behind, alone, f"at {rate:,.0f} followers/s"),
        *(Row(f"… waits longer, {name}, and the limit", Figure(more, "ms"), limit) for name, more in waits),
    ]
