"""A mixed load for a long time, and whether memory, lag and errors stay flat."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from chaos.load import SIGNED_IN_S, Load, gather_people, sign_in_again
from devstack.stack import Stack
from devstack.stores import ALL
from libs.common.core.console import say
from libs.common.core.settings import Settings
from libs.common.kafka.lag import LagMeter
from ops.client import Api
from ops.counts import ON_THEIR_WAY

GROUPS = {**ON_THEIR_WAY, "fanout": ["posts"], "feed": ["graph", "posts", "interactions", "users"]}
SAMPLES = 20
GROWTH = 1.10  # of a process's memory from the second quarter of the samples to the last: more is no longer flat
LAG = 500  # messages


@dataclass(frozen=True, slots=True)
class Sample:
    """At one moment: resident bytes by process, messages not handled yet, failed requests since the sample before."""

    memory: Mapping[str, int]
    lag: int
    requests: int
    failed: int


async def soak(stack: Stack, settings: Settings, minutes: float) -> list[Sample]:
    """Run the load, and print a line for each sample."""
    samples: list[Sample] = []
    every_s, ends = minutes * 60 / SAMPLES, time.monotonic() + minutes * 60
    async with Api(settings.public_url) as api, LagMeter(settings) as meter:
        people = await gather_people(api)
        while time.monotonic() < ends:
            people = await sign_in_again(api, people)
            load, shift_ends = Load(settings.public_url, people), min(ends, time.monotonic() + SIGNED_IN_S)
            async with load.going_on():
                while time.monotonic() < shift_ends:
                    begun = time.monotonic()
                    await asyncio.sleep(min(every_s, shift_ends - begun))
                    samples.append(sample := await _sample(stack, meter, load, begun))
                    total = sum(sample.memory.values()) / 1e6
                    say(f"{total:,.0f} MB, lag {sample.lag}, {sample.failed} of {sample.requests} requests failed")
    return samples


async def _sample(stack: Stack, meter: LagMeter, load: Load, since: float) -> Sample:
    requests = load.since(since)
    lag = sum([await meter.lag(group, topics) for group, topics in GROUPS.items()])
    running = {name: identity for name in stack.table.names() if (identity := stack.table.find(name))}
    memory = {name: identity.rss_bytes() for name, identity in running.items()}
    return Sample(memory, lag, len(requests), sum(one.failed for one in requests))


def not_flat(samples: Sequence[Sample]) -> list[str]:
    """Return each figure that grew, fell behind or failed."""
    quarter = max(1, len(samples) // 4)
    middle, last = samples[quarter : 2 * quarter], samples[-quarter:]
    found = [
        f"{name} grew from {_usual(middle, name) / 1e6:,.0f} to {_usual(last, name) / 1e6:,.0f} MB"
        for name in last[-1].memory
        if name not in ALL  # stores hold what people made, and grow with it
        and _usual(last, name) > GROWTH * _usual(middle, name) > 0
    ]
    found += [f"lag of {sample.lag}" for sample in last if sample.lag > LAG]
    if failed := sum(sample.failed for sample in samples):
        found.append(f"{failed} requests failed")
    return found


def _usual(samples: Sequence[Sample], name: str) -> float:
    """Return the median, because a sample may fall on the decoding of an image in a child process."""
    return median(sample.memory.get(name, 0) for sample in samples) if samples else 0.0
