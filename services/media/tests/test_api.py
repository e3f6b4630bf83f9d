"""The routes: what they answer, over the fakes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import httpx2
import orjson
import pytest

from libs.common.core.errors import UnauthorizedError
from libs.common.core.policies import OBJECTS
from libs.common.stores import s3
from libs.common.stores.idempotency import Answer, Create, Idempotency, Reservation
from libs.common.stores.s3 import open_s3
from libs.common.testing import SECRET, settings_for
from libs.common.testing.events import CollectedEvents
from libs.common.web.app import create_app
from libs.common.web.auth import Principal, ServiceTokens, TokenVerifier
from libs.common.web.runtime import Runtime
from services.media.__main__ import APPLICATION
from services.media.api.use_cases import MediaUseCases
from services.media.domain import ProcessingStatus, StoredMedia, Upload, UploadSigner
from services.media.ports import MediaObjects
from services.media.service.library import MediaLibrary
from services.media.service.lifetime import Lifetime
from services.media.settings import MediaSettings
from services.media.stores.folder import FolderMediaObjects
from services.media.stores.s3 import S3MediaObjects
from services.media.tests.fakes import InMemoryMediaStore
from services.media.tests.test_objects import stream
from services.media.tests.test_service import OWNER, PATHS, PNG, READY, ROOM_BYTES, STRANGER
from services.media.tests.test_service import SECRET as PATH_SECRET

MEDIA_ID = READY.media_id
BASE = "http://test"
PLACE = f"0f/5/{MEDIA_ID}/{PATH_SECRET}"
WANTED = {"content_type": "image/png", "file_size": len(PNG)}
AS_OWNER, AS_STRANGER = ({"Authorization": f"Bearer {user}"} for user in (OWNER, STRANGER))


class Verifier:
    """Takes the token for the user's id."""

    async def verify(self, token: str) -> Principal:
        if not token.isdigit():
            raise UnauthorizedError
        return Principal(int(token), 1)

    signed = verify


class InMemoryKeys:
    """Answers a key's second request as its first."""

    def __init__(self) -> None:
        self._answers: dict[tuple[int, str, bytes], Answer] = {}

    async def run(self, account_id: int, key: str | None, request: bytes, create: Create) -> Answer:
        if key is None:
            return await create(Reservation(MEDIA_ID, is_retry=False))
        place = (account_id, key, request)
        if place not in self._answers:
            self._answers[place] = await create(Reservation(MEDIA_ID + 1 + len(self._answers), is_retry=False))
        return self._answers[place]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(FolderMediaObjects(tmp_path)) as client:
        yield client


@asynccontextmanager
async def serving(objects: MediaObjects) -> AsyncIterator[httpx2.AsyncClient]:
    settings = settings_for(MediaSettings, {}, public_url=BASE)

    async def compose(runtime: Runtime[MediaSettings]) -> MediaUseCases:
        lifetime = Lifetime(store, objects, CollectedEvents(), ROOM_BYTES)
        library = MediaLibrary(store, objects, CollectedEvents(), UploadSigner("a secret"), PATHS, lifetime, BASE, 60)
        runtime.token_verifier = cast("TokenVerifier", Verifier())
        return MediaUseCases(library, lifetime, cast("Idempotency", InMemoryKeys()), lambda: MEDIA_ID)

    store = InMemoryMediaStore()
    app = create_app("media", settings, compose, APPLICATION.routers, body_limits=APPLICATION.body_limits or {})
    app.state.store = store
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=BASE)
    async with app.router.lifespan_context(app), http:
        http.app = app  # type: ignore[attr-defined]  # for the tests that settle media
        yield http


async def announced(client: httpx2.AsyncClient) -> str:
    answer = await client.post("/v1/media/upload-url", json=WANTED, headers=AS_OWNER)
    assert answer.status_code == 200
    assert answer.json()["headers"] == {"Content-Type": "image/png"}
    assert answer.json()["method"] == "PUT"
    url: str = answer.json()["upload_url"]
    return url


async def test_one_account_sends_four_files_at_once(client: httpx2.AsyncClient) -> None:
    """The URL is all the right that a put needs, so no token says whose it is."""
    url, begun = await announced(client), asyncio.Semaphore(0)

    async def never() -> AsyncIterator[bytes]:
        begun.release()
        yield PNG[:1]
        await asyncio.Event().wait()

    async def put(index: int, content: AsyncIterator[bytes] | bytes) -> httpx2.Response:
        headers = {"Content-Type": "image/png", "X-Forwarded-For": f"192.0.2.{index}"}
        return await client.put(url, content=content, headers=headers)

    sending = [asyncio.create_task(put(index, never())) for index in range(4)]
    for _ in sending:
        await begun.acquire()
    refused = await put(9, PNG)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_in_progress")
    sending[0].cancel()
    await asyncio.wait(sending[:1])
    assert (await put(9, PNG)).status_code == 204
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)


async def test_from_announcement_to_media(client: httpx2.AsyncClient) -> None:
    url = await announced(client)
    done = f"/v1/media/upload-url/{MEDIA_ID}/complete"
    assert (await client.post(done, headers=AS_OWNER)).json()["code"] == "upload_missing"
    assert (await client.put(url, content=PNG, headers={"Content-Type": "image/png"})).status_code == 204
    for _ in range(2):
        answer = await client.post(done, headers=AS_OWNER)
        assert (answer.status_code, answer.json()) == (200, {"media_id": str(MEDIA_ID), "status": "processing"})
    state = f"/v1/media/{MEDIA_ID}"
    assert (await client.get(state, headers=AS_OWNER)).json() == {"media_id": str(MEDIA_ID), "status": "processing"}
    await client.app.state.use_cases.library.save_result(READY)  # type: ignore[attr-defined]
    small = f"{BASE}/v1/m/0f/5/1/{PATH_SECRET}/small.webp"
    assert (await client.get(state, headers=AS_OWNER)).json()["urls"] == {"small": small}
    assert (await client.get(state, headers=AS_STRANGER)).status_code == 404  # others see a picture only in posts


@pytest.mark.stores
@pytest.mark.xdist_group("s3")
async def test_a_client_of_a_bucket_uploads_past_the_service(s3_env: dict[str, str]) -> None:
    async with open_s3(settings_for(MediaSettings, s3_env)) as bucket, httpx2.AsyncClient() as straight:
        await bucket.create()
        async with serving(S3MediaObjects(bucket)) as client:
            place = (await client.post("/v1/media/upload-url", json=WANTED, headers=AS_OWNER)).json()
            done = f"/v1/media/upload-url/{MEDIA_ID}/complete"
            assert place["method"] == "POST"
            assert "headers" not in place
            assert (await client.post(done, headers=AS_OWNER)).json()["code"] == "upload_missing"
            sent = await straight.post(place["upload_url"], data=place["fields"], files={"file": PNG})
            assert sent.status_code < 300
            assert (await client.post(done, headers=AS_OWNER)).json()["status"] == "processing"
            await bucket.put(f"{PLACE}/small.webp", stream(b"0123456789"))
            await client.app.state.use_cases.library.save_result(READY)  # type: ignore[attr-defined]
            found = await client.get(f"/v1/m/{PLACE}/small.webp", headers={"Range": "bytes=2-4"})
            assert (found.status_code, found.content) == (206, b"234")
            assert await bucket.size(f"uploads/{MEDIA_ID}") is None


@pytest.mark.stores  # it opens sockets
async def test_without_the_bucket_the_answer_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "OBJECTS", replace(OBJECTS, backoff_s=0.01))
    away = {"object_store_url": "s3://feedmill", "s3_endpoint": "http://127.0.0.1:9", "s3_access_key_id": "key"}
    settings = settings_for(MediaSettings, {}, **away, s3_secret_access_key="secret")
    async with open_s3(settings) as bucket, serving(S3MediaObjects(bucket)) as client:
        assert (await client.post("/v1/media/upload-url", json=WANTED, headers=AS_OWNER)).status_code == 200
        store: InMemoryMediaStore = client.app.state.store  # type: ignore[attr-defined]
        await store.save(READY)
        await store.announce(Upload(7, OWNER, "image/png", 9))
        for answer in (
            await client.post("/v1/media/upload-url/7/complete", headers=AS_OWNER),
            await client.get(f"/v1/m/{PLACE}/small.webp"),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


@pytest.mark.parametrize(
    ("wanted", "status", "content", "range_"),
    [
        (None, 200, b"0123456789", None),
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=7-99", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        (f"bytes={'9' * 400}-", 200, b"0123456789", None),
    ],
)
async def test_ranges(
    client: httpx2.AsyncClient, tmp_path: Path, wanted: str | None, status: int, content: bytes, range_: str | None
) -> None:
    await FolderMediaObjects(tmp_path).put(f"{PLACE}/small.webp", stream(b"0123456789"))
    await client.app.state.store.save(READY)  # type: ignore[attr-defined]
    found = await client.get(f"/v1/m/{PLACE}/small.webp", headers={"Range": wanted} if wanted else {})
    assert (found.status_code, found.content, found.headers.get("content-range")) == (status, content, range_)


async def test_an_announcement_with_a_key_is_made_once(client: httpx2.AsyncClient) -> None:
    def sent(key: str) -> dict[str, str]:
        return AS_OWNER | {"Idempotency-Key": key}

    first, again, other = [
        (await client.post("/v1/media/upload-url", json=WANTED, headers=sent(key))).json() for key in ("a", "a", "b")
    ]
    assert first == again
    assert first["upload_id"] != other["upload_id"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"content_type": "image/heic"}, 415, "unsupported_media_type"),
        ({"content_type": "video/mp4"}, 415, "unsupported_media_type"),
        ({"file_size": 10 * 1024 * 1024 + 1}, 413, "too_large"),
        ({"file_size": 0}, 422, "invalid"),
        ({"purpose": "story"}, 422, "invalid"),
        ({"more": 1}, 422, "invalid"),
    ],
)
async def test_announcements_that_are_refused(
    client: httpx2.AsyncClient, change: dict[str, object], status: int, code: str
) -> None:
    answer = await client.post("/v1/media/upload-url", json=WANTED | change, headers=AS_OWNER)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("name", ["IMAGE/PNG", "image/png; charset=binary", "image/x-png"])
async def test_a_type_has_many_names(client: httpx2.AsyncClient, name: str) -> None:
    answer = await client.post("/v1/media/upload-url", json=WANTED | {"content_type": name}, headers=AS_OWNER)
    assert answer.json()["headers"] == {"Content-Type": "image/png"}
    put = await client.put(answer.json()["upload_url"], content=PNG, headers={"Content-Type": name})
    assert put.status_code == 204


async def test_puts_that_are_refused(client: httpx2.AsyncClient) -> None:
    url = await announced(client)
    for wrong, body, status in ((url[:-2] + "zz", PNG, 403), (url, PNG + b".", 413), (url, PNG[1:], 422)):
        answer = await client.put(wrong, content=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (await client.put(url, content=b"\0" * (10 * 1024 * 1024 + 1))).status_code == 413


@pytest.mark.parametrize("path", ["/v1/media/upload-url/x/complete", "/v1/media/1/complete", "/v1/media/07"])
async def test_ids_that_are_none(client: httpx2.AsyncClient, path: str) -> None:
    method = "POST" if path.endswith("complete") else "GET"
    assert (await client.request(method, path, headers=AS_OWNER)).status_code == 404


async def there(client: httpx2.AsyncClient, media_id: int) -> None:
    await client.app.state.store.save(StoredMedia(media_id, OWNER, ProcessingStatus.READY))  # type: ignore[attr-defined]


async def test_serving(client: httpx2.AsyncClient, tmp_path: Path) -> None:
    await there(client, 1)
    folder = tmp_path / "0f" / "5" / "1" / PATH_SECRET
    folder.mkdir(parents=True)
    (folder / "small.webp").write_bytes(b"0123456789")
    answer = await client.get(f"/v1/m/0f/5/1/{PATH_SECRET}/small.webp")
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    part = await client.get(f"/v1/m/0f/5/1/{PATH_SECRET}/small.webp", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    tag = {"If-None-Match": answer.headers["etag"]}
    assert (await client.get(f"/v1/m/0f/5/1/{PATH_SECRET}/small.webp", headers=tag)).status_code == 304
    missing = await client.get(f"/v1/m/0f/5/1/{PATH_SECRET}/large.webp")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (await client.get(f"/v1/m/uploads/5/1/{PATH_SECRET}/small.webp")).status_code == 404


async def test_what_its_owner_deleted_is_gone(client: httpx2.AsyncClient, tmp_path: Path) -> None:
    await there(client, 1)
    path = f"/v1/m/0f/5/1/{PATH_SECRET}/small.webp"
    (tmp_path / "0f" / "5" / "1" / PATH_SECRET).mkdir(parents=True)
    (tmp_path / path.removeprefix("/v1/m/")).write_bytes(b"0123456789")
    assert (await client.delete("/v1/media/1", headers=AS_STRANGER)).status_code == 404
    assert (await client.delete("/v1/media/1")).status_code == 401
    tag = {"If-None-Match": (await client.get(path)).headers["etag"]}
    assert (await client.delete("/v1/media/1", headers=AS_OWNER)).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert (await client.get(path, headers=tag)).status_code == 404
    assert (await client.get("/v1/media/1", headers=AS_OWNER)).status_code == 404
    assert (await client.delete("/v1/media/1", headers=AS_OWNER)).status_code == 404


async def test_without_the_secret_there_is_nothing(client: httpx2.AsyncClient, tmp_path: Path) -> None:
    """Also of media from before there were secrets: theirs is derived, and the file may lie where it lay."""
    await there(client, 1)
    folder = tmp_path / "0f" / "5" / "1"
    folder.mkdir(parents=True)
    (folder / "small.webp").write_bytes(b"0123456789")
    assert (await client.get(f"/v1/m/0f/5/1/{PATHS.secret_of(1)}/small.webp")).content == b"0123456789"
    for path in ("small.webp", f"{PATH_SECRET}/small.webp", f"{PATHS.secret_of(2)}/small.webp", "-/small.webp"):
        assert (await client.get(f"/v1/m/0f/5/1/{path}")).status_code == 404


async def test_internal_routes(client: httpx2.AsyncClient) -> None:
    service = {"Authorization": ServiceTokens(SECRET, "post").header(), "Content-Type": "image/png"}
    assert (await client.post("/internal/media/store?owner_id=5", content=PNG)).status_code == 403
    stored = await client.post("/internal/media/store?owner_id=5", content=PNG, headers=service)
    assert stored.json() == {"media_id": MEDIA_ID, "status": "processing"}
    asked = orjson.dumps({"media_ids": [MEDIA_ID, 3]})
    found = await client.post(
        "/internal/media/batch", content=asked, headers=service | {"Content-Type": "application/json"}
    )
    wanted = {"media_id": MEDIA_ID, "owner_id": 5, "status": "processing", "reason": None, "document": None}
    assert found.json() == {"media": [wanted]}
    avatar = orjson.dumps({"media_ids": [MEDIA_ID], "profile_of": OWNER})
    shown = await client.post(
        "/internal/media/batch", content=avatar, headers=service | {"Content-Type": "application/json"}
    )
    assert shown.json() == {"media": [wanted]}
    refused = await client.delete(f"/v1/media/{MEDIA_ID}", headers=AS_OWNER)
    assert (refused.status_code, refused.json()["code"]) == (409, "media_in_use")
    html = await client.post("/internal/media/store?owner_id=5", content=b"<html>", headers=service)
    assert (html.status_code, html.json()["code"]) == (422, "media_type_not_accepted")
