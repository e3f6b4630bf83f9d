"""The object stores by the same rules: a folder, and a bucket of a real S3 server."""

import base64
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from libs.common.core.errors import UnavailableError
from libs.common.stores.s3 import PART_BYTES, PIECE_BYTES, S3ObjectStore, open_s3
from libs.common.testing import settings_for
from services.media.domain import Upload
from services.media.ports import MediaObjects
from services.media.settings import MediaSettings
from services.media.stores.folder import FolderMediaObjects
from services.media.stores.s3 import S3MediaObjects
from tests.s3 import GIVEN

PNG_TYPE = "image/png"


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def broken(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise EOFError


async def refuse() -> None:
    raise LookupError


async def served(objects: MediaObjects, key: str, start: int, end: int) -> bytes:
    found = await objects.open(key)
    assert found
    return b"".join([piece async for piece in found.read(start, end)])


class MediaObjectsConformance:
    """What every `MediaObjects` does."""

    @pytest.fixture
    def key(self) -> str:
        return f"ab/{secrets.token_hex(4)}/file"

    async def test_what_is_put_can_be_read(self, objects: MediaObjects, key: str) -> None:
        assert await objects.put(key, stream(b"some ", b"bytes")) == 10
        assert await objects.get(key) == b"some bytes"
        assert await objects.size(key) == 10
        assert await objects.head(key, 4) == b"some"
        assert await served(objects, key, 0, 10) == b"some bytes"
        assert await served(objects, key, 5, 8) == b"byt"

    @pytest.mark.parametrize("size", [0, PIECE_BYTES + 1, PART_BYTES, 2 * PART_BYTES + 3])
    async def test_any_size(self, objects: MediaObjects, key: str, size: int) -> None:
        content = secrets.token_bytes(size)
        chunks = [content[at : at + 300_000] for at in range(0, size, 300_000)]
        assert await objects.put(key, stream(*chunks)) == size
        assert await objects.size(key) == size
        assert await objects.get(key) == content
        assert await served(objects, key, 0, size) == content
        assert await served(objects, key, size // 3, size // 2) == content[size // 3 : size // 2]

    async def test_a_second_put_replaces_the_first(self, objects: MediaObjects, key: str) -> None:
        await objects.put(key, stream(b"first"))
        await objects.put(key, stream(b"2nd"))
        assert await objects.get(key) == b"2nd"

    @pytest.mark.parametrize("size", [3, PART_BYTES + 3])
    async def test_what_breaks_or_is_refused_is_not_stored(self, objects: MediaObjects, key: str, size: int) -> None:
        with pytest.raises(EOFError):
            await objects.put(key, broken(bytes(size)))
        with pytest.raises(LookupError):
            await objects.put(key, stream(bytes(size)), refuse)
        assert await objects.size(key) is None

    async def test_what_is_missing(self, objects: MediaObjects, key: str) -> None:
        assert await objects.size(key) is None
        assert await objects.open(key) is None
        with pytest.raises(FileNotFoundError):
            await objects.get(key)
        with pytest.raises(FileNotFoundError):
            await objects.head(key, 10)
        await objects.delete(key)
        await objects.delete_folder(key)

    async def test_deletion(self, objects: MediaObjects, key: str) -> None:
        folder = key.removesuffix("/file")
        for name in (f"{folder}/a", f"{folder}/b/c", f"{folder}0"):
            await objects.put(name, stream(b"x"))
        await objects.delete(f"{folder}/a")
        assert await objects.size(f"{folder}/a") is None
        await objects.delete_folder(folder)
        assert await objects.size(f"{folder}/b/c") is None
        assert await objects.size(f"{folder}0") == 1

    async def test_a_sweep_takes_what_is_old(self, objects: MediaObjects, key: str) -> None:
        folder = key.removesuffix("/file")
        for name in "abc":
            await objects.put(f"{folder}/{name}", stream(b"x"))
        assert await objects.sweep(folder, 0, 10) == 0
        assert await objects.sweep(folder, 2e9, 2) == 2
        assert await objects.sweep(folder, 2e9, 2) == 1
        assert await objects.sweep(folder, 2e9, 2) == 0


class TestFolder(MediaObjectsConformance):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> MediaObjects:
        return FolderMediaObjects(tmp_path)


@pytest.mark.stores
@pytest.mark.xdist_group("s3")
class TestBucket(MediaObjectsConformance):
    @pytest.fixture
    async def bucket(self, s3_env: dict[str, str]) -> AsyncIterator[S3ObjectStore]:
        async with open_s3(settings_for(MediaSettings, s3_env)) as bucket:
            await bucket.create()
            yield bucket

    @pytest.fixture
    def objects(self, bucket: S3ObjectStore) -> MediaObjects:
        return S3MediaObjects(bucket)

    async def test_no_parts_stay_behind(self, objects: MediaObjects, bucket: S3ObjectStore, key: str) -> None:
        with pytest.raises(LookupError):
            await objects.put(key, stream(bytes(2 * PART_BYTES)), refuse)
        assert await bucket.unfinished() == []

    async def test_a_client_uploads_by_a_form(self, objects: MediaObjects) -> None:
        upload = Upload(int(secrets.token_hex(6), 16), 7, PNG_TYPE, 5)
        address = await objects.presigned(upload, 60)
        assert address
        assert address.method == "POST"
        async with httpx2.AsyncClient() as http:

            async def send(content: bytes, **changed: str) -> int:
                fields = {**address.fields, **changed}
                answer = await http.post(address.url, data=fields, files={"file": ("a", content, PNG_TYPE)})
                return int(answer.status_code)

            assert await send(b"12345", **{"x-amz-signature": "0" * 64}) >= 400
            assert await send(b"12345", policy=_altered(address.fields["policy"])) >= 400
            assert await objects.size(upload.source_key) is None
            if GIVEN:
                for content, changed in (
                    (b"1234", {}),
                    (b"123456", {}),
                    (b"12345", {"Content-Type": "text/html"}),
                    (b"12345", {"key": "uploads/1"}),
                ):
                    assert await send(content, **changed) >= 400
            assert await send(b"12345") < 300
        assert await objects.get(upload.source_key) == b"12345"

    async def test_a_form_allows_nothing_else(self, objects: MediaObjects, s3_env: dict[str, str]) -> None:
        address = await objects.presigned(Upload(9, 7, PNG_TYPE, 5), 60)
        assert address
        conditions = json.loads(base64.b64decode(address.fields["policy"]))["conditions"]
        assert {"bucket": s3_env["FEEDMILL_OBJECT_STORE_URL"].removeprefix("s3://")} in conditions
        assert {"key": "uploads/9"} in conditions
        assert {"Content-Type": PNG_TYPE} in conditions
        assert ["content-length-range", 5, 5] in conditions

    async def test_clients_get_their_own_address(self, s3_env: dict[str, str]) -> None:
        settings = settings_for(MediaSettings, s3_env, s3_public_endpoint="https://media.example.org")
        async with open_s3(settings) as bucket:
            form = await bucket.presigned_post("uploads/9", PNG_TYPE, 5, 60)
        assert form.url.startswith("https://media.example.org/")

    @pytest.mark.parametrize(
        ("wrong", "named"),
        [
            ({"object_store_url": "s3://is-not-there"}, "FEEDMILL_OBJECT_STORE_URL"),
            ({"s3_secret_access_key": "wrong"}, "FEEDMILL_S3_SECRET_ACCESS_KEY"),
            ({"s3_access_key_id": "wrong"}, "FEEDMILL_S3_ACCESS_KEY_ID"),
            ({"s3_endpoint": "http://127.0.0.1:9"}, "FEEDMILL_S3_ENDPOINT"),
        ],
    )
    async def test_what_is_wrong_is_named(self, s3_env: dict[str, str], wrong: dict[str, str], named: str) -> None:
        async with open_s3(settings_for(MediaSettings, s3_env, **wrong)) as bucket:
            with pytest.raises(UnavailableError, match=named):
                await bucket.ready()


def _altered(policy: str) -> str:
    return base64.b64encode(base64.b64decode(policy).replace(b"5, 5]", b"1, 9]")).decode()
