"""One journey through the whole system: a post travels to a follower's feed, a like and a comment come back."""

import asyncio
import secrets
import time

from libs.common.core.console import say
from ops.client import Account, Api
from ops.photos import paint

DEADLINE_S = 30.0
POLL_S = 0.01


class JourneyError(RuntimeError):
    """A step did not have the expected result."""


async def journey(base_url: str) -> None:
    """Print each step; raises JourneyError or ApiFailure."""
    started = time.monotonic()
    tag = secrets.token_hex(4)
    async with Api(base_url) as api:
        author, reader = await asyncio.gather(
            *(api.register(f"{name}_{tag}", secrets.token_urlsafe(12)) for name in ("author", "reader"))
        )
        await api.call("POST", f"/users/{author.user_id}/follow", reader)
        await api.call("GET", "/feed", reader)  # from now on the reader has a feed list to be pushed into
        say("two people registered, one follows the other")
        media_id = await api.upload(author, paint("sea", int(tag, 16)))
        await api.settled(f"/media/{media_id}", author)
        posting = time.monotonic()
        body = {"media_ids": [media_id], "caption": "Seen on the way #journey"}
        post_id = (await api.call("POST", "/posts", author, json=body))["post_id"]
        acknowledged = time.monotonic()
        await _appears(api, reader, post_id)
        arrived = time.monotonic()
        say(f"post acknowledged after {_ms(posting, acknowledged)}")
        say(f"post in the follower's feed after {_ms(posting, arrived)}")
        await api.call("POST", f"/posts/{post_id}/like", reader)
        await api.call("POST", f"/posts/{post_id}/comments", reader, json={"text": "It arrived!"})
        await _counted(api, author, post_id)
        say(f"liked, commented on and counted; the whole journey took {time.monotonic() - started:.1f} s")


def _ms(start: float, end: float) -> str:
    return f"{(end - start) * 1000:.0f} ms"


async def _appears(api: Api, reader: Account, post_id: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                page = await api.call("GET", "/feed", reader, params={"order": "chronological"})
                if any(post["post_id"] == post_id for post in page["posts"]):
                    return
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise JourneyError(f"post {post_id} did not reach the follower's feed in {DEADLINE_S:.0f} s") from None


async def _counted(api: Api, author: Account, post_id: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                engagement = (await api.call("GET", f"/posts/{post_id}", author))["engagement"]
                if (engagement["like_count"], engagement["comment_count"]) == (1, 1):
                    return
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise JourneyError(f"like and comment were not counted in {DEADLINE_S:.0f} s") from None
