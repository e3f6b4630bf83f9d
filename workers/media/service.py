"""From an uploaded file to its variants and a verdict."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from prometheus_client import Counter, Histogram

from libs.common.contracts.base import Event
from libs.common.contracts.events import MediaFailed, MediaProcessed, MediaUploaded
from libs.common.runtime.logging import get_logger
from libs.common.stores.objects import ObjectStore
from workers.media.domain import (
    FAILED_VERSION,
    FILES,
    PROCESSED_VERSION,
    Decoded,
    Refused,
    document,
    variant_paths,
)
from workers.media.ports import Decoder, EventPublisher

RETRY_AFTER_S = (1.0, 2.0, 4.0)
CHUNK_BYTES = 256 * 1024
UNAVAILABLE = Refused("unavailable")
OUTCOMES = Counter("feedmill_media_processed_total", "Uploads judged.", ["outcome"])
SECONDS = Histogram(
    "feedmill_media_processing_seconds",
    "From an upload's turn to its verdict.",
    buckets=(0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2, 4, 8, 20, 30),
)
log = get_logger(__name__)


class Processing:
    """May run twice on the same upload: the same files appear under the same paths, and the same event."""

    def __init__(
        self,
        objects: ObjectStore,
        decoder: Decoder,
        events: EventPublisher,
        at_once: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._objects = objects
        self._decoder = decoder
        self._events = events
        self._turns = asyncio.Semaphore(at_once)
        self._sleep = sleep

    async def process_all(self, uploads: Sequence[MediaUploaded]) -> None:
        """Process side by side, as far as turns are free."""
        results = await asyncio.gather(*(self.process(upload) for upload in uploads), return_exceptions=True)
        if failures := [result for result in results if isinstance(result, BaseException)]:
            raise failures[0]

    async def process(self, upload: MediaUploaded) -> None:
        """Make the variants and publish the verdict."""
        async with self._turns:
            started = time.perf_counter()
            verdict = await self._persistently(upload)
            SECONDS.observe(time.perf_counter() - started)
        OUTCOMES.labels(verdict.reason if isinstance(verdict, Refused) else "processed").inc()
        await self._events.publish(_event(upload, verdict))

    async def _persistently(self, upload: MediaUploaded) -> Decoded | Refused:
        for delay in (*RETRY_AFTER_S, None):
            try:
                return await self._attempt(upload)
            except OSError as error:
                log.warning("attempt_failed", media_id=upload.media_id, error=repr(error), retry_after_s=delay)
                if delay is not None:
                    await self._sleep(delay)
        return UNAVAILABLE

    async def _attempt(self, upload: MediaUploaded) -> Decoded | Refused:
        with tempfile.TemporaryDirectory(prefix="feedmill-media-") as name:
            folder = Path(name)
            source = folder / "source"
            await asyncio.to_thread(source.write_bytes, await self._objects.get(upload.source_key))
            verdict = await self._decoder.decode(source, folder)
            if isinstance(verdict, Decoded):
                for variant, path in variant_paths(upload.owner_id, upload.media_id).items():
                    await self._objects.put(path, _chunks(folder / FILES[variant]))
            return verdict


def _event(upload: MediaUploaded, verdict: Decoded | Refused) -> Event:
    media_id, owner_id = upload.media_id, upload.owner_id
    if isinstance(verdict, Refused):
        failed = MediaFailed(media_id=media_id, owner_id=owner_id, reason=verdict.reason)
        return Event(payload=failed, entity=str(media_id), entity_version=FAILED_VERSION)
    made = MediaProcessed(media_id=media_id, owner_id=owner_id, document=document(owner_id, media_id, verdict))
    return Event(payload=made, entity=str(media_id), entity_version=PROCESSED_VERSION)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
