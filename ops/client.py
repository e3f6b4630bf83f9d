"""A client of the public API, for the sample world, the journey, tests and benchmarks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

TIMEOUT_S = 30.0
POLL_S = 0.05
PUBLISH_DEADLINE_S = 60.0

TRIES = 100  # five sign in a minute: more than any world that is made with limits on needs

Json = dict[str, Any]
T = TypeVar("T")


class ApiFailure(Exception):
    """An answer that was not wanted."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        body = response.text[:500]
        super().__init__(f"{response.request.method} {response.request.url} → {response.status_code}: {body}")

    @property
    def code(self) -> str:
        """The stable code of the problem; empty when the answer is none."""
        try:
            return str(self.response.json().get("code", ""))
        except ValueError:
            return ""


async def when_allowed(ask: Callable[[], Awaitable[T]]) -> T:
    """Return the answer of `ask`, and repeat it while a rate limit or a full password hasher refuses it."""
    for _ in range(TRIES):
        try:
            return await ask()
        except ApiFailure as failure:
            if "retry-after" not in failure.response.headers:
                raise
            await asyncio.sleep(int(failure.response.headers["retry-after"]))
    return await ask()


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who is signed in."""

    user_id: str
    username: str
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        """What each of the person's requests carries."""
        return {"Authorization": f"Bearer {self.access_token}"}


class Api:
    """Calls below the gateway's `/v1`. `base_url` is the gateway's address, `address` one of ours to call from.

    With an address of its own there is no bound on connections.
    """

    def __init__(self, base_url: str, address: str | None = None) -> None:
        self.base_url = base_url
        limits = httpx2.Limits(max_connections=None)
        transport = httpx2.AsyncHTTPTransport(local_address=address, limits=limits) if address else None
        self.http = httpx2.AsyncClient(base_url=f"{base_url}/v1", timeout=TIMEOUT_S, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.http.aclose()

    async def send(self, method: str, path: str, who: Account | None = None, **request: Any) -> httpx2.Response:
        """Send a request, and return the answer whatever its status is."""
        headers = {**(who.headers if who else {}), **request.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **request)

    async def call(self, method: str, path: str, who: Account | None = None, **request: Any) -> Json:
        """The JSON of a success; empty for an answer without a body. Raises ApiFailure."""
        response = await self.send(method, path, who, **request)
        if response.status_code >= 400:
            raise ApiFailure(response)
        return dict(response.json()) if response.content else {}

    async def pages(self, path: str, noun: str, who: Account | None = None, **params: Any) -> AsyncIterator[list[Json]]:
        """The pages of a list, to its end."""
        cursor: str | None = None
        while True:
            page = await self.call("GET", path, who, params={**params, **({"cursor": cursor} if cursor else {})})
            yield page[noun]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def register(self, username: str, password: str, **more: Any) -> Account:
        """Create an account. Wait for `Retry-After` when many register at once."""
        body = {"username": username, "email": f"{username}@example.org", "password": password, **more}
        return _account(await when_allowed(lambda: self.call("POST", "/auth/register", json=body)))

    async def login(self, login: str, password: str) -> Account:
        """Sign in."""
        return _account(await self.call("POST", "/auth/login", json={"login": login, "password": password}))

    async def refresh(self, who: Account) -> Account:
        """The same person with fresh tokens."""
        tokens = await self.call("POST", "/auth/refresh", json={"refresh_token": who.refresh_token})
        return replace(who, access_token=tokens["access_token"], refresh_token=tokens["refresh_token"])

    async def post_photo(self, who: Account, photo: bytes, caption: str) -> str:
        """Post a picture in one request; the post's id."""
        files = {"image": ("photo.jpg", photo, "image/jpeg")}
        answer = await self.call("POST", "/posts", who, files=files, data={"caption": caption})
        return str(answer["post_id"])

    async def upload(self, who: Account, photo: bytes, purpose: str = "post") -> str:
        """Upload a picture the presigned way; the media's id."""
        wanted = {"content_type": "image/jpeg", "file_size": len(photo), "purpose": purpose}
        place = await self.call("POST", "/media/upload-url", who, json=wanted)
        if place["method"] == "POST":  # a form, straight to the object store
            sent = await self.http.post(place["upload_url"], data=place["fields"], files={"file": photo})
        else:
            sent = await self.http.put(place["upload_url"], content=photo, headers=place["headers"])
        if sent.status_code >= 400:
            raise ApiFailure(sent)
        done = await self.call("POST", f"/media/upload-url/{place['upload_id']}/complete", who)
        return str(done["media_id"])

    async def settled(self, path: str, who: Account) -> Json:
        """The status document at `path` once it says something other than `processing`."""
        async with asyncio.timeout(PUBLISH_DEADLINE_S):
            while True:
                status = await self.call("GET", path, who)
                if status["status"] != "processing":
                    return status
                await asyncio.sleep(POLL_S)

    async def published(self, who: Account, post_id: str) -> Json:
        """The post, once it can be seen."""
        status = await self.settled(f"/posts/{post_id}/status", who)
        if status["status"] != "published":
            raise RuntimeError(f"post {post_id} is {status['status']}: {status.get('reason')}")
        return await self.call("GET", f"/posts/{post_id}", who)


def _account(answer: Json) -> Account:
    user = answer["user"]
    return Account(user["user_id"], user["username"], answer["access_token"], answer["refresh_token"])
