"""A reader and authors with posts, made through the public API."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from libs.common.testing.eventually import eventually
from ops.client import Account, Api
from ops.photos import paint

MOST = 100  # posts of a page
AT_ONCE = 4
ARRIVAL_S = 60.0
PASSWORD = "a long password"  # noqa: S105 - of people made for the measurement


@dataclass(frozen=True, slots=True)
class MadeWorld:
    """`cursor` leads to the reader's second chronological page. `sample` is a post as the first one shows it."""

    reader: Account
    author_ids: tuple[int, ...]
    cursor: str
    sample: Mapping[str, Any]


async def make_world(api: Api, authors: int, posts_each: int, page: int) -> MadeWorld:
    """Let a new reader follow new authors, let them post one picture after the other, and wait until it can be read."""
    tag = secrets.token_hex(4)
    reader = await api.register(f"bench_{tag}", PASSWORD)
    slots = asyncio.Semaphore(AT_ONCE)
    photo = paint("terrazzo", 1)

    async def author(index: int) -> int:
        async with slots:
            who = await api.register(f"bench_{tag}_{index}", PASSWORD)
            await api.call("POST", f"/users/{who.user_id}/follow", reader)
            media_id = await api.upload(who, photo)
            await api.settled(f"/media/{media_id}", who)
            for i in range(posts_each):
                await api.call("POST", "/posts", who, json={"media_ids": [media_id], "caption": f"number {i}"})
            return int(who.user_id)

    author_ids = await asyncio.gather(*(author(index) for index in range(authors)))

    async def all_there() -> bool:
        page = await api.call("GET", "/feed", reader, params={"order": "chronological", "limit": MOST})
        return len(page["posts"]) == min(MOST, authors * posts_each)

    await eventually(all_there, ARRIVAL_S)
    first = await api.call("GET", "/feed", reader, params={"order": "chronological", "limit": page})
    return MadeWorld(reader, tuple(author_ids), first["next_cursor"], first["posts"][0])
