"""Makes the sample world through the public API. It is safe to run again, also for a larger world: it only adds."""

import asyncio
import random
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from itertools import chain
from typing import Any, TypeVar

from libs.common.core.console import say
from ops.client import Account, Api, ApiFailure, Json, when_allowed
from ops.photos import paint
from ops.world import COMMENTS, PASSWORD, Person, Photo, World, make_world

T = TypeVar("T")
AT_ONCE = 8  # requests in progress; the machine also paints images and hashes passwords
PAINTERS = 2
LIKE_SHARE = 0.35
COMMENT_SHARE = 0.07


async def seed(base_url: str, users: int, posts: int) -> str:
    """Make users, follows, photos, likes and comments. Return how to log in."""
    world = make_world(users, posts)
    async with Api(base_url) as api:
        people = await _bounded(_account(api, person) for person in world.people)
        say(f"{len(people)} people")
        await _bounded(_follow(api, people[a], people[b]) for a, b in world.follows)
        say(f"{len(world.follows)} follows")
        there = await _bounded(_posts_of(api, person) for person in people)
        made = await _photos(api, world, people, [len(theirs) for theirs in there])
        shown = [*chain.from_iterable(there), *made]
        say(f"{len(shown)} photos")
        acts = await _bounded(_engage(api, people, post) for post in shown)
        say(f"{sum(acts)} likes and comments")
    names = ", ".join(person.username for person in world.people[:4])
    return f"log in as {names} … with the password {PASSWORD}"


async def _bounded(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(item: Coroutine[Any, Any, T]) -> T:
        with closing(item):  # after a failure, those that never began would warn
            async with slots:
                return await item

    return list(await asyncio.gather(*(one(item) for item in work)))


async def _account(api: Api, person: Person) -> Account:
    name = person.username
    try:
        account = await api.register(name, PASSWORD, display_name=person.display_name)
    except ApiFailure as failure:
        if failure.code not in {"username_taken", "email_taken"}:
            raise
        return await when_allowed(lambda: api.login(name, PASSWORD))
    await api.call("PATCH", f"/users/{account.user_id}", account, json={"bio": person.bio})
    return account


async def _follow(api: Api, follower: Account, followee: Account) -> None:
    await api.call("POST", f"/users/{followee.user_id}/follow", follower)


async def _posts_of(api: Api, person: Account) -> list[Json]:
    return [post async for page in api.pages(f"/users/{person.user_id}/posts", "posts", person) for post in page]


async def _photos(api: Api, world: World, people: Sequence[Account], there: Sequence[int]) -> list[Json]:
    """Post the photos that the world lacks: for each author, those beyond the number of existing posts."""
    missing: list[Photo] = []
    seen = [0] * len(people)
    for photo in world.photos:
        if seen[photo.author] >= there[photo.author]:
            missing.append(photo)
        seen[photo.author] += 1
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(PAINTERS) as painters:

        async def one(photo: Photo) -> Json:
            author = people[photo.author]
            picture = await loop.run_in_executor(painters, paint, photo.motif, photo.seed)
            return await api.published(author, await api.post_photo(author, picture, photo.caption))

        wanted = max(0, len(world.photos) - sum(there))
        return await _bounded(one(photo) for photo in missing[:wanted])


async def _engage(api: Api, people: Sequence[Account], post: Json) -> int:
    """Like and comment. A like is safe to repeat and a comment is not, so only posts without comments get some."""
    post_id = post["post_id"]
    rng = random.Random(post_id)
    quiet = post["engagement"]["comment_count"] == 0
    acts = 0
    for person in people:
        if rng.random() < LIKE_SHARE:
            await api.call("POST", f"/posts/{post_id}/like", person)
            acts += 1
        if rng.random() < COMMENT_SHARE and quiet:
            await api.call("POST", f"/posts/{post_id}/comments", person, json={"text": rng.choice(COMMENTS)})
            acts += 1
    return acts
