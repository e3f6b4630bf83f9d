"""Rate limits through the gateway, on services that were restarted with small limits."""

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from devstack.stack import Stack
from libs.common.stores.redis import open_redis
from libs.common.testing.eventually import eventually
from ops.client import Account, Api
from tests.conftest import operator_settings, restarted
from tests.e2e.world import PASSWORD, Someone, assert_problem, follow, publish, ready_media

pytestmark = pytest.mark.stack
LIMITED = ("user", "post", "interaction", "feed")
LIMIT = 2
REGISTRATIONS = 20  # the default: the tests themselves register some
LIMITS = {
    "FEEDMILL_RATE_LIMITS": "true",
    **{
        f"FEEDMILL_{what}": str(LIMIT)
        for what in ("LOGINS_A_MINUTE", "POSTS_AN_HOUR", "LIKES_AN_HOUR", "COMMENTS_AN_HOUR", "FEEDS_A_MINUTE")
    },
}


@pytest.fixture(scope="module")
def limited(stack: Stack) -> Iterator[None]:
    """Restart services with limits. Only the tests of this module meet them."""
    with restarted(stack, LIMITED, LIMITS):
        yield


@pytest.fixture
async def api(limited: None, base_url: str) -> AsyncIterator[Api]:
    async with Api(base_url) as api:
        yield api


async def sent(api: Api, who: Account, method: str, path: str, **request: object) -> list[httpx2.Response]:
    """Send one request more than the limit allows."""
    return [await api.send(method, path, who, **request) for _ in range(LIMIT + 1)]


def assert_limited(answers: list[httpx2.Response]) -> None:
    """Assert that only the last was refused, and that each said how many were left."""
    *taken, refused = answers
    assert {answer.status_code for answer in taken} <= {200, 201}
    assert [answer.headers["ratelimit-remaining"] for answer in taken] == ["1", "0"]
    assert_problem(refused, 429, "rate_limited")
    assert int(refused.headers["retry-after"]) >= 1
    for answer in answers:
        assert answer.headers["ratelimit-limit"] == str(LIMIT)
        assert int(answer.headers["ratelimit-reset"]) >= 1


async def test_pages_of_the_feed_kept_ones_too(
    api: Api, someone: Someone, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, other, author = await someone(), await someone(), await someone()
    await follow(api, reader, author)
    (post_id,) = await publish(api, author)
    settings = operator_settings(stack, monkeypatch)
    async with open_redis(settings) as redis:

        async def settled() -> bool:
            """Until then events still invalidate cached pages. The rate limit forgets these requests."""
            answer = await api.send("GET", "/feed", reader)
            await redis.delete(f"{settings.redis_prefix('rate')}{{user:{reader.user_id}}}:feed")
            return answer.headers.get("x-cache-status") == "hit" and bool(answer.json()["posts"])

        await eventually(settled)
    answers = await sent(api, reader, "GET", "/feed", params={"limit": 7})
    assert_limited(answers)
    assert [answer.headers["x-cache-status"] for answer in answers[:-1]] == ["miss", "hit"]
    assert_problem(await api.send("GET", f"/feed/explain/{post_id}", reader), 429, "rate_limited")
    assert_limited(await sent(api, other, "GET", "/feed", params={"order": "chronological", "limit": 3}))


async def test_posts_likes_and_comments(api: Api, someone: Someone) -> None:
    author = await someone()
    (post_id,) = await publish(api, await someone())
    assert_limited(await sent(api, author, "POST", "/posts", json={"media_ids": [await ready_media(api, author)]}))
    assert_limited(await sent(api, author, "POST", f"/posts/{post_id}/like"))
    assert_limited(await sent(api, author, "POST", f"/posts/{post_id}/comments", json={"text": "again"}))
    unliked = await api.send("DELETE", f"/posts/{post_id}/like", author)
    assert unliked.status_code == 200
    assert unliked.headers["ratelimit-limit"] == "1000"


async def sent_from(base_url: str, address: str, path: str, body: dict[str, str]) -> httpx2.Response:
    transport = httpx2.AsyncHTTPTransport(local_address=address)
    headers = {"X-Forwarded-For": "192.0.2.77", "X-Real-IP": "192.0.2.77"}  # what a client claims changes nothing
    async with httpx2.AsyncClient(transport=transport, base_url=f"{base_url}/v1", headers=headers) as http:
        return await http.post(path, json=body)


async def log_in(base_url: str, address: str, login: str, password: str) -> httpx2.Response:
    return await sent_from(base_url, address, "/auth/login", {"login": login, "password": password})


async def test_registering_from_one_address(base_url: str, api: Api) -> None:
    """A request that is refused for its fields counts, too."""

    async def register() -> httpx2.Response:
        return await sent_from(base_url, "127.0.3.1", "/auth/register", {})

    assert {(await register()).status_code for _ in range(REGISTRATIONS)} == {422}
    for _ in range(REGISTRATIONS):  # on a slow machine one or two more have become free meanwhile
        if (refused := await register()).status_code != 422:
            break
    assert_problem(refused, 429, "rate_limited")
    assert (await sent_from(base_url, "127.0.3.2", "/auth/register", {})).status_code == 422


async def test_logging_in_to_one_account_from_everywhere(base_url: str, api: Api, someone: Someone) -> None:
    account = await someone()
    answers = [await log_in(base_url, f"127.0.1.{i}", account.username, PASSWORD) for i in range(1, LIMIT + 2)]
    assert_limited(answers)


async def test_logging_in_from_one_address_to_all_accounts(base_url: str, api: Api) -> None:
    *tried, refused = [await log_in(base_url, "127.0.2.1", f"nobody_{i}", PASSWORD) for i in range(LIMIT + 1)]
    assert [answer.status_code for answer in tried] == [401, 401]
    assert_problem(refused, 429, "rate_limited")


async def test_guessing_the_present_password(api: Api, someone: Someone) -> None:
    account = await someone()
    body = {"current_password": "a guess of mine", "new_password": "another long password"}
    *tried, refused = await sent(api, account, "POST", "/auth/password", json=body)
    assert [answer.status_code for answer in tried] == [422, 422]
    assert_problem(refused, 429, "rate_limited")
