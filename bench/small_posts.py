"""Posts of many small authors, at a rate."""

import asyncio
import itertools
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import orjson

from bench.delivery import Author, DeliveryError
from bench.http import Connection
from libs.common.core.console import say
from libs.common.core.ids import first_id_at, now_ms
from libs.common.kafka.lag import LagMeter
from libs.common.kafka.producer import EventProducer
from libs.common.testing.eventually import eventually
from libs.contracts.base import Event, utc_now
from libs.contracts.events import PostCreated

REACHED = 0.95  # of a rate: below it the system does not keep up
BEHIND_S = 2.0  # of posts may wait for fan-out at the end of a trial: it commits what is done once a second
CALM_S = 300.0  # for what a trial left behind
EVENTS_AT_ONCE = 8
IDS_A_MS = 1 << 22  # enough that two drawn ids are rarely the same
Act = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Rates:
    """Posts a second: through the post service, and as events alone, such as it publishes."""

    posted: float = 0.0
    events: float = 0.0

    @property
    def total(self) -> float:
        """Return the sum of both rates."""
        return self.posted + self.events

    def times(self, share: float) -> "Rates":
        """Return this share of both rates."""
        return Rates(self.posted * share, self.events * share)

    def __str__(self) -> str:
        return f"{self.events:.0f} events/s alone" if self.events else f"{self.posted:.0f} posts/s"


def event_of(author_id: int) -> Event:
    """Return an event as the post service publishes it, without a real post."""
    post_id = first_id_at(now_ms()) + secrets.randbelow(IDS_A_MS)
    created = PostCreated(post_id=post_id, author_id=author_id, created_at=utc_now())
    return Event(payload=created, entity=str(post_id), entity_version=1)


class SmallPosts:
    """Each author posts on a connection of its own. A rate is tried for `trial_s`."""

    def __init__(
        self, base_url: str, authors: Sequence[Author], producer: EventProducer, meter: LagMeter, trial_s: float
    ) -> None:
        self._base_url = base_url
        self._trial_s = trial_s
        self._authors = authors
        self._producer = producer
        self._meter = meter

    async def sustained(self, rising: Iterable[Rates]) -> Rates | None:
        """Return the highest rate that the system keeps up with."""
        held = None
        for rates in rising:
            if not await self._holds(rates):
                break
            held = rates
        return held

    async def _holds(self, rates: Rates) -> bool:
        got, behind = Rates(), 0
        try:
            async with self.going_on(rates) as reached:
                await asyncio.sleep(self._trial_s)
                got, behind = reached(), await self._behind()
        except* (TimeoutError, DeliveryError) as errors:
            say(f"{rates}: {errors.exceptions[0]!r}")
        await eventually(self._caught_up, CALM_S)
        say(f"{rates}: reached {got}, {behind} wait for fan-out")
        return got.total >= REACHED * rates.total and behind <= BEHIND_S * rates.total

    @asynccontextmanager
    async def going_on(self, rates: Rates) -> AsyncIterator[Callable[[], Rates]]:
        """Run the load at most at these rates. The yielded function returns the rates so far."""
        done, started = Counter[str](), time.perf_counter()

        async def paced(kind: str, rate: float, slots: Iterator[int], act: Act) -> None:
            for slot in slots:
                await asyncio.sleep(started + slot / rate - time.perf_counter())
                await act()
                done[kind] += 1

        def reached() -> Rates:
            elapsed = time.perf_counter() - started
            return Rates(done["posted"] / elapsed, done["events"] / elapsed)

        async with AsyncExitStack() as stack:
            posters = [await self._poster(stack, author) for author in self._authors] if rates.posted else []
            feeders = [self._event] * EVENTS_AT_ONCE if rates.events else []
            group = await stack.enter_async_context(asyncio.TaskGroup())
            started = time.perf_counter()
            tasks = [
                group.create_task(paced(kind, rate, slots, act))
                for kind, rate, slots, stamps in (
                    ("posted", rates.posted, itertools.count(), posters),
                    ("events", rates.events, itertools.count(), feeders),
                )
                for act in stamps
            ]
            try:
                yield reached
            finally:
                for task in tasks:
                    task.cancel()

    async def _poster(self, stack: AsyncExitStack, author: Author) -> Act:
        token = author.account.access_token
        connection = await stack.enter_async_context(Connection(self._base_url, token))
        document = orjson.dumps(author.post)

        async def post() -> None:
            answer = await connection.post("/v1/posts", document)
            if answer.status != 201:
                raise DeliveryError(f"a small post was answered {answer.status}: {answer.body[:200]!r}")

        return post

    async def _event(self) -> None:
        await self._producer.publish(event_of(int(secrets.choice(self._authors).account.user_id)))

    async def _behind(self) -> int:
        return await self._meter.lag("fanout", ["posts"])

    async def _caught_up(self) -> bool:
        return await self._behind() == 0
