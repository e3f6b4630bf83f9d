"""Requests that can't be used, and answers that say why."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest

from ops.client import Account, Api
from tests.e2e.world import Someone, assert_problem, follow, publish, snapshot

pytestmark = pytest.mark.stack

JSON_LIMIT = 256 * 1024
JUNK = b"plain text, whatever it is called" * 20
JSON = {"Content-Type": "application/json"}


def fields(problem: dict[str, object]) -> set[str]:
    errors = problem["errors"]
    assert isinstance(errors, list)
    return {error["field"] for error in errors}


async def test_a_json_body_that_is_too_large(api: Api, someone: Someone) -> None:
    who = await someone()
    large = json.dumps({"caption": "x" * JSON_LIMIT, "media_ids": ["1"]}).encode()
    for path in ("/posts", "/posts/1/comments", "/media/upload-url", "/auth/login"):
        assert_problem(await api.send("POST", path, who, content=large, headers=JSON), 413, "too_large")


async def test_bodies_have_the_size_of_their_route(api: Api) -> None:
    for path in ("/auth/login", "/auth/register", "/auth/refresh"):
        body = b"{%s}" % (b" " * 8 * 1024)
        assert_problem(await api.send("POST", path, content=body, headers=JSON), 413, "too_large")


async def test_encoded_bodies_are_not_taken(api: Api, someone: Someone) -> None:
    who = await someone()
    body = gzip.compress(json.dumps({"text": "x"}).encode())
    for path in ("/posts", "/posts/1/comments", "/media/upload-url", "/auth/login", "/feed/position"):
        method = "PUT" if path == "/feed/position" else "POST"
        answer = await api.send(method, path, who, content=body, headers={**JSON, "Content-Encoding": "gzip"})
        assert_problem(answer, 415, "encoded_body")
        assert answer.headers["accept-encoding"] == "identity"


async def test_a_body_that_is_sent_too_slowly(api: Api, someone: Someone) -> None:
    async def drip() -> AsyncIterator[bytes]:
        while True:  # the refusal ends it
            yield b"x"
            await asyncio.sleep(0.5)

    who = await someone()
    asked = {"content_type": "image/jpeg", "file_size": 9_000_000}
    place = await api.call("POST", "/media/upload-url", who, json=asked)
    put = await api.http.put(place["upload_url"], content=drip(), headers=place["headers"])
    assert_problem(put, 408, "request_timeout")


@pytest.mark.parametrize(("path", "known"), [("/posts", 1), ("/posts/1/comments", 1), ("/media/upload-url", 2)])
async def test_twenty_errors_are_listed_and_the_rest_is_counted(
    api: Api, someone: Someone, path: str, known: int
) -> None:
    body = {f"unknown{i}": i for i in range(5_000)}
    answer = await api.send("POST", path, await someone(), json=body)
    problem = assert_problem(answer, 422)
    assert len(problem["errors"]) == 20
    assert problem["errors_omitted"] == 5_000 + known - 20
    assert len(answer.content) < 4_000


async def test_text_named_as_a_picture(api: Api, someone: Someone) -> None:
    who = await someone()
    files = {"image": ("photo.jpg", JUNK, "image/jpeg")}
    assert_problem(await api.send("POST", "/posts", who, files=files, data={"caption": ""}), 415)
    files = {"image": ("photo.txt", JUNK, "text/plain")}
    assert_problem(await api.send("POST", "/posts", who, files=files, data={"caption": ""}), 415)
    assert_problem(await api.send("POST", "/posts", who, content=JUNK, headers={"Content-Type": "text/plain"}), 415)


async def complete_after_put(api: Api, who: Account, content: bytes) -> tuple[int, str]:
    asked = {"content_type": "image/jpeg", "file_size": len(content)}
    place = await api.call("POST", "/media/upload-url", who, json=asked)
    put = await api.http.put(place["upload_url"], content=content, headers=place["headers"])
    assert put.status_code == 204, put.text
    done = await api.send("POST", f"/media/upload-url/{place['upload_id']}/complete", who)
    return done.status_code, place["upload_url"]


async def test_junk_put_to_an_upload_url(api: Api, someone: Someone) -> None:
    who = await someone()
    assert (await complete_after_put(api, who, JUNK))[0] == 415
    status, url = await complete_after_put(api, who, snapshot())
    assert status == 200
    other = await api.http.put(url, content=snapshot(), headers={"Content-Type": "image/jpeg"})
    assert_problem(other, 409, "upload_completed")
    forged = await api.http.put(f"{url[:-4]}AAAA", content=snapshot(), headers={"Content-Type": "image/jpeg"})
    assert_problem(forged, 403, "upload_url_invalid")


async def test_uploads_that_are_not_as_declared(api: Api, someone: Someone) -> None:
    who = await someone()
    asked = {"content_type": "image/jpeg", "file_size": len(snapshot())}
    place = await api.call("POST", "/media/upload-url", who, json=asked)
    complete = f"/media/upload-url/{place['upload_id']}/complete"
    assert_problem(await api.send("POST", complete, who), 409, "upload_missing")
    short = await api.http.put(place["upload_url"], content=snapshot()[:-1], headers=place["headers"])
    assert_problem(short, 422, "size_mismatch")
    too_large = {"content_type": "image/jpeg", "file_size": 10 * 1024 * 1024 + 1}
    assert_problem(await api.send("POST", "/media/upload-url", who, json=too_large), 413)
    no_image = {"content_type": "application/pdf", "file_size": 10}
    assert_problem(await api.send("POST", "/media/upload-url", who, json=no_image), 415)


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("/auth/register", {"username": "a b", "email": "x", "password": "short"}, {"username", "email", "password"}),
        ("/auth/register", {"username": "nobody", "email": "a@b.c", "password": "long enough", "age": 3}, {"age"}),
        ("/auth/login", {"login": "x", "password": "y", "otp": "1"}, {"otp"}),
        ("/posts", {"media_ids": []}, {"media_ids"}),
        ("/posts", {"media_ids": ["1"], "caption": "\0"}, {"caption"}),
        ("/posts", {"media_ids": ["1"], "capton": "typo"}, {"capton"}),
        ("/posts", {"media_ids": ["1"], "location": {"name": ""}}, {"location.name"}),
        ("/media/upload-url", {"content_type": "image/jpeg", "file_size": 0}, {"file_size"}),
        ("/posts/1/comments", {"text": ""}, {"text"}),
        ("/posts/1/comments", {"text": "x" * 2_201}, {"text"}),
        ("/posts/1/comments", {"text": "x", "mood": "good"}, {"mood"}),
    ],
)
async def test_every_wrong_field_is_named(
    api: Api, someone: Someone, path: str, body: dict[str, object], wrong: set[str]
) -> None:
    assert fields(assert_problem(await api.send("POST", path, await someone(), json=body), 422)) == wrong


async def test_malformed_json(api: Api, someone: Someone) -> None:
    who = await someone()
    for path in ("/posts", "/posts/1/comments", "/media/upload-url", "/auth/login"):
        for content in (b'{"text": ', b"\xff\xfe", b"{]"):
            assert_problem(await api.send("POST", path, who, content=content, headers=JSON), 400)


async def test_limits_out_of_bounds(api: Api, someone: Someone) -> None:
    who = await someone()
    for path in ("/feed", "/saved", f"/users/{who.user_id}/followers", f"/users/{who.user_id}/posts"):
        for limit in ("0", "101", "x", "9" * 4_301):
            assert fields(assert_problem(await api.send("GET", path, who, params={"limit": limit}), 422)) == {"limit"}


async def test_cursors_are_of_one_list(api: Api, someone: Someone) -> None:
    author, one, two = await someone(), await someone(), await someone()
    await follow(api, one, author)
    await follow(api, two, author)
    (post_id, _) = await publish(api, author, 2)
    lists = [
        f"/users/{author.user_id}/followers",
        f"/users/{author.user_id}/posts",
        f"/posts/{post_id}/comments",
        f"/posts/{post_id}/likes",
        "/saved",
        "/feed",
    ]
    for path in (lists[0], lists[1], lists[5]):
        cursor = (await api.call("GET", path, author, params={"limit": 1}))["next_cursor"]
        assert cursor
        for other in lists:
            if other != path:
                response = await api.send("GET", other, author, params={"cursor": cursor})
                assert_problem(response, 400, "invalid_cursor")
        changed = cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")
        for wrong in (changed, "x", "", "🦆"):
            assert_problem(await api.send("GET", path, author, params={"cursor": wrong}), 400, "invalid_cursor")


async def test_wrong_routes_and_methods(api: Api, someone: Someone) -> None:
    who = await someone()
    assert_problem(await api.send("GET", "/nothing/here", who), 404)
    assert_problem(await api.send("PUT", "/feed", who), 405)
    response = await api.send("GET", "/feed", headers={"X-Request-Id": "chosen-by-the-client"})
    assert assert_problem(response, 401)["request_id"] == "chosen-by-the-client"
