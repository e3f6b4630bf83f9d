"""From an uploaded file to its variants and a verdict."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from prometheus_client import Counter, Histogram

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.stores.objects import ObjectStore
from libs.contracts.base import Event
from libs.contracts.events import MediaFailed, MediaProcessed, MediaUploaded
from libs.contracts.failures import FailureReason
from libs.media.paths import SecretPaths
from workers.media.domain.documents import FAILED_VERSION, FILES, PROCESSED_VERSION, document, variant_paths
from workers.media.domain.picture import Decoded, DecodingFailedError, Refused
from workers.media.ports import Decoder, EventPublisher
from workers.media.service.turns import Turns

RETRY_AFTER_S = (1.0, 2.0, 4.0)
AWAY_S = 1.0
WAITING_PER_OWNER = 200  # two hours of posts at the limit of ten an hour, ten pictures each
CHUNK_BYTES = 256 * 1024
OUTCOMES = Counter("feedmill_media_processed_total", "Uploads judged.", ["outcome"])
RETRIES = Counter("feedmill_media_retries_total", "Attempts that failed through no fault of the picture.")
SECONDS = Histogram(
    "feedmill_media_processing_seconds",
    "One attempt at an upload, from its turn on.",
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
        paths: SecretPaths,
        at_once: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._objects = objects
        self._decoder = decoder
        self._events = events
        self._paths = paths
        self._turns = Turns(at_once)
        self._sleep = sleep
        self._in_hand: dict[int, set[int]] = {}  # media by owner
        self._settled: set[int] = set()  # of those in hand

    async def process(self, upload: MediaUploaded) -> None:
        """Make the variants and publish the verdict, when it is the owner's turn."""
        mine = self._in_hand.setdefault(upload.owner_id, set())
        if len(mine) >= WAITING_PER_OWNER:
            await self.fail(upload, Refused(FailureReason.TOO_MANY_WAITING))
            return
        mine.add(upload.media_id)
        try:
            verdict = await self._persistently(upload)
            if isinstance(verdict, Refused):
                await self.fail(upload, verdict)
            elif verdict is not None:
                await self._succeed(upload, verdict)
        finally:
            mine.discard(upload.media_id)
            self._settled.discard(upload.media_id)
            if not self._in_hand.get(upload.owner_id):
                self._in_hand.pop(upload.owner_id, None)

    def settled(self, owner_id: int, media_id: int) -> None:
        """A verdict was published before: if the upload waits here, it was delivered again and needs no other."""
        if media_id in self._in_hand.get(owner_id, ()):
            self._settled.add(media_id)

    async def fail(self, upload: MediaUploaded, refused: Refused) -> None:
        """Publish that the upload is no picture."""
        log.info("upload_refused", media_id=upload.media_id, reason=refused.reason, detail=refused.detail)
        OUTCOMES.labels(refused.reason).inc()
        failed = MediaFailed(media_id=upload.media_id, owner_id=upload.owner_id, reason=refused.reason)
        await self._events.publish(Event(payload=failed, entity=str(upload.media_id), entity_version=FAILED_VERSION))

    async def _succeed(self, upload: MediaUploaded, decoded: Decoded) -> None:
        OUTCOMES.labels("processed").inc()
        media_id, owner_id = upload.media_id, upload.owner_id
        made = MediaProcessed(
            media_id=media_id, owner_id=owner_id, document=document(owner_id, media_id, self._secret(upload), decoded)
        )
        await self._events.publish(Event(payload=made, entity=str(media_id), entity_version=PROCESSED_VERSION))

    async def _persistently(self, upload: MediaUploaded) -> Decoded | Refused | None:
        """None: settled before."""
        for delay in (*RETRY_AFTER_S, None):
            try:
                async with self._turns.turn(upload.owner_id):
                    return None if upload.media_id in self._settled else await self._timed(upload)
            except (OSError, DecodingFailedError) as error:
                RETRIES.inc()
                log.warning("attempt_failed", media_id=upload.media_id, retry_after_s=delay, **_why(error))
                if delay is not None:
                    await self._sleep(delay)
        return Refused(FailureReason.PROCESSING_FAILED)

    async def _timed(self, upload: MediaUploaded) -> Decoded | Refused:
        started = time.perf_counter()
        try:
            return await self._attempt(upload)
        except UnavailableError:
            await self._sleep(AWAY_S)  # in its turn: the store is away for all, and need not be asked more often
            raise
        finally:
            SECONDS.observe(time.perf_counter() - started)

    async def _attempt(self, upload: MediaUploaded) -> Decoded | Refused:
        with tempfile.TemporaryDirectory(prefix="feedmill-media-") as name:
            folder = Path(name)
            source = folder / "source"
            await asyncio.to_thread(source.write_bytes, await self._objects.get(upload.source_key))
            verdict = await self._decoder.decode(source, folder)
            if isinstance(verdict, Decoded):
                for variant, path in variant_paths(upload.owner_id, upload.media_id, self._secret(upload)).items():
                    await self._objects.put(path, _chunks(folder / FILES[variant]))
            return verdict

    def _secret(self, upload: MediaUploaded) -> str:
        return upload.secret or self._paths.secret_of(upload.media_id)


def _why(error: OSError | DecodingFailedError) -> dict[str, object]:
    if not isinstance(error, DecodingFailedError):
        return {"error": repr(error)}
    ended = {} if error.code is None else {"signal" if error.code < 0 else "exit_code": abs(error.code)}
    return {"error": str(error), **ended, "stderr": error.stderr}


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
