"""From a post to the last of ten thousand followers' feeds, while many small authors post."""

import asyncio
from dataclasses import dataclass

from bench.crowd import Crowd, crowd
from bench.delivery import Author, DeliveryError, delivered
from bench.figures import Figure, Latency, Row, rows_of
from bench.small_posts import Rates, SmallPosts
from libs.common.core.console import say
from libs.common.core.settings import Settings
from libs.common.kafka.lag import LagMeter
from libs.common.kafka.producer import EventProducer
from ops.client import Account

LIMIT_MS = 2_000.0
SHARE = 0.8  # of the rate that it keeps up with: the measured posts and the polling come on top
POLL_S = 0.02  # asking more often would be load of its own
AT_ONCE = 4  # sign-ins: each checks a password, which fills a core


@dataclass(frozen=True, slots=True)
class Size:
    """`rates` are small posts/s, ascending. The last one is the wanted one."""

    followers: int = 9_999  # the most that are pushed to by default, and one below the slow lane
    small: int = 40
    small_followers: int = 10
    rounds: int = 50
    rates: tuple[int, ...] = (25, 40, 60, 90, 125, 175, 250, 350, 500)
    trial_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Subject:
    """The author who is measured, and the follower that fan-out reaches last."""

    people: Crowd
    author: Author
    last: Account
    size: Size

    async def latency(self) -> Latency:
        """Deliver posts, one after the other."""
        api, rounds = self.people.api, range(self.size.rounds)
        return Latency.of([await delivered(api, self.author, self.last, set(), POLL_S) for _ in rounds])

    def rows(self, beside: str, latency: Latency, note: str = "") -> list[Row]:
        """Return rows with the limit as the reference."""
        limit = Latency(LIMIT_MS, LIMIT_MS, latency.count)
        what = f"post to the last of {self.size.followers:,} feeds {beside}, and the limit"
        return rows_of(what, latency, limit, note)


async def measure(settings: Settings, size: Size = Size()) -> list[Row]:
    """Return rows of the table: alone, and at the highest rate of small posts that the system keeps up with.

    When that rate is lower than wanted, more rows have the highest rate of events without posts behind them.
    """
    wanted = size.rates[-1]
    async with crowd(settings) as people, EventProducer(settings, "bench") as producer, LagMeter(settings) as meter:
        subject, small = await _people(people, size)
        posts = SmallPosts(settings.public_url, small, producer, meter, size.trial_s)
        rows = subject.rows("alone", await subject.latency())
        held = await posts.sustained(Rates(posted=rate) for rate in size.rates)
        rows += await _beside("posts", posts, held, subject)
        if held is None or held.total < wanted:
            held = await posts.sustained(Rates(events=rate) for rate in size.rates)
            rows += await _beside("events alone", posts, held, subject)
    return rows


async def _beside(what: str, posts: SmallPosts, held: Rates | None, subject: Subject) -> list[Row]:
    wanted, slowest = Figure(subject.size.rates[-1], "/s"), subject.size.rates[0]
    title, beside = f"small {what}, highest rate, and the wanted one", f"beside small {what}"
    if held is None:
        return [Row(title, None, wanted, f"not even {slowest}/s")]
    rows = [Row(title, Figure(held.total, "/s"), wanted)]
    rates = held.times(SHARE)
    try:
        async with posts.going_on(rates) as reached:
            latency = await subject.latency()
            rows += subject.rows(beside, latency, str(reached()))
    except* (DeliveryError, TimeoutError) as errors:
        limit = Figure(LIMIT_MS, "ms")
        rows.append(Row(f"post to the last feed {beside}", None, limit, f"at {rates}: {errors.exceptions[0]}"))
    return rows


async def _people(people: Crowd, size: Size) -> tuple[Subject, list[Author]]:
    """Return the measured author with followers, and the small authors. Each follower follows one author."""
    large_id, *small_ids = ids = people.ids(1 + size.small)
    followers = people.ids(size.followers)
    say(f"making {size.followers:,} followers")
    await people.people(ids)
    await people.people(followers)
    await people.follow(large_id, followers)
    for small_id in small_ids:
        few = people.ids(size.small_followers)
        await people.follow(small_id, few)
        await people.give_lists(few)
    await people.settle()
    await people.give_lists(followers)
    turns = asyncio.Semaphore(AT_ONCE)

    async def author(user_id: int) -> Author:
        async with turns:
            return await people.author(user_id)

    subject = Subject(people, await author(large_id), await people.sign_in(followers[-1]), size)
    return subject, await asyncio.gather(*map(author, small_ids))
