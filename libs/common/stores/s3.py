"""The object store in a bucket of any S3 server (ADR 28)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.session import get_session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from libs.common.core.dependency import MAX_CONCURRENT, Dependency
from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.core.policies import OBJECTS
from libs.common.core.settings import Settings
from libs.common.stores.objects import Check, object_span

PART_BYTES = 8 * 1024 * 1024  # of a larger object; a part has at least 5 MiB, and a put holds one in memory
PIECE_BYTES = 1024 * 1024  # of a read: one request each, so that a read needs little memory and goes on after a failure
DELETED_AT_ONCE = 1_000  # the limit of S3
_BUSY = frozenset({"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling"})
_MISSING = frozenset({"NoSuchKey", "404"})
_REFUSED = frozenset({"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"})
log = get_logger(__name__)


class _NotAnsweredError(Exception):
    """The server answered that it can't answer now."""


@dataclass(frozen=True, slots=True)
class PresignedPost:
    """A form with which a client uploads one object itself: the fields come before the file."""

    url: str
    fields: dict[str, str]


class S3ObjectStore:
    """Implements `ObjectStore`. All methods raise UnavailableError if the server does not answer or refuses the key."""

    def __init__(self, client: Any, public_client: Any, bucket: str, settings: Settings) -> None:
        self._client = client
        self._public_client = public_client
        self._bucket = bucket
        failures = (_NotAnsweredError, HTTPClientError, NoConnectionError)
        self._dependency = Dependency("objects", settings, self.ready, failures)

    async def put(self, key: str, body: AsyncIterator[bytes], check: Check | None = None) -> int:
        with object_span("put"):
            parts = _parts(body)
            first = await anext(parts, b"")
            if len(first) < PART_BYTES:
                await _passed(check)
                await self._call("put_object", Key=key, Body=first)
                return len(first)
            return await self._put_parts(key, first, parts, check)

    async def _put_parts(self, key: str, first: bytes, parts: AsyncIterator[bytes], check: Check | None) -> int:
        upload = {"Key": key, "UploadId": (await self._call("create_multipart_upload", Key=key))["UploadId"]}
        size, tags = 0, list[dict[str, object]]()

        async def send(part: bytes) -> int:
            number = len(tags) + 1
            answer = await self._call("upload_part", **upload, PartNumber=number, Body=part)
            tags.append({"PartNumber": number, "ETag": answer["ETag"]})
            return len(part)

        try:
            size += await send(first)
            async for part in parts:
                size += await send(part)
            await _passed(check)
            await self._call("complete_multipart_upload", **upload, MultipartUpload={"Parts": tags})
        except BaseException:
            # Not by `_call`: its retries would delay the error. A rule of the bucket removes what stays.
            with suppress(BotoCoreError, ClientError):
                await self._client.abort_multipart_upload(Bucket=self._bucket, **upload)
            raise
        return size

    async def get(self, key: str) -> bytes:
        with object_span("get"):
            return await self._read(Key=key)

    async def size(self, key: str) -> int | None:
        with object_span("size"):
            try:
                return int((await self._call("head_object", Key=key))["ContentLength"])
            except FileNotFoundError:
                return None

    async def delete(self, key: str) -> None:
        with object_span("delete"):
            await self._call("delete_object", Key=key)

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to, and without, `end`. Raises FileNotFoundError."""
        for at in range(start, end, PIECE_BYTES):
            with object_span("read"):
                yield await self._read(Key=key, Range=f"bytes={at}-{min(at + PIECE_BYTES, end) - 1}")

    async def _read(self, **arguments: str) -> bytes:
        async def attempt() -> bytes:
            answer = await self._once("get_object", **arguments)
            async with answer["Body"] as body:
                return bytes(await body.read())

        return await self._dependency.call(OBJECTS, attempt)

    async def listed(self, prefix: str) -> AsyncIterator[Sequence[dict[str, Any]]]:
        """Yield pages of objects whose keys begin with `prefix`: `Key`, `LastModified`, `Size`."""
        more: dict[str, str] = {}
        while True:
            page = await self._call("list_objects_v2", Prefix=prefix, **more)
            if found := page.get("Contents"):
                yield found
            if not page["IsTruncated"]:
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete objects, if they exist."""
        for start in range(0, len(keys), DELETED_AT_ONCE):
            objects = [{"Key": key} for key in keys[start : start + DELETED_AT_ONCE]]
            answer = await self._call("delete_objects", Delete={"Objects": objects, "Quiet": True})
            if failed := answer.get("Errors"):
                raise UnavailableError(f"The object store did not delete {len(failed)} objects.")

    async def presigned_post(self, key: str, content_type: str, size: int, valid_s: int) -> PresignedPost:
        """Return a form that uploads exactly `size` bytes of this type under this key, for `valid_s` seconds."""
        made = await self._public_client.generate_presigned_post(
            self._bucket,
            key,
            Fields={"Content-Type": content_type},
            Conditions=[{"Content-Type": content_type}, ["content-length-range", size, size]],
            ExpiresIn=valid_s,
        )
        return PresignedPost(made["url"], made["fields"])

    async def ready(self) -> bool:
        """A readiness check; it makes one request."""
        try:
            await self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            raise UnavailableError(f"The object store answers {_code(error)}: look at {_setting_of(error)}.") from error
        except BotoCoreError as error:
            raise UnavailableError("The object store does not respond: look at FEEDMILL_S3_ENDPOINT.") from error
        return True

    async def create(self) -> None:
        """Create the bucket if it does not exist."""
        with suppress(self._client.exceptions.BucketAlreadyOwnedByYou):
            await self._client.create_bucket(Bucket=self._bucket)

    async def unfinished(self) -> list[str]:
        """The keys of multipart uploads that are not completed."""
        return [one["Key"] for one in (await self._call("list_multipart_uploads")).get("Uploads", ())]

    async def close(self) -> None:
        """Stop the circuit breaker."""
        await self._dependency.breaker.close()

    async def _call(self, operation: str, **arguments: Any) -> Any:
        return await self._dependency.call(OBJECTS, lambda: self._once(operation, **arguments))

    async def _once(self, operation: str, **arguments: Any) -> Any:
        try:
            return await getattr(self._client, operation)(Bucket=self._bucket, **arguments)
        except ClientError as error:
            raise _meaning(error) from error


@asynccontextmanager
async def open_s3(settings: Settings) -> AsyncIterator[S3ObjectStore]:
    """Open the bucket of `object_store_url`. Nothing is sent until the first call."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_client(settings, settings.s3_endpoint))
        public = client
        if settings.s3_public_endpoint:
            public = await stack.enter_async_context(_client(settings, settings.s3_public_endpoint))
        store = S3ObjectStore(client, public, urlsplit(settings.object_store_url).netloc, settings)
        stack.push_async_callback(store.close)
        yield store


def _client(settings: Settings, endpoint: str) -> Any:
    return get_session().create_client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id or None,
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value() or None,
        verify=str(settings.s3_ca) if settings.s3_ca else None,
        config=Config(
            signature_version="s3v4",
            # Servers on own addresses have no host name for each bucket.
            s3={"addressing_style": "path" if endpoint else "auto"},
            retries={"total_max_attempts": 1},  # `Dependency` retries
            connect_timeout=OBJECTS.timeout_s * settings.timeout_factor,
            read_timeout=OBJECTS.timeout_s * settings.timeout_factor,
            max_pool_connections=MAX_CONCURRENT,
            # Checksums in trailers are unknown to some servers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _meaning(error: ClientError) -> Exception:
    """What an error answer means for callers."""
    code = _code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    if code in _MISSING:
        return FileNotFoundError("there is no such object")
    if status >= 500 or code in _BUSY:
        return _NotAnsweredError(code)
    # Clients read the message of the error, and the log has the reason.
    log.warning("object_store_refused", operation=error.operation_name, code=code, setting=_setting_of(error))
    return UnavailableError("The object store refused the request.")


def _setting_of(error: ClientError) -> str:
    """What an operator has to correct, most likely."""
    if _code(error) in _REFUSED:
        return "FEEDMILL_S3_ACCESS_KEY_ID, FEEDMILL_S3_SECRET_ACCESS_KEY"
    return "FEEDMILL_OBJECT_STORE_URL, FEEDMILL_S3_REGION"


async def _passed(check: Check | None) -> None:
    if check is not None:
        await check()


async def _parts(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield parts of `PART_BYTES`; the last one may be smaller, and an empty one is left out."""
    collected = bytearray()
    async for chunk in body:
        collected += chunk
        while len(collected) >= PART_BYTES:
            yield bytes(collected[:PART_BYTES])
            del collected[:PART_BYTES]
    if collected:
        yield bytes(collected)
