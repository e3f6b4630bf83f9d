"""Requests in several rounds, between which the idle share of CPU is sampled."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from bench import cpu
from bench.figures import Latency

Act = Callable[[], Awaitable[None]]
"""One request. It raises an error when the answer is not the expected one."""


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of each request, and of all of them together. `elapsed_s` is 0 if their rate was given."""

    times: Sequence[float]
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often something is measured, and for how long the idle share is sampled around each round.

    The CPU is that of the named processes of the system, or of all.
    """

    count: int = 5
    idle_s: float = 1.0
    names: Collection[str] = ()

    async def of(self, measure: Callable[[], Awaitable[Round]]) -> Latency:
        """Measure. CPU is without the idle share of the processes.

        The idle share is the lowest of all samples, so that a disturbed sample does not make requests cheap. The whole
        use in a round is a sample, too: the idle share can't be more. So no round has a negative cost.
        """
        idle, taken = await cpu.calm_share(self.idle_s, self.names), []
        for _ in range(self.count):
            before, started = cpu.read(self.names), time.perf_counter()
            measured = await measure()
            used, spent = cpu.used_s(before, cpu.read(self.names)), time.perf_counter() - started
            taken.append((measured, used, spent))
            idle = min(idle, used / spent, await cpu.share(self.idle_s, self.names))
        return Latency.over(
            [Latency.of(one.times, one.elapsed_s, (used / spent - idle) * spent) for one, used, spent in taken]
        )


async def drive(acts: Sequence[Act], seconds: float, rate: float | None = None) -> Round:
    """Repeat each act at the same time as the others, as often as the seconds allow, or `rate` a second together.

    With a rate, a time begins when its request is due: waiting for a free act counts. Each act happens at least once.
    """
    times: list[float] = []
    slots = itertools.count()
    started = time.perf_counter()

    async def repeat(act: Act) -> None:
        done = False
        while True:
            due = started + next(slots) / rate if rate else time.perf_counter()
            if done and due >= started + seconds:
                return
            if rate:
                await asyncio.sleep(due - time.perf_counter())
            await act()
            done = True
            times.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as group:
        for act in acts:
            group.create_task(repeat(act))
    return Round(times, 0.0 if rate else time.perf_counter() - started)
