"""Every process is replaced under load: no request fails, no event is lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import httpx2
import pytest

from devstack.stack import Stack
from libs.common.testing.eventually import eventually
from ops.client import Account, Api
from tests.e2e.test_gateway import is_counted
from tests.faults.test_crashes import RECOVERY_S, all_delivered, author_with_followers, ready_media

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]
READERS = 3
POSTS = 6
POSTS_EVERY_S = 3.0


@pytest.fixture
async def api(base_url: str) -> AsyncIterator[Api]:
    """Open a connection for each request. A reload of nginx may close an idle one while it is used again."""
    async with Api(base_url) as api:
        await api.http.aclose()
        limits = httpx2.Limits(max_keepalive_connections=0)
        api.http = httpx2.AsyncClient(base_url=api.http.base_url, timeout=api.http.timeout, limits=limits)
        yield api


class Load:
    """People who read, like and post until they are stopped. What was not answered well is in `failures`."""

    def __init__(self, api: Api, author: Account, readers: list[Account], media_ids: list[str]) -> None:
        self.failures: list[str] = []
        self.answered = 0
        self.posts: list[str] = []
        self.likes: dict[str, int] = {}
        self._api = api
        self._author = author
        self._readers = readers
        self._media_ids = media_ids
        self._is_over = False

    async def run(self, during: Awaitable[None]) -> None:
        """Send requests as long as `during` takes."""
        people = [asyncio.create_task(self._until_over(self._post))]
        people += [asyncio.create_task(self._until_over(self._reads(reader))) for reader in self._readers]
        try:
            await during
        finally:
            self._is_over = True
            await asyncio.gather(*people)

    async def _until_over(self, act: Callable[[], Awaitable[None]]) -> None:
        while not self._is_over:
            try:
                await act()
                self.answered += 1
            except Exception as error:
                self.failures.append(repr(error))

    async def _post(self) -> None:
        if not self._media_ids:
            await asyncio.sleep(POSTS_EVERY_S)
            return
        body = {"media_ids": [self._media_ids.pop()], "caption": "meanwhile"}
        post_id = (await self._api.call("POST", "/posts", self._author, json=body))["post_id"]
        self.posts.append(post_id)
        await asyncio.sleep(POSTS_EVERY_S)

    def _reads(self, reader: Account) -> Callable[[], Awaitable[None]]:
        liked: set[str] = set()

        async def read() -> None:
            await self._api.call("GET", "/feed", reader)
            for post_id in {*self.posts} - liked:
                await self._api.call("POST", f"/posts/{post_id}/like", reader)
                liked.add(post_id)
                self.likes[post_id] = self.likes.get(post_id, 0) + 1

        return read


async def test_a_restart_under_load_fails_no_request_and_loses_no_event(stack: Stack, api: Api) -> None:
    author, readers = await author_with_followers(api, READERS)
    load = Load(api, author, readers, [await ready_media(api, author) for _ in range(POSTS)])
    before = {name: stack.table.find(name) for name in stack.names()}
    await load.run(asyncio.to_thread(stack.restart))
    after = {name: stack.table.find(name) for name in stack.names()}
    assert [name for name in before if before[name] == after[name]] == ["gateway"]
    assert None not in after.values()
    assert load.failures == []
    assert load.answered > len(load.posts) > 0
    await is_counted(stack, api)
    for post_id in load.posts:
        await eventually(partial(all_delivered, api, readers, post_id), RECOVERY_S)
        await eventually(partial(has_likes, api, author, post_id, load.likes[post_id]), RECOVERY_S)


async def has_likes(api: Api, reader: Account, post_id: str, count: int) -> bool:
    counts = (await api.call("GET", f"/posts/{post_id}", reader))["engagement"]
    return bool(counts["like_count"] == count)
