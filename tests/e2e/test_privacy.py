"""Private accounts, blocks, mutes and bans: who sees what, and who learns nothing."""

import asyncio
import secrets
from typing import Any

import httpx2
import pytest

from devstack.stack import Stack
from libs.common.web.auth import ServiceTokens
from ops.client import Account, Api
from tests.e2e.world import PAGE_LIMIT, PASSWORD, Someone, assert_problem, feed_shows, follow, publish, walk

pytestmark = pytest.mark.stack
WRONG_IDS = ("1", "0", "-1", "abc", "99999999999999999999")


async def act(api: Api, method: str, path: str, who: Account, times: int = 2) -> None:
    """Doing it again is no error."""
    for _ in range(times):
        response = await api.send(method, path, who)
        assert response.status_code == 204, response.text


async def relationship(api: Api, reader: Account, other: Account) -> dict[str, Any]:
    return dict((await api.call("GET", f"/users/{other.user_id}", reader))["relationship"])


async def set_private(api: Api, who: Account, *, private: bool) -> None:
    user = await api.call("PATCH", f"/users/{who.user_id}", who, json={"is_private": private})
    assert user["is_private"] is private


async def assert_absent(api: Api, reader: Account | None, *paths: str) -> None:
    for path in paths:
        assert_problem(await api.send("GET", path, reader), 404, "not_found")


def insides(author: Account) -> tuple[str, ...]:
    return tuple(f"/users/{author.user_id}/{noun}" for noun in ("followers", "following", "posts"))


async def ids(api: Api, path: str, noun: str, who: Account) -> list[str]:
    key = {"users": "user_id", "posts": "post_id", "comments": "comment_id"}[noun]
    return [item[key] for item in await walk(api, path, noun, who)]


async def ban(stack: Stack, user: Account, act: str = "ban") -> httpx2.Response:
    token = ServiceTokens(stack.state.secret("internal_secret"), "tests").header()
    url = f"http://127.0.0.1:{stack.state.port('user')}/internal/users/{user.user_id}/{act}"
    async with httpx2.AsyncClient() as http:
        return await http.post(url, headers={"Authorization": token})


async def test_a_private_account_lets_in_whom_it_approves(api: Api, someone: Someone) -> None:
    author, fan, other = await someone(), await someone(), await someone()
    tag = f"p{author.user_id}"
    (post_id,) = await publish(api, author, caption=f"#{tag}")
    await set_private(api, author, private=True)
    for one in (fan, other):
        for _ in range(2):
            asked = await api.call("POST", f"/users/{author.user_id}/follow", one)
            assert asked == {"following": False, "requested": True}
    assert (await relationship(api, fan, author))["requested"]
    for reader in (fan, None):
        await assert_absent(api, reader, *insides(author), f"/posts/{post_id}", f"/posts/{post_id}/status")
        assert (await api.call("GET", f"/hashtags/{tag}/posts", reader))["posts"] == []
    assert_problem(await api.send("POST", f"/posts/{post_id}/like", fan), 404)
    assert await ids(api, "/follow-requests", "users", author) == [other.user_id, fan.user_id]

    await act(api, "POST", f"/follow-requests/{fan.user_id}/approve", author, times=1)
    await act(api, "POST", f"/follow-requests/{other.user_id}/deny", author, times=1)
    for who in (fan.user_id, other.user_id, *WRONG_IDS):
        for answer in ("approve", "deny"):
            assert_problem(await api.send("POST", f"/follow-requests/{who}/{answer}", author), 404)
    await assert_absent(api, other, *insides(author), f"/posts/{post_id}")
    assert await ids(api, f"/hashtags/{tag}/posts", "posts", fan) == [post_id]
    assert await ids(api, f"/users/{author.user_id}/followers", "users", fan) == [fan.user_id]
    await api.call("POST", f"/posts/{post_id}/like", fan)
    await feed_shows(api, fan, [post_id])

    await act(api, "DELETE", f"/users/{author.user_id}/follow", fan)
    await assert_absent(api, fan, *insides(author), f"/posts/{post_id}")
    await feed_shows(api, fan, [])


async def test_a_request_is_withdrawn(api: Api, someone: Someone) -> None:
    author, fan = await someone(), await someone()
    await set_private(api, author, private=True)
    await api.call("POST", f"/users/{author.user_id}/follow", fan)
    await act(api, "DELETE", f"/users/{author.user_id}/follow", fan)
    assert not (await relationship(api, fan, author))["requested"]
    assert await ids(api, "/follow-requests", "users", author) == []


async def test_going_public_lets_in_all_who_wait_and_who_ask_meanwhile(api: Api, someone: Someone) -> None:
    author, people = await someone(), [await someone() for _ in range(5)]
    await set_private(api, author, private=True)
    path = f"/users/{author.user_id}/follow"
    for one in people[:3]:
        await api.call("POST", path, one)
    await asyncio.gather(set_private(api, author, private=False), *(api.call("POST", path, one) for one in people[2:]))
    followers = await ids(api, f"/users/{author.user_id}/followers", "users", author)
    assert sorted(followers) == sorted(one.user_id for one in people)
    assert await ids(api, "/follow-requests", "users", author) == []
    assert (await api.call("GET", f"/users/{author.user_id}"))["follower_count"] == len(people)


async def test_a_block_hides_two_from_one_another(api: Api, someone: Someone) -> None:
    ann, bob = await someone(), await someone()
    posts = {one.user_id: (await publish(api, one))[0] for one in (ann, bob)}
    await follow(api, ann, bob)
    await follow(api, bob, ann)
    for mark in ("save", "like"):
        await api.call("POST", f"/posts/{posts[ann.user_id]}/{mark}", bob)
    await feed_shows(api, bob, list(posts.values()))
    await act(api, "POST", f"/users/{bob.user_id}/block", ann)
    assert (await api.call("DELETE", f"/posts/{posts[ann.user_id]}/like", bob))["liked"] is False

    for reader, author in ((ann, bob), (bob, ann)):
        post = f"/posts/{posts[author.user_id]}"
        await assert_absent(api, reader, *insides(author), post, f"{post}/status", f"{post}/likes", f"{post}/comments")
        for method, path in (("POST", "like"), ("POST", "save"), ("POST", "view"), ("DELETE", "like")):
            assert_problem(await api.send(method, f"{post}/{path}", reader), 404)
        assert_problem(await api.send("POST", f"{post}/comments", reader, json={"text": "x"}), 404)
        for method, json in (("PATCH", {"caption": "x"}), ("DELETE", None)):
            assert_problem(await api.send(method, post, reader, json=json), 404)
        await feed_shows(api, reader, [posts[reader.user_id]])
        own = await api.call("GET", f"/users/{reader.user_id}", reader)
        assert (own["follower_count"], own["following_count"]) == (0, 0)
    assert await ids(api, "/saved", "posts", bob) == []

    await assert_absent(api, bob, f"/users/{ann.user_id}", f"/users/by-username/{ann.username}")
    assert (await api.call("GET", "/users", bob, params={"q": ann.username}))["users"] == []
    assert_problem(await api.send("POST", f"/users/{ann.user_id}/follow", bob), 404)
    assert (await relationship(api, ann, bob))["blocking"]
    assert_problem(await api.send("POST", f"/users/{bob.user_id}/follow", ann), 409, "blocked_by_you")
    assert await ids(api, "/blocks", "users", ann) == [bob.user_id]

    for path in ("mute", "block"):  # always allowed, whatever the other user did
        await act(api, "POST", f"/users/{ann.user_id}/{path}", bob)
    await act(api, "DELETE", f"/users/{bob.user_id}/block", ann)
    assert_problem(await api.send("POST", f"/users/{bob.user_id}/follow", ann), 404)
    for path in ("mute", "block"):
        await act(api, "DELETE", f"/users/{ann.user_id}/{path}", bob)
    await follow(api, bob, ann)
    await feed_shows(api, bob, list(posts.values()))
    assert await ids(api, "/saved", "posts", bob) == [posts[ann.user_id]]


async def test_the_blocked_are_not_met_on_anothers_post_either(api: Api, someone: Someone) -> None:
    ann, bob, host = await someone(), await someone(), await someone()
    (post_id,) = await publish(api, host)
    written = {}
    for one in (bob, bob, bob, ann):
        comment = await api.call("POST", f"/posts/{post_id}/comments", one, json={"text": "hello"})
        written[one.user_id] = comment["comment_id"]
        await api.call("POST", f"/posts/{post_id}/like", one)
    await act(api, "POST", f"/users/{bob.user_id}/block", ann)
    for reader in (ann, bob):
        assert set(await ids(api, f"/posts/{post_id}/likes", "users", reader)) == {reader.user_id}
        comments = await walk(api, f"/posts/{post_id}/comments", "comments", reader)
        assert {comment["author"]["user_id"] for comment in comments} == {reader.user_id}
    reply = {"text": "hello", "parent_id": written[ann.user_id]}
    assert_problem(await api.send("POST", f"/posts/{post_id}/comments", bob, json=reply), 404)
    assert len(await ids(api, f"/posts/{post_id}/comments", "comments", host)) == 4


async def test_blocking_and_following_at_once_leaves_no_follow(api: Api, someone: Someone) -> None:
    ann, bob = await someone(), await someone()
    acts = [("follow", ann, bob), ("follow", bob, ann), ("block", ann, bob), ("block", bob, ann), ("follow", ann, bob)]
    answers = await asyncio.gather(
        *(api.send("POST", f"/users/{other.user_id}/{act}", one) for act, one, other in acts)
    )
    assert {answer.status_code for answer in answers} <= {200, 204, 404, 409}
    assert [answer.status_code for answer in answers[2:4]] == [204, 204]
    for one in (ann, bob):
        user = await api.call("GET", f"/users/{one.user_id}")
        assert (user["follower_count"], user["following_count"]) == (0, 0)


async def test_a_mute_keeps_posts_out_of_the_feed_alone(api: Api, someone: Someone) -> None:
    loud, quiet, reader = await someone(), await someone(), await someone()
    for author in (loud, quiet):
        await follow(api, reader, author)
    posts = [post for author in (loud, quiet) for post in await publish(api, author)]
    await feed_shows(api, reader, posts)
    await act(api, "POST", f"/users/{loud.user_id}/mute", reader)
    await feed_shows(api, reader, posts[1:])
    assert await relationship(api, reader, loud) == {
        "following": True,
        "followed_by": False,
        "requested": False,
        "blocking": False,
        "muting": True,
    }
    assert await ids(api, f"/users/{loud.user_id}/posts", "posts", reader) == posts[:1]
    assert await ids(api, "/mutes", "users", reader) == [loud.user_id]
    await act(api, "DELETE", f"/users/{loud.user_id}/mute", reader)
    await feed_shows(api, reader, posts)


async def test_the_banned_are_not_there(api: Api, stack: Stack, someone: Someone) -> None:
    banned, reader = await someone(), await someone()
    (post_id,) = await publish(api, banned)
    await follow(api, reader, banned)
    await follow(api, banned, reader)
    for _ in range(2):
        assert (await ban(stack, banned)).status_code == 204
    await assert_absent(api, reader, f"/users/{banned.user_id}", f"/posts/{post_id}", *insides(banned))
    assert await ids(api, f"/users/{reader.user_id}/followers", "users", reader) == []
    assert_problem(await api.send("POST", f"/users/{banned.user_id}/follow", reader), 404)
    await feed_shows(api, reader, [])
    for password, status, code in ((PASSWORD, 403, "account_banned"), ("another one", 401, "invalid_credentials")):
        body = {"login": banned.username, "password": password}
        assert_problem(await api.send("POST", "/auth/login", json=body), status, code)
    assert_problem(await api.send("POST", "/auth/refresh", json={"refresh_token": banned.refresh_token}), 401)
    assert_problem(await api.send("GET", "/auth/me", banned), 401)
    assert (await ban(stack, banned, "unban")).status_code == 204
    assert (await api.call("GET", "/auth/me", banned))["user"]["user_id"] == banned.user_id
    await feed_shows(api, reader, [post_id])
    nobody = Account("1", "", "", "")
    assert (await ban(stack, nobody)).status_code == 404


@pytest.mark.parametrize("size", [2 * PAGE_LIMIT, 2 * PAGE_LIMIT + 1])
async def test_lists_end_to_end(api: Api, someone: Someone, size: int) -> None:
    owner, people = await someone(), [await someone() for _ in range(size)]
    await set_private(api, owner, private=True)
    for one in people:
        await api.call("POST", f"/users/{owner.user_id}/follow", one)
        await act(api, "POST", f"/users/{one.user_id}/mute", owner, times=1)
    newest_first = [one.user_id for one in reversed(people)]
    assert await ids(api, "/follow-requests", "users", owner) == newest_first
    assert await ids(api, "/mutes", "users", owner) == newest_first
    for one in people:
        await act(api, "POST", f"/users/{one.user_id}/block", owner, times=1)
    assert await ids(api, "/follow-requests", "users", owner) == []
    assert await ids(api, "/blocks", "users", owner) == newest_first


async def test_nobody_is_blocked_or_muted_who_is_not_there(api: Api, someone: Someone) -> None:
    who = await someone()
    for path in ("block", "mute"):
        for method in ("POST", "DELETE"):
            for wrong in WRONG_IDS:
                answer = await api.send(method, f"/users/{wrong}/{path}", who)
                assert answer.status_code == (204 if wrong in ("1", "0") else 404)  # whether there is one does not show
            assert_problem(await api.send(method, f"/users/{who.user_id}/{path}", who), 422, "cannot_block_self")
            assert_problem(await api.send(method, f"/users/{who.user_id}/{path}"), 401)
    body = {"is_private": secrets.token_hex(4)}
    assert_problem(await api.send("PATCH", f"/users/{who.user_id}", who, json=body), 422)
