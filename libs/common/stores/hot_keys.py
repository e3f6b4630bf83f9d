"""Finds the Redis keys with the most operations, from a sample of 1 % of all commands.

Each process counts the keys of the commands that it samples, and adds the counts to those of other processes in Redis.
The canary reads the sums. A Redis server executes the commands on one key one after the other, on one core, so no
further node of a cluster helps.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis

from libs.common.core.logging import get_logger

COMMANDS_A_SAMPLE = 100
WINDOW_S = 10
WINDOW_LIFE_S = 60
HOT_PER_S = 1_000
HOT_LIFE_S = 3_600  # a key stays in the list for this time after it was last hot
KEYS_MAX = 50  # of a process in a window, and of the list
COUNTED_MAX = 10_000  # keys in memory, about 2 MB; many more sampled keys in 10 s are not hot
_NAME = "hot_keys"
_NO_KEY = {
    *("PING", "HELLO", "AUTH", "CLIENT", "SELECT", "READONLY", "ASKING", "INFO", "CONFIG", "COMMAND", "CLUSTER"),
    *("FUNCTION", "MULTI", "EXEC", "DISCARD", "SCAN", "KEYS"),
}
_ONLY_KEYS = {"MGET", "DEL", "EXISTS", "UNLINK", "PFCOUNT"}
_COUNTED_KEYS = {"FCALL", "FCALL_RO", "EVAL", "EVALSHA"}
log = get_logger(__name__)


class CommandSample:
    """Counts the keys of one command in 100.

    The gaps are random. Otherwise the position in a pipeline of 10 or 50 commands would decide who is counted.
    """

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._left = COMMANDS_A_SAMPLE

    def command(self, args: Sequence[Any]) -> None:
        """Note that a command is sent. `args` begin with its name."""
        self._left -= 1
        if self._left <= 0:
            self._left = random.randrange(1, 2 * COMMANDS_A_SAMPLE)
            for key in map(_text, _keys(args)):
                if _NAME not in key and (key in self._counts or len(self._counts) < COUNTED_MAX):
                    self._counts[key] += 1

    def take(self) -> Counter[str]:
        """Return the counts since the last call."""
        counts, self._counts = self._counts, Counter()
        return counts


SAMPLE = CommandSample()
"""The commands of this process, over all clients."""


class HotKeys:
    """The counts of all processes by window of 10 s, and the list of hot keys.

    Args:
        redis: the client for its own commands, which are not sampled.
        namespace: the prefix of all keys.
        clock: Unix time in seconds.
        sample: the counts of this process.
    """

    def __init__(
        self,
        redis: "Redis",
        namespace: str,
        clock: Callable[[], float] = time.time,
        sample: CommandSample = SAMPLE,
    ) -> None:
        self._redis = redis
        self._list = f"{namespace}{_NAME}"
        self._clock = clock
        self._sample = sample

    async def run(self) -> None:
        """Report at the end of each window until cancelled."""
        while True:
            await asyncio.sleep(WINDOW_S - self._clock() % WINDOW_S)
            try:
                await self.report()
            except Exception as error:  # redis-py raises others for a damaged cluster, and no statistic may end us
                log.warning("hot_keys_not_reported", error=repr(error))

    async def report(self) -> None:
        """Add the counts of this process to the window that has ended. Raises RedisError."""
        counts = self._sample.take().most_common(KEYS_MAX)
        if not counts:
            return
        key = self._window(round(self._clock() / WINDOW_S) - 1)  # a timer may end some milliseconds before the window
        async with self._redis.pipeline(transaction=False) as pipe:
            for member, count in counts:
                pipe.zincrby(key, count, member)
            pipe.expire(key, WINDOW_LIFE_S)
            await pipe.execute()

    async def find(self) -> dict[str, float]:
        """List the keys that have become hot, and drop those that have not been hot for an hour. Raises RedisError.

        Return the operations per second on each listed key in the last complete window.
        """
        now_s = self._clock()
        # One window back, because processes report the one that has ended now.
        key = self._window(int(now_s // WINDOW_S) - 2)
        counted: Any = await self._redis.zrange(key, 0, KEYS_MAX - 1, desc=True, withscores=True)
        rates = {_text(member): count * COMMANDS_A_SAMPLE / WINDOW_S for member, count in counted}
        hot = {member: now_s + HOT_LIFE_S for member, rate in rates.items() if rate > HOT_PER_S}
        async with self._redis.pipeline(transaction=False) as pipe:
            if hot:
                pipe.zadd(self._list, hot)
                pipe.expire(self._list, HOT_LIFE_S)
            pipe.zremrangebyscore(self._list, "-inf", now_s)
            pipe.zremrangebyrank(self._list, 0, -KEYS_MAX - 1)
            pipe.zrange(self._list, 0, -1)
            listed = (await pipe.execute())[-1]
        return {member: rates.get(member, 0.0) for member in map(_text, listed)}

    def _window(self, number: int) -> str:
        return f"{self._list}:{number}"


def _keys(args: Sequence[Any]) -> Sequence[Any]:
    name = args[0]
    if name in _COUNTED_KEYS:
        return args[3 : 3 + int(args[2])]
    if name in _ONLY_KEYS:
        return args[1:]
    return () if name.partition(" ")[0] in _NO_KEY else args[1:2]


def _text(key: Any) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)
