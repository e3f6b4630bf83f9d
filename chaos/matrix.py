"""One fault after the other, under load."""

import asyncio
import time
from collections.abc import Sequence

from chaos.faults import Fault
from chaos.load import Load, Person, gather_people, sign_in_again
from chaos.verdict import Verdict, outside, settle, table
from libs.common.core.console import say
from ops.client import Api

STEADY_S = 3.0  # before a fault
CALM_S = 2.0  # without a failed or degraded answer: recovered
GIVE_UP_S = 120.0  # after the end of a fault


async def matrix(base_url: str, faults: Sequence[Fault]) -> list[Verdict]:
    """Return one row for each fault, in this order."""
    async with Api(base_url) as api:
        people = await gather_people(api)
        rows = []
        for fault in faults:
            people = await sign_in_again(api, people)
            rows.append(row := await _row(base_url, api, people, fault))
            say(f"{fault.name}: clean" if row.is_clean else f"{fault.name}: NOT CLEAN\n{table([row])}")
        return rows


async def _row(base_url: str, api: Api, people: Sequence[Person], fault: Fault) -> Verdict:
    load = Load(base_url, people)
    async with load.going_on():
        await asyncio.sleep(STEADY_S)
        begun = time.monotonic()
        try:
            await fault.begin()
            await asyncio.sleep(fault.held_s)
        finally:
            await fault.end()
        ended = time.monotonic()
        recovered = await _recovered(load, ended)
        await asyncio.sleep(CALM_S)
    found = await settle(api, people, load.promises)
    lost, doubled = found or (0, 0)
    until = recovered or time.monotonic()
    return Verdict(
        fault=fault.name,
        requests=len(load.requests),
        failed=sum(one.failed for one in load.requests),
        outside=outside(load.requests, begun, until),
        degraded=sum(one.degraded for one in load.requests),
        lost=lost,
        doubled=doubled,
        recovery_s=None if recovered is None or found is None else recovered - ended,
    )


async def _recovered(load: Load, ended: float) -> float | None:
    """Return when the last unusual answer came, or None if they do not end."""
    deadline = ended + GIVE_UP_S
    while time.monotonic() < deadline:
        await asyncio.sleep(CALM_S / 4)
        bad = [one.at for one in load.since(ended) if one.failed or one.degraded]
        last = max(bad, default=ended)
        kinds = {one.is_read for one in load.since(last) if not one.failed}
        if time.monotonic() - last >= CALM_S and kinds == {True, False}:
            return last
    return None
