"""People who read, post, like and comment all the time, and a record of each acknowledged write."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle, islice
from typing import Any

import httpx2

from libs.common.testing.eventually import eventually
from ops.client import Account, Api, ApiFailure, Json
from ops.photos import paint

PEOPLE = 6
READS_A_SECOND = 4.0  # of each person
WRITES_A_SECOND = 1.0
UPLOADED = 5  # one post in five brings its own image
PATIENCE_S = 5.0  # of a client
AGAIN_S = 0.3
AT_ONCE = 4  # people who are made at a time
SIGN_IN_S = 60.0
SIGNED_IN_S = 600.0  # tokens live for 15 minutes
PASSWORD = "a long password"  # noqa: S105 - of people made for this
AGAIN = (409, 429)  # the first try is still running; too often


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who is signed in, has a picture to post, uploaded and as a file, and follows all the others."""

    account: Account
    photo: bytes
    media_id: str


@dataclass(frozen=True, slots=True)
class Request:
    """An attempt and its answer, if there was one. `at` is monotonic."""

    at: float
    is_read: bool
    failed: bool
    degraded: bool = False


@dataclass(slots=True)
class Promises:
    """Acknowledged writes: posts, and for each post its likers and its number of comments."""

    posts: list[str] = field(default_factory=list)
    likes: dict[str, set[str]] = field(default_factory=dict)
    comments: dict[str, int] = field(default_factory=dict)


async def gather_people(api: Api, count: int = PEOPLE, followees: int = PEOPLE - 1) -> list[Person]:
    """Make users. Each follows the next `followees` and has read the feed once, so that feed lists exist."""
    tag = secrets.token_hex(4)

    turns = asyncio.Semaphore(AT_ONCE)

    async def person(index: int) -> Person:
        async with turns:
            account = await api.register(f"chaos_{tag}_{index}", PASSWORD)
            photo = paint("terrazzo", index)
            media_id = await api.upload(account, photo)
            await api.settled(f"/media/{media_id}", account)
            return Person(account, photo, media_id)

    async def settle_in(index: int) -> None:
        async with turns:
            for author in islice(cycle(people), index + 1, index + 1 + followees):
                await api.call("POST", f"/users/{author.account.user_id}/follow", people[index].account)
            await api.call("GET", "/feed", people[index].account)

    people = await asyncio.gather(*map(person, range(count)))
    await asyncio.gather(*map(settle_in, range(count)))
    return people


async def sign_in_again(api: Api, people: Sequence[Person]) -> list[Person]:
    """Sign everybody in again, as soon as the user service answers."""

    async def sign_in(username: str) -> Account | None:
        with suppress(ApiFailure):
            return await api.login(username, PASSWORD)
        return None

    async def again(person: Person) -> Person:
        account = await eventually(partial(sign_in, person.account.username), SIGN_IN_S)
        assert account
        return replace(person, account=account)

    return [await again(person) for person in people]


class Load:
    """Sends reads once, and writes until they are acknowledged, with one Idempotency-Key for each creation."""

    def __init__(self, base_url: str, people: Sequence[Person]) -> None:
        self.people = people
        self.requests: list[Request] = []
        self.promises = Promises()
        self._likable: list[str] = []
        self._stopping = asyncio.Event()
        self._http = httpx2.AsyncClient(base_url=f"{base_url}/v1", timeout=PATIENCE_S)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Run the load. At the end every write that was begun is acknowledged."""
        async with self._http, asyncio.TaskGroup() as tasks:
            for person in self.people:
                tasks.create_task(self._at_rate(READS_A_SECOND, partial(self._read, person)))
                tasks.create_task(self._at_rate(WRITES_A_SECOND, partial(self._write, person)))
            try:
                yield
            finally:
                self._stopping.set()

    def since(self, at: float) -> list[Request]:
        """Return the requests that were answered after this time."""
        return [request for request in self.requests if request.at >= at]

    async def _at_rate(self, rate: float, act: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping.is_set():
            await act()
            await asyncio.sleep(1 / rate)

    async def _read(self, person: Person) -> None:
        order = secrets.choice(("ranked", "chronological"))
        answer = await self._send("GET", "/feed", person, params={"order": order})
        failed = answer is None or answer.status_code >= 500
        degraded = answer is not None and answer.headers.get("x-feed-quality") == "degraded"
        self.requests.append(Request(time.monotonic(), True, failed, degraded))

    async def _write(self, person: Person) -> None:
        chance = secrets.randbelow(4)
        if chance == 0 or not self._likable:
            await self._post(person)
            return
        post_id = secrets.choice(self._likable[-20:])
        if chance == 1:
            await self._until_done("POST", f"/posts/{post_id}/comments", person, json={"text": "still here"})
            self.promises.comments[post_id] = self.promises.comments.get(post_id, 0) + 1
        else:
            await self._until_done("POST", f"/posts/{post_id}/like", person)
            self.promises.likes.setdefault(post_id, set()).add(person.account.user_id)

    async def _post(self, person: Person) -> None:
        """Post an existing image, or upload one with the post, which is then acknowledged before it is visible."""
        if secrets.randbelow(UPLOADED):
            made = await self._until_done("POST", "/posts", person, json={"media_ids": [person.media_id]})
            self._likable.append(made["post_id"])
        else:
            files = {"image": ("photo.jpg", person.photo, "image/jpeg")}
            made = await self._until_done("POST", "/posts", person, files=files)
        self.promises.posts.append(made["post_id"])

    async def _until_done(self, method: str, path: str, person: Person, **request: Any) -> Json:
        key = {"Idempotency-Key": secrets.token_hex(16)}
        while True:
            answer = await self._send(method, path, person, headers=key, **request)
            done = answer is not None and answer.is_success
            self.requests.append(Request(time.monotonic(), False, not done))
            if answer is not None and done:
                return dict(answer.json()) if answer.content else {}
            if answer is not None and answer.status_code < 500 and answer.status_code not in AGAIN:
                raise RuntimeError(f"{method} {path} → {answer.status_code}: {answer.text[:200]}")
            await asyncio.sleep(AGAIN_S)

    async def _send(self, method: str, path: str, person: Person, **request: Any) -> httpx2.Response | None:
        headers = {**person.account.headers, **request.pop("headers", {})}
        try:
            return await self._http.request(method, path, headers=headers, **request)
        except httpx2.TransportError:
            return None
