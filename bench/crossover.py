"""Finds the number of followees from which an uncached read is faster than the pull query."""

from collections.abc import Mapping
from itertools import pairwise

from bench import feed
from bench.figures import Latency, Row, rows_of
from bench.followees import FOLLOW, QUIET, quiet_people, reads, second_page
from bench.http import Connection
from bench.reference_pull import serving
from bench.reference_world import Shape
from libs.common.core.console import say
from libs.common.core.settings import Settings
from libs.common.stores.postgres import open_postgres
from ops.client import Api

COUNTS = (100, 300, 1_000, 3_000, 5_000)  # followees
QUIET_REFERENCE, ACTIVE_REFERENCE = "100 of whom post", "all of whom post"
Measured = Mapping[int, Latency]


async def measure(settings: Settings) -> list[Row]:
    """Rows of the table. One reader follows more and more people who have no posts. The reference is measured with the
    same, and with posts of all: a feed list ends at 500, so these would cost Feedmill nothing."""
    ours: dict[int, Latency] = {}
    reference: dict[str, dict[int, Latency]] = {QUIET_REFERENCE: {}, ACTIVE_REFERENCE: {}}
    async with open_postgres(settings, settings.keyspace("user")) as postgres, Api(settings.public_url) as api:
        reader, _, sample = await feed.make_world(api)
        async with quiet_people(postgres, COUNTS[-1]), Connection(api.base_url, reader.access_token) as connection:
            followed = feed.AUTHORS
            for count in COUNTS:
                say(f"{count:,} followees")
                first_id, last_id = QUIET + followed - feed.AUTHORS, QUIET + count - feed.AUTHORS - 1
                await postgres.execute(FOLLOW, int(reader.user_id), first_id, last_id, [])
                followed = count
                ours[count] = await reads(connection, await second_page(connection, feed.PAGE))
                for who, authors in ((QUIET_REFERENCE, 1 + feed.AUTHORS), (ACTIVE_REFERENCE, None)):
                    shape = Shape(2 * COUNTS[-1], count, feed.POSTS_EACH, sample, readers=1, authors=authors)
                    reference[who][count] = await _pulled(settings, shape)
    return [row for who, pulled in reference.items() for row in _rows(who, ours, pulled)]


async def _pulled(settings: Settings, shape: Shape) -> Latency:
    async with serving(settings.postgres_dsn.get_secret_value(), shape) as url, Connection(url) as connection:
        return await reads(connection, f"/feed/0?limit={feed.PAGE}")


def _rows(who: str, ours: Measured, reference: Measured) -> list[Row]:
    cpu = {n: reference[n].cpu_ms - ours[n].cpu_ms for n in COUNTS}
    p50 = {n: reference[n].p50 - ours[n].p50 for n in COUNTS}
    return [
        *(row for n in COUNTS for row in rows_of(f"assembled page, {n:,} followees, {who}", ours[n], reference[n])),
        *(Row(f"… wins, {what}", _crossing(lead)) for what, lead in (("CPU", cpu), ("p50", p50))),
    ]


def _crossing(lead: Mapping[int, float]) -> str:
    """Find where the lead, by ascending count, becomes positive and stays positive."""
    counts = list(lead)
    if lead[counts[-1]] <= 0:
        return f"not up to {counts[-1]:,}"
    for low, high in reversed(list(pairwise(counts))):
        if lead[low] <= 0:
            return f"from {low + (high - low) * -lead[low] / (lead[high] - lead[low]):,.0f} followees"
    return f"from fewer than {counts[0]:,}"
