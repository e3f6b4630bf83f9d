"""Finds the number of followees from which an uncached read is faster than the pull query."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from bench.figures import Figure, Latency, Row, rows_of
from bench.followees import FOLLOW, QUIET, Reads, quiet_people, reads, second_page
from bench.http import Connection
from bench.reference_pull import serving
from bench.reference_world import Shape
from bench.world import make_world
from libs.common.core.console import say
from libs.common.core.settings import Settings
from libs.common.stores.postgres import open_postgres
from ops.client import Api

QUIET_REFERENCE, ACTIVE_REFERENCE = "few of whom post", "all of whom post"
Measured = Mapping[int, Latency]


@dataclass(frozen=True, slots=True)
class Size:
    """Ascending numbers of followees. The first of them have as many posts as a page, the others have none."""

    followees: tuple[int, ...] = (100, 300, 1_000, 3_000, 5_000)
    page: int = 20
    reads: Reads = field(default_factory=Reads)


async def measure(settings: Settings, size: Size = Size()) -> list[Row]:
    """Rows of the table. One reader follows more and more people who have no posts. The reference is measured with the
    same, and with posts of all: a feed list ends at 500, so these would cost Feedmill nothing."""
    ours: dict[int, Latency] = {}
    reference: dict[str, dict[int, Latency]] = {QUIET_REFERENCE: {}, ACTIVE_REFERENCE: {}}
    authors, most = size.followees[0], size.followees[-1]
    async with open_postgres(settings, settings.keyspace("user")) as postgres, Api(settings.public_url) as api:
        made = await make_world(api, authors, size.page, size.page)
        async with quiet_people(postgres, most), Connection(api.base_url, made.reader.access_token) as connection:
            followed = authors
            for count in size.followees:
                say(f"{count:,} followees")
                first_id, last_id = QUIET + followed - authors, QUIET + count - authors - 1
                await postgres.execute(FOLLOW, int(made.reader.user_id), first_id, last_id, [])
                followed = count
                ours[count] = await reads(connection, await second_page(connection, size.page), size.reads)
                for who, posting in ((QUIET_REFERENCE, 1 + authors), (ACTIVE_REFERENCE, None)):
                    shape = Shape(2 * most, count, size.page, made.sample, readers=1, authors=posting)
                    reference[who][count] = await _pulled(settings, shape, size)
    return [row for who, pulled in reference.items() for row in _rows(who, ours, pulled)]


async def _pulled(settings: Settings, shape: Shape, size: Size) -> Latency:
    async with serving(settings.postgres_dsn.get_secret_value(), shape) as url, Connection(url) as connection:
        return await reads(connection, f"/feed/0?limit={size.page}", size.reads)


def _rows(who: str, ours: Measured, reference: Measured) -> list[Row]:
    cpu = {n: reference[n].cpu_ms - ours[n].cpu_ms for n in ours}
    p50 = {n: reference[n].p50 - ours[n].p50 for n in ours}
    return [
        *(row for n in ours for row in rows_of(f"assembled page, {n:,} followees, {who}", ours[n], reference[n])),
        *(_crossing(f"… wins from, {who}, {what}", lead) for what, lead in (("CPU", cpu), ("p50", p50))),
    ]


def _crossing(what: str, lead: Mapping[int, float]) -> Row:
    """Find where the lead, by ascending count, becomes positive and stays positive."""
    counts = list(lead)
    if lead[counts[-1]] <= 0:
        return Row(what, None, note=f"not up to {counts[-1]:,} followees")
    for low, high in reversed(list(pairwise(counts))):
        if lead[low] <= 0:
            return Row(what, Figure(low + (high - low) * -lead[low] / (lead[high] - lead[low]), "followees"))
    return Row(what, Figure(counts[0], "followees"), note="or fewer")
