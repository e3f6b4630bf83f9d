"""Requests that can't be used, and answers that say why."""

import asyncio
import gzip
import json

import httpx2
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
    """Sent by hand: libraries read no answer while they send."""
    who = await someone()
    asked = {"content_type": "image/jpeg", "file_size": 9_000_000}
    url = httpx2.URL((await api.call("POST", "/media/upload-url", who, json=asked))["upload_url"])
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"PUT %s HTTP/1.1\r\nHost: x\r\n" % url.raw_path)
    writer.write(b"Content-Type: image/jpeg\r\nContent-Length: 9000000\r\n\r\n")
    answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    while not (await asyncio.wait([answer], timeout=0.5))[0]:
        writer.write(b"x")
    status, *headers = answer.result().decode().lower().splitlines()
    assert status.startswith("http/1.1 408 ")
    assert "content-type: application/problem+json" in headers
    writer.close()


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
    for file in (("photo.jpg", JUNK, "image/jpeg"), ("photo.txt", JUNK, "text/plain")):
        answer = await api.send("POST", "/posts", who, files={"image": file}, data={"caption": ""})
        assert fields(assert_problem(answer, 422, "media_type_not_accepted")) == {"image.0"}
    assert_problem(await api.send("POST", "/posts", who, content=JUNK, headers={"Content-Type": "text/plain"}), 415)


async def test_a_form_is_taken_whole_or_refused(api: Api, someone: Someone) -> None:
    """No image of several is dropped, and those before a refused one are not stored."""
    who, photo = await someone(), snapshot()
    part = b'--b\r\nContent-Disposition: form-data; name="image"%s\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for second in (b"", b"; filename*=UTF-8''caf%C3%A9.jpg"):
        body = part % (b'; filename="1.jpg"', photo) + part % (second, photo) + b"--b--\r\n"
        answer = await api.send("POST", "/posts", who, content=body, headers=headers)
        assert fields(assert_problem(answer, 422)) == {"image.1"}
    good = ("image", ("1.jpg", photo, "image/jpeg"))
    answer = await api.send("POST", "/posts", who, files=[good, ("image", ("2.gif", b"GIF89a...", "image/gif"))])
    assert fields(assert_problem(answer, 422, "media_type_not_accepted")) == {"image.1"}
    answer = await api.send("POST", "/posts", who, files=[good] * 12)
    assert fields(assert_problem(answer, 422)) == {"image"}
    answer = await api.send("POST", "/posts", who, files=[good, ("picture", good[1])])
    assert fields(assert_problem(answer, 422)) == {"picture"}


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/jpg", "IMAGE/JPEG", "image/png"])
async def test_the_bytes_of_a_picture_decide(api: Api, someone: Someone, kind: str) -> None:
    files = {"image": ("photo", snapshot(), kind)}
    assert (await api.send("POST", "/posts", await someone(), files=files)).status_code == 202


async def test_json_is_read_alike_by_all_routes(api: Api, someone: Someone) -> None:
    who = await someone()
    (post_id,) = await publish(api, who)
    media_id = (await api.call("GET", f"/posts/{post_id}", who))["media"][0]["media_id"]
    for path, body in (("/posts", {"media_ids": [media_id]}), (f"/posts/{post_id}/comments", {"text": "x"})):
        plain = json.dumps(body)
        for content in (plain.encode("utf-8-sig"), plain.encode("utf-16"), plain.encode()):
            assert (await api.send("POST", path, who, content=content, headers=JSON)).status_code == 201
        other = {"Content-Type": "application/vnd.api+json"}
        assert (await api.send("POST", path, who, content=plain.encode(), headers=other)).status_code == 201
        assert_problem(await api.send("POST", path, who, content=b"{", headers=JSON), 400, "malformed_json")


async def complete_after_put(api: Api, who: Account, content: bytes) -> tuple[int, str]:
    asked = {"content_type": "image/jpeg", "file_size": len(content)}
    place = await api.call("POST", "/media/upload-url", who, json=asked)
    put = await api.http.put(place["upload_url"], content=content, headers=place["headers"])
    assert put.status_code == 204, put.text
    done = await api.send("POST", f"/media/upload-url/{place['upload_id']}/complete", who)
    return done.status_code, place["upload_url"]


async def test_junk_put_to_an_upload_url(api: Api, someone: Someone) -> None:
    who = await someone()
    assert (await complete_after_put(api, who, JUNK))[0] == 422
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


@pytest.mark.parametrize(
    ("request_line", "header", "status"),
    [(b"FOOBAR /v1/feed", b"x", 405), (b"GET /v1/feed", b"a\x7fb", 400)],
    ids=["a method that is none", "a header that the services' parser does not take"],
)
async def test_what_is_no_http_is_refused_as_a_problem(
    api: Api, request_line: bytes, header: bytes, status: int
) -> None:
    url = httpx2.URL(api.base_url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(request_line + b" HTTP/1.1\r\nHost: x\r\nUser-Agent: " + header + b"\r\nConnection: close\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()
    assert f" {status} ".encode() in head.splitlines()[0]
    assert b"application/problem+json" in head.lower()
    assert json.loads(body)["request_id"]
