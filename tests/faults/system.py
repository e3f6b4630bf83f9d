"""A running system whose stores and processes a test may take away, one at a time, and get back."""

import asyncio
import itertools
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from devstack.environment import deployable_environ
from devstack.providers import StoreProvider
from devstack.stack import READY_TIMEOUT_S, Stack, find, is_healthy
from devstack.stores import ALL, StoreName
from libs.common.core.settings import Settings
from libs.common.testing.eventually import eventually
from libs.common.testing.proxy import Fault, FaultProxy
from libs.deployables import Deployable
from libs.invalidation.stamps import CLOCK_SKEW_S
from ops.client import Account, Api, Json
from ops.oracle import Verdict, open_oracle

RECOVERY_S = 60.0  # a Cassandra that was killed takes half of it to come back
STOPPED_S = 18.0  # after SIGTERM: docs/runbooks/upgrade.md
_STORES: dict[str, StoreName] = {name: name for name in ALL}


class Blow(StrEnum):
    """A fault of a process itself: SIGKILL or SIGSTOP."""

    KILL = "kill"
    PAUSE = "pause"


@dataclass(frozen=True)
class World:
    """Two authors that the reader follows. `posts` has the ids of all posts."""

    author: Account
    busy: Account
    reader: Account
    media_id: str
    posts: list[str] = field(default_factory=list)


class System:
    """The stack, its stores, and the proxies on the way to them."""

    def __init__(
        self, stack: Stack, stores: StoreProvider, ways: Mapping[str, FaultProxy], api: Api, world: World
    ) -> None:
        self.stack, self.stores, self.ways, self.api, self.world = stack, stores, ways, api, world
        self._limits = itertools.cycle(range(50, 100))

    @asynccontextmanager
    async def without(self, victim: str, how: Blow | Fault) -> AsyncIterator[None]:
        """Take it away; afterwards wait until everything is as before, by itself, and say how long that took."""
        await self._take(victim, how)
        try:
            yield
        finally:
            await self._give_back(victim, how)
        begun = time.monotonic()
        await self.is_whole()
        print(f"| {victim} | {how} | {time.monotonic() - begun:.1f} s |")
        if victim == "redis":  # a newborn one vouches for nothing that was shown before
            await asyncio.sleep(2 * CLOCK_SKEW_S)

    async def replace(self, name: str, number: signal.Signals) -> None:
        """Send a process of ours a signal that ends it, and start another in its place."""
        table = self.stack.table
        process = table.find(name)
        assert process
        process.send(number)

        async def is_gone() -> bool:
            return table.find(name) is None

        await eventually(is_gone, STOPPED_S)
        await self._start(find(self.stack, name))

    async def feed(self, order: str = "chronological") -> httpx2.Response:
        """Return a first page that is not cached: each read has another limit."""
        params = {"order": order, "limit": next(self._limits)}
        return await self.api.send("GET", "/feed", self.world.reader, params=params)

    def newest(self, answer: httpx2.Response) -> list[str]:
        """Return the posts that a complete first page has."""
        return sorted(self.world.posts, key=int, reverse=True)[: int(answer.url.params["limit"])]

    async def publish(self, key: str | None = None) -> httpx2.Response:
        """Publish a post of the author, with one attempt."""
        body = {"media_ids": [self.world.media_id], "caption": "a post"}
        headers = {"Idempotency-Key": key or secrets.token_hex(8)}
        answer = await self.api.send("POST", "/posts", self.world.author, json=body, headers=headers)
        if answer.status_code < 300 and answer.json()["post_id"] not in self.world.posts:
            self.world.posts.append(answer.json()["post_id"])
        return answer

    async def mute(self) -> httpx2.Response:
        """Mute a user, a change of the graph that no feed here shows."""
        return await self.api.send("POST", f"/users/{self.world.reader.user_id}/mute", self.world.author)

    async def comment(self) -> None:
        """Let the reader comment, so that no followees in memory are valid."""
        path = f"/posts/{self.world.posts[0]}/comments"
        await self.api.call("POST", path, self.world.reader, json={"text": "still here"})

    async def is_whole(self) -> None:
        """Check that a new post is in the feed, that the feed is exact, and that follows and uploads are possible."""

        key = secrets.token_hex(8)

        async def published() -> bool:
            return (await self.publish(key)).status_code in (201, 202)  # made, though its author can't be shown yet

        async def complete() -> bool:
            answer = await self.feed()
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-feed-quality"] == "normal", answer.json()["coverage"]
            assert answer.json()["coverage"]["complete"]
            assert shown(answer) == self.newest(answer)
            return True

        async def muted() -> bool:
            return (await self.mute()).status_code == 204

        async def uploaded() -> bool:
            wanted = {"content_type": "image/jpeg", "file_size": 1}
            return (await self.api.send("POST", "/media/upload-url", self.world.author, json=wanted)).status_code == 200

        for condition in (published, complete, muted, uploaded):
            await eventually(condition, RECOVERY_S)

    async def metric(self, deployable: str, name: str) -> float:
        """Return the sum of the samples of a metric."""
        async with httpx2.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{self.stack.state.port(deployable)}/metrics")).text
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
        return sum(sample.value for sample in samples if sample.name == name)

    @asynccontextmanager
    async def second(self, name: str) -> AsyncIterator[None]:
        """Another process of a deployable beside the first."""
        other = replace(find(self.stack, name), name=f"{name}-2")
        await self._start(other)
        try:
            yield
        finally:
            await asyncio.to_thread(self.stack.table.stop, other.name)

    async def _start(self, one: Deployable) -> None:
        """Start it and wait until it is ready."""
        stack = self.stack
        env = deployable_environ(stack.environ(stack.provider().endpoints()), stack.state, one)
        stack.table.spawn(one.name, [sys.executable, "-m", one.module], env, stack.settings.root)
        ready = {one.name: partial(is_healthy, stack.state.port(one.name))}
        await asyncio.to_thread(stack.table.wait_ready, ready, READY_TIMEOUT_S)

    async def _take(self, victim: str, how: Blow | Fault) -> None:
        store, table = _STORES.get(victim), self.stack.table
        match how:
            case Fault():
                await self.ways[victim].impose(how)
            case Blow.KILL:
                await asyncio.to_thread(self.stores.kill, store) if store else await asyncio.to_thread(
                    table.kill, victim
                )
            case Blow.PAUSE:
                self.stores.pause(store) if store else table.signal_tree(victim, signal.SIGSTOP)

    async def _give_back(self, victim: str, how: Blow | Fault) -> None:
        store = _STORES.get(victim)
        match how:
            case Fault():
                await self.ways[victim].heal()
            case Blow.KILL:
                await (asyncio.to_thread(self.stores.start) if store else self._start(find(self.stack, victim)))
            case Blow.PAUSE:
                self.stores.resume(store) if store else self.stack.table.signal_tree(victim, signal.SIGCONT)


async def feeds_are_right(settings: Settings, reader: Account) -> None:
    """Check both orders, once the pages say that they are complete."""
    async with open_oracle(settings, grace_s=0, fresh=True) as oracle:

        async def complete() -> list[Verdict] | None:
            verdicts = await oracle.check(int(reader.user_id))
            return verdicts if all(verdict.complete for verdict in verdicts) else None

        assert [verdict.findings for verdict in await eventually(complete) or ()] == [[], []]


def shown(answer: httpx2.Response) -> list[str]:
    """Ids of the posts of a page."""
    return [post["post_id"] for post in answer.json()["posts"]]


def problem_of(answer: httpx2.Response) -> Json:
    """Return the body of a refusal that has `Retry-After`."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"]
    problem: Json = answer.json()
    return problem
