"""People who write through the gateway whatever happens to it, and the answers that they got."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from libs.common.testing.eventually import eventually
from ops.client import Account, Api, ApiFailure, Json
from tests.e2e.world import feed, ready_media, stranger, walk

ACKNOWLEDGED_S = 240.0  # an Idempotency-Key whose try died is free again after 30 s, and several tries may die
TRY_S = 10.0  # a request that the gateway holds on to longer is sent again
PAGE = 50


@dataclass
class Acknowledged:
    """All acknowledged writes of everyone, from which the final state follows."""

    authors: dict[str, str] = field(default_factory=dict)
    marks: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    comments: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    views: set[tuple[str, str]] = field(default_factory=set)
    follows: dict[tuple[str, str], bool] = field(default_factory=dict)
    bios: dict[str, str] = field(default_factory=dict)

    def marked(self, kind: str, post_id: str) -> set[str]:
        return {user for (k, user, post), there in self.marks.items() if (k, post) == (kind, post_id) and there}

    def engagement(self, post_id: str) -> tuple[int, int, int, int]:
        """Likes, saves, comments, views."""
        viewers = {user for user, post in self.views if post == post_id}
        likes, saves = len(self.marked("like", post_id)), len(self.marked("save", post_id))
        return likes, saves, len(self.comments[post_id]), len(viewers)

    def posts_of(self, authors: set[str]) -> set[str]:
        return {post for post, author in self.authors.items() if author in authors}

    def followees(self, user: str) -> set[str]:
        return {followee for (follower, followee), there in self.follows.items() if follower == user and there}

    def followers(self, user: str) -> set[str]:
        return {follower for (follower, followee), there in self.follows.items() if followee == user and there}


class Person:
    """Does one thing after another, each until it is acknowledged."""

    def __init__(self, api: Api, account: Account, media_id: str, told: Acknowledged, rng: random.Random) -> None:
        self.account, self.acts = account, 0
        self._api, self._media_id, self._told, self._rng = api, media_id, told, rng

    @classmethod
    async def born(cls, api: Api, told: Acknowledged, rng: random.Random) -> "Person":
        account = await stranger(api)
        person = cls(api, account, await ready_media(api, account), told, rng)
        await person._post()
        await feed(api, account)
        return person

    async def act(self, people: Sequence["Person"]) -> None:
        """Something, to somebody."""
        other = self._rng.choice([one for one in people if one is not self]).account.user_id
        post_id = self._rng.choice(list(self._told.authors))
        me, there = self.account.user_id, self._rng.random() < 0.6
        method = "POST" if there else "DELETE"
        match self._rng.choices(("post", "like", "save", "comment", "view", "follow", "bio"), (1, 6, 3, 3, 2, 4, 2))[0]:
            case "post":
                await self._post()
            case "like" | "save" as kind:
                await self._acknowledged(method, f"/posts/{post_id}/{kind}")
                self._told.marks[kind, me, post_id] = there
            case "comment":
                comment = await self._created(f"/posts/{post_id}/comments", {"text": "still here"})
                self._told.comments[post_id].append(comment["comment_id"])
            case "view":
                await self._acknowledged("POST", f"/posts/{post_id}/view")
                self._told.views.add((me, post_id))
            case "follow":
                await self._acknowledged(method, f"/users/{other}/follow")
                self._told.follows[me, other] = there
            case "bio":
                bio = f"{self.acts}"
                await self._acknowledged("PATCH", f"/users/{me}", json={"bio": bio})
                self._told.bios[me] = bio
        self.acts += 1

    async def _post(self) -> None:
        post = await self._created("/posts", {"media_ids": [self._media_id], "caption": "after all"})
        self._told.authors[post["post_id"]] = self.account.user_id

    async def _created(self, path: str, body: Json) -> Json:
        key = {"Idempotency-Key": f"{self._rng.getrandbits(64):x}"}
        return await self._acknowledged("POST", path, json=body, headers=key)

    async def _acknowledged(self, method: str, path: str, **request: Any) -> Json:
        async def tried() -> list[Json]:
            try:
                return [await self._api.call(method, path, self.account, timeout=TRY_S, **request)]
            except httpx2.TransportError as error:
                raise AssertionError(f"{method} {path}: {error!r}") from error
            except ApiFailure as failure:
                if failure.response.status_code >= 500 or failure.code == "idempotency_in_progress":
                    raise AssertionError(f"{method} {path}: {failure}") from failure
                raise

        (answer,) = await eventually(tried, ACKNOWLEDGED_S)
        return answer


async def assert_kept(api: Api, people: Sequence[Person], told: Acknowledged) -> None:
    """Each acknowledged write is there, once, with its effects: lists, counts, feeds."""
    for person in people:
        who = person.account
        me = who.user_id
        profile = await api.call("GET", f"/users/{me}", who)
        own, followees, followers = told.posts_of({me}), told.followees(me), told.followers(me)
        assert profile["bio"] == told.bios.get(me, "")
        counts = (profile["post_count"], profile["following_count"], profile["follower_count"])
        assert counts == (len(own), len(followees), len(followers))
        for path, noun, key, expected in (
            (f"/users/{me}/posts", "posts", "post_id", own),
            (f"/users/{me}/following", "users", "user_id", followees),
            (f"/users/{me}/followers", "users", "user_id", followers),
            ("/saved", "posts", "post_id", {post for post in told.authors if me in told.marked("save", post)}),
        ):
            await _assert_lists(api, who, path, noun, key, expected)
        shown = [post["post_id"] for post in await walk(api, "/feed", "posts", who, limit=PAGE, order="chronological")]
        assert sorted(shown) == sorted(told.posts_of({me, *followees}))
    reader = people[0].account
    for post_id in told.authors:
        found = (await api.call("GET", f"/posts/{post_id}", reader))["engagement"]
        counts_of = tuple(found[f"{kind}_count"] for kind in ("like", "save", "comment", "view"))
        assert counts_of == told.engagement(post_id), post_id
        await _assert_lists(api, reader, f"/posts/{post_id}/likes", "users", "user_id", told.marked("like", post_id))
        comments = set(told.comments[post_id])
        assert len(comments) == len(told.comments[post_id])
        await _assert_lists(api, reader, f"/posts/{post_id}/comments", "comments", "comment_id", comments)


async def _assert_lists(api: Api, who: Account, path: str, noun: str, key: str, expected: set[str]) -> None:
    items = await walk(api, path, noun, who, limit=PAGE)
    assert sorted(item[key] for item in items) == sorted(expected), path


async def keep_acting(people: Sequence[Person]) -> None:
    """Let everyone write until cancelled. A write in progress is finished."""

    async def go_on(person: Person) -> None:
        while not stopping.is_set():
            await person.act(people)

    stopping = asyncio.Event()
    going = asyncio.gather(*(go_on(person) for person in people))
    try:
        await asyncio.shield(going)
    except asyncio.CancelledError:
        stopping.set()
        await going
