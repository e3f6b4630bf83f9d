"""A small author's posts beside the rate-limited push of a post to a million followers."""

from bench.crowd import Crowd, crowd
from bench.delivery import Author, DeliveryError, delivered
from bench.figures import Latency, Row, rows_of
from libs.common.core.console import say
from libs.common.core.settings import Settings
from libs.common.testing.eventually import eventually
from libs.feedlists import DeliveryProgress
from libs.feedlists.delivery import DeliveryStatus

FOLLOWERS, SMALL_FOLLOWERS = 1_000_000, 100
EVERY = 10  # one follower in ten has a feed list
ROUNDS = 50
LIMIT_MS = 200.0  # how much longer the small author may wait
PUSH_S = 300.0  # far more than the million takes


async def measure(settings: Settings) -> list[Row]:
    """Rows of the table. Each follower follows one of the two authors."""
    async with crowd(settings) as people:
        large_id, small_id = people.ids(2)
        followers, small_followers = people.ids(FOLLOWERS), people.ids(SMALL_FOLLOWERS)
        say(f"making {FOLLOWERS:,} followers")
        await people.people((large_id, small_id))
        await people.people(small_followers)
        await people.follow(large_id, followers)
        await people.follow(small_id, small_followers)
        await people.settle()
        await people.give_lists((*followers[::EVERY], *small_followers))
        large, small = await people.author(large_id), await people.author(small_id)
        reader = await people.sign_in(small_followers[-1])
        pushes = Pushes(people, DeliveryProgress(people.redis, settings.redis_prefix("feed")), large)
        alone = [await delivered(people.api, small, reader, set()) for _ in range(ROUNDS)]
        behind = []
        for _ in range(ROUNDS):
            await pushes.under_way()
            behind.append(await delivered(people.api, small, reader, set()))
        rate = await pushes.rate()
    return _rows(Latency.of(behind), Latency.of(alone), rate)


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


def _rows(behind: Latency, alone: Latency, rate: float) -> list[Row]:
    return [
        *rows_of(f"small author's post behind one to {FOLLOWERS:,} (at {rate:,.0f}/s), beside alone", behind, alone),
        *(
            Row(f"… waits longer, {name}, beside the limit", f"{more:.1f} ms", f"{LIMIT_MS:.1f} ms", more / LIMIT_MS)
            for name, more in (("p50", behind.p50 - alone.p50), ("p99", behind.p99 - alone.p99))
        ),
    ]
