"""Makes the sample world through the public API. Safe to run again: what is there stays."""

import asyncio
import random
from collections.abc import Awaitable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from ops.client import Account, Api, ApiFailure
from ops.photos import paint
from ops.progress import say
from ops.world import COMMENTS, PASSWORD, Person, Photo, World, make_world

T = TypeVar("T")
AT_ONCE = 8  # requests under way; the machine paints and hashes passwords meanwhile
PAINTERS = 2
LIKE_SHARE = 0.35
COMMENT_SHARE = 0.07


async def seed(base_url: str, users: int, posts: int) -> str:
    """People, follows, photos, likes and comments; how to log in."""
    world = make_world(users, posts)
    async with Api(base_url) as api:
        people = await _bounded(_account(api, person) for person in world.people)
        say(f"{len(people)} people")
        await _bounded(_follow(api, people[a], people[b]) for a, b in world.follows)
        say(f"{len(world.follows)} follows")
        post_ids = await _photos(api, world, people)
        say(f"{len(post_ids)} photos")
        acts = await _bounded(_engage(api, people, post_id, i) for i, post_id in enumerate(post_ids))
        say(f"{sum(acts)} likes and comments")
    names = ", ".join(person.username for person in world.people[:4])
    return f"log in as {names} … with the password {PASSWORD}"


async def _bounded(work: Iterable[Awaitable[T]]) -> list[T]:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(item: Awaitable[T]) -> T:
        async with slots:
            return await item

    return list(await asyncio.gather(*(one(item) for item in work)))


async def _account(api: Api, person: Person) -> Account:
    try:
        account = await api.register(person.username, PASSWORD, display_name=person.display_name)
    except ApiFailure as failure:
        if failure.code not in {"username_taken", "email_taken"}:
            raise
        return await api.login(person.username, PASSWORD)
    await api.call("PATCH", f"/users/{account.user_id}", account, json={"bio": person.bio})
    return account


async def _follow(api: Api, follower: Account, followee: Account) -> None:
    await api.call("POST", f"/users/{followee.user_id}/follow", follower)


async def _photos(api: Api, world: World, people: Sequence[Account]) -> list[str]:
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(PAINTERS) as painters:

        async def one(photo: Photo) -> str:
            author, key = people[photo.author], f"sample-{photo.seed}"
            picture = await loop.run_in_executor(painters, paint, photo.motif, photo.seed)
            post_id = await api.post_photo(author, picture, photo.caption, key)
            await api.published(author, post_id)
            return post_id

        return await _bounded(one(photo) for photo in world.photos)


async def _engage(api: Api, people: Sequence[Account], post_id: str, index: int) -> int:
    rng = random.Random(index)
    acts = 0
    for i, person in enumerate(people):
        if rng.random() < LIKE_SHARE:
            await api.call("POST", f"/posts/{post_id}/like", person)
            acts += 1
        if rng.random() < COMMENT_SHARE:
            key = {"Idempotency-Key": f"sample-{index}-{i}"}
            text = {"text": rng.choice(COMMENTS)}
            await api.call("POST", f"/posts/{post_id}/comments", person, json=text, headers=key)
            acts += 1
    return acts
