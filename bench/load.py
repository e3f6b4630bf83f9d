"""From a post to the last of ten thousand followers' feeds, while many small authors post."""

import asyncio

from bench.crowd import Crowd, crowd
from bench.delivery import Author, DeliveryError, delivered
from bench.figures import Latency, Row, rows_of
from bench.small_posts import Rates, SmallPosts
from libs.common.core.console import say
from libs.common.core.settings import Settings
from libs.common.kafka.lag import LagMeter
from libs.common.kafka.producer import EventProducer
from ops.client import Account

FOLLOWERS = 9_999  # the most that are pushed to by default, and one below the slow lane
SMALL, SMALL_FOLLOWERS = 40, 10
ROUNDS = 50
LIMIT_MS = 2_000.0
WANTED = 500  # small posts/s
RATES = (25, 40, 60, 90, 125, 175, 250, 350, WANTED)  # small posts/s, tried one after the other
SHARE = 0.8  # of the rate that it keeps up with: the measured posts and the polling come on top
POLL_S = 0.02  # asking more often would be load of its own
AT_ONCE = 4  # sign-ins: each checks a password, which fills a core


async def measure(settings: Settings) -> list[Row]:
    """Return rows of the table: alone, and at the highest rate of small posts that the system keeps up with.

    When that rate is lower than wanted, one more row has the highest rate of events without posts behind them.
    """
    async with crowd(settings) as people, EventProducer(settings, "bench") as producer, LagMeter(settings) as meter:
        large, last, small = await _people(people)
        posts = SmallPosts(settings.public_url, small, producer, meter)
        rows = _rows("alone", await _latency(people, large, last))
        found = [posted := await posts.sustained(Rates(posted=rate) for rate in RATES)]
        if posted is None or posted.total < WANTED:
            found.append(await posts.sustained(Rates(events=rate) for rate in RATES))
        for rates in (rates.times(SHARE) for rates in found if rates):
            rows += await _beside(posts, rates, people, large, last)
    return rows


async def _beside(posts: SmallPosts, rates: Rates, people: Crowd, author: Author, reader: Account) -> list[Row]:
    what = f"beside {rates} small ({WANTED} wanted)"
    try:
        async with posts.going_on(rates) as reached:
            latency = await _latency(people, author, reader)
            return _rows(f"beside {reached()} small ({WANTED} wanted)", latency)
    except* (DeliveryError, TimeoutError) as errors:
        rows = [Row(f"{what}: {errors.exceptions[0]}", "none", f"{LIMIT_MS:,.0f} ms")]
    return rows


async def _people(people: Crowd) -> tuple[Author, Account, list[Author]]:
    """Return the author, the follower that fan-out reaches last, and the small authors.

    Each follower follows one author.
    """
    large_id, *small_ids = ids = people.ids(1 + SMALL)
    followers = people.ids(FOLLOWERS)
    say(f"making {FOLLOWERS:,} followers")
    await people.people(ids)
    await people.people(followers)
    await people.follow(large_id, followers)
    for small_id in small_ids:
        few = people.ids(SMALL_FOLLOWERS)
        await people.follow(small_id, few)
        await people.give_lists(few)
    await people.settle()
    await people.give_lists(followers)
    turns = asyncio.Semaphore(AT_ONCE)

    async def author(user_id: int) -> Author:
        async with turns:
            return await people.author(user_id)

    return await author(large_id), await people.sign_in(followers[-1]), await asyncio.gather(*map(author, small_ids))


async def _latency(people: Crowd, author: Author, reader: Account) -> Latency:
    return Latency.of([await delivered(people.api, author, reader, set(), POLL_S) for _ in range(ROUNDS)])


def _rows(what: str, latency: Latency) -> list[Row]:
    limit = Latency(LIMIT_MS, LIMIT_MS, latency.count)
    return rows_of(f"post to the last of {FOLLOWERS:,} feeds {what}, beside the limit", latency, limit)
