"""Who may do what, and the errors for those who may not."""

import asyncio
import secrets

import httpx2
import pytest

from ops.client import Account, Api
from tests.e2e.world import PASSWORD, Someone, assert_problem, publish, snapshot

pytestmark = pytest.mark.stack

WRONG_IDS = ("1", "0", "-1", "abc", "99999999999999999999", "1e3")


async def test_headers_that_are_no_bearer_token(api: Api) -> None:
    for header in ("Bearer nonsense", "Bearer a.b.c", "Bearer", "Basic YTpi"):
        for path in ("/feed", "/users/1", "/auth/me"):
            assert_problem(await api.send("GET", path, headers={"Authorization": header}), 401)


async def test_what_is_anothers_cannot_be_changed(api: Api, someone: Someone) -> None:
    author, other = await someone(), await someone()
    (post_id,) = await publish(api, author)
    comment = await api.call("POST", f"/posts/{post_id}/comments", author, json={"text": "mine"})
    assert_problem(await api.send("PATCH", f"/posts/{post_id}", other, json={"caption": "theirs"}), 403)
    assert_problem(await api.send("DELETE", f"/posts/{post_id}", other), 403)
    assert_problem(await api.send("DELETE", f"/comments/{comment['comment_id']}", other), 403)
    assert_problem(await api.send("PATCH", f"/users/{author.user_id}", other, json={"bio": "theirs"}), 403)
    assert (await api.call("GET", f"/posts/{post_id}", other))["caption"] == "a post"


async def test_what_is_not_there_and_what_is_not_shown_look_the_same(api: Api, someone: Someone) -> None:
    owner, other = await someone(), await someone()
    asked = {"content_type": "image/jpeg", "file_size": len(snapshot())}
    upload_id = (await api.call("POST", "/media/upload-url", owner, json=asked))["upload_id"]
    assert_problem(await api.send("POST", f"/media/upload-url/{upload_id}/complete", other), 404)
    for wrong in WRONG_IDS:
        for path in ("posts", "users", "media"):
            assert_problem(await api.send("GET", f"/{path}/{wrong}", other), 404)
        assert_problem(await api.send("POST", f"/posts/{wrong}/like", other), 404)
        assert_problem(await api.send("POST", f"/users/{wrong}/follow", other), 404)
        assert_problem(await api.send("DELETE", f"/posts/{wrong}", other), 404)
        assert_problem(await api.send("DELETE", f"/comments/{wrong}", other), 404)
        assert_problem(await api.send("POST", f"/posts/{wrong}/comments", other, json={"text": "x"}), 404)


async def test_refreshing_gives_a_new_pair(api: Api, someone: Someone) -> None:
    account = await someone()
    first = await api.call("POST", "/auth/refresh", json={"refresh_token": account.refresh_token})
    second = await api.call("POST", "/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert len({account.refresh_token, first["refresh_token"], second["refresh_token"]}) == 3
    fresh = Account(account.user_id, account.username, second["access_token"], second["refresh_token"])
    assert (await api.call("GET", "/auth/me", fresh))["user"]["user_id"] == account.user_id
    for token in ("none of ours", account.access_token):
        assert_problem(await api.send("POST", "/auth/refresh", json={"refresh_token": token}), 401)


async def test_a_lost_answer_to_registering_is_asked_for_again(api: Api) -> None:
    name = f"u_{secrets.token_hex(8)}"
    form = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    answers = await asyncio.gather(*(api.send("POST", "/auth/register", json=form, headers=headers) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["user"]["user_id"] for answer in answers}) == 1
    other = await api.send("POST", "/auth/register", json={**form, "password": "another one"}, headers=headers)
    assert_problem(other, 422, "idempotency_key_reused")
    assert_problem(await api.send("POST", "/auth/register", json=form), 409, "username_taken")


async def test_a_token_refreshed_by_many_at_once_has_one_successor(api: Api, someone: Someone) -> None:
    body = {"refresh_token": (await someone()).refresh_token}
    pairs = await asyncio.gather(*(api.call("POST", "/auth/refresh", json=body) for _ in range(20)))
    (following,) = {pair["refresh_token"] for pair in pairs}
    await api.call("POST", "/auth/refresh", json={"refresh_token": following})
    assert_problem(await api.send("POST", "/auth/refresh", json=body), 401, "refresh_token_reused")
    assert_problem(await api.send("POST", "/auth/refresh", json={"refresh_token": following}), 401)


@pytest.mark.parametrize("root", ["/v1", "/api/v1"])
async def test_a_browser_refreshes_by_its_cookie(base_url: str, someone: Someone, root: str) -> None:
    account = await someone()
    async with httpx2.AsyncClient(base_url=f"{base_url}{root}") as browser:
        await browser.post("/auth/login", json={"login": account.username, "password": PASSWORD})
        (cookie,) = browser.cookies.jar
        assert (cookie.path, cookie.has_nonstandard_attr("HttpOnly")) == (f"{root}/auth", True)
        assert (await browser.post("/auth/refresh")).json().keys() == {"access_token", "expires_in"}
        foreign = {"Origin": "https://evil.example"}
        for path in ("/auth/refresh", "/auth/logout"):
            assert_problem(await browser.post(path, headers=foreign), 403, "foreign_origin")
        assert (await browser.post("/auth/refresh", headers={"Origin": base_url})).status_code == 200
        assert (await browser.post("/auth/logout")).status_code == 204
        assert (await browser.post("/auth/refresh")).status_code == 401


async def test_logging_out(api: Api, someone: Someone) -> None:
    account = await someone()
    api.http.cookies.clear()
    body = {"refresh_token": account.refresh_token}
    assert (await api.send("POST", "/auth/logout", account, json=body)).status_code == 204
    assert_problem(await api.send("POST", "/auth/refresh", json=body), 401)
    assert (await api.login(account.username, PASSWORD)).user_id == account.user_id


async def test_a_wrong_login_does_not_tell_whether_the_account_exists(api: Api, someone: Someone) -> None:
    account = await someone()
    wrong = {"login": account.username, "password": "another password"}
    unknown = {"login": f"n_{secrets.token_hex(8)}", "password": "another password"}
    answers = [
        assert_problem(await api.send("POST", "/auth/login", json=body), 401, "invalid_credentials")
        for body in (wrong, unknown)
    ]
    assert len({(answer["title"], answer["detail"]) for answer in answers}) == 1
