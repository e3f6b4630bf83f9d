"""Processing of uploads: from the file to its variants and a result event."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from opentelemetry.trace import SpanKind

from libs.common.core.errors import UnavailableError
from libs.common.core.logging import get_logger
from libs.common.stores.objects import ObjectStore
from libs.contracts.base import Event
from libs.contracts.events import MediaFailed, MediaProcessed, MediaUploaded
from libs.contracts.failures import FailureReason
from libs.media.image_types import ACCEPTED, format_of
from libs.media.paths import SecretPaths
from libs.telemetry.metrics import counter, exemplar, histogram
from libs.telemetry.tracing import child_span
from workers.media.domain.documents import FAILED_VERSION, FILES, PROCESSED_VERSION, document, variant_paths
from workers.media.domain.picture import Decoded, DecodingFailedError, Refused
from workers.media.ports import Decoder, EventPublisher
from workers.media.service.turns import Turns

RETRY_AFTER_S = (1.0, 2.0, 4.0)
AWAY_S = 1.0  # pause while the object store is unavailable
WAITING_PER_OWNER = 200  # two hours at the limit of ten posts per hour, with ten pictures each
CHUNK_BYTES = 256 * 1024
OUTCOMES = counter("feedmill_media_processed_total")
RETRIES = counter("feedmill_media_retries_total")
SECONDS = histogram("feedmill_media_processing_seconds")
_TYPE_LABELS = {name: name.lower() for name in ACCEPTED.values()}
log = get_logger(__name__)


class UploadProcessor:
    """Processes uploads. Repeating is safe: it writes the same files and publishes the same event."""

    def __init__(
        self,
        objects: ObjectStore,
        decoder: Decoder,
        events: EventPublisher,
        paths: SecretPaths,
        max_concurrent: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._objects = objects
        self._decoder = decoder
        self._events = events
        self._paths = paths
        self._turns = Turns(max_concurrent)
        self._sleep = sleep
        self._unfinished: dict[int, set[int]] = {}  # media ids by owner
        self._finished_elsewhere: set[int] = set()  # unfinished media whose result was published already

    async def process(self, upload: MediaUploaded) -> None:
        """Wait for the owner's turn, make the variants, and publish the result.

        Raises:
            UnavailableError: the event could not be published.
        """
        of_owner = self._unfinished.setdefault(upload.owner_id, set())
        if len(of_owner) >= WAITING_PER_OWNER:
            await self.fail(upload, Refused(FailureReason.TOO_MANY_WAITING))
            return
        of_owner.add(upload.media_id)
        try:
            result = await self._with_retries(upload)
            if isinstance(result, Refused):
                await self.fail(upload, result)
            elif result is not None:
                await self._succeed(upload, result)
        finally:
            of_owner.discard(upload.media_id)
            self._finished_elsewhere.discard(upload.media_id)
            if not self._unfinished.get(upload.owner_id):
                self._unfinished.pop(upload.owner_id, None)

    def mark_finished(self, owner_id: int, media_id: int) -> None:
        """Skip the upload if it waits here: its result was published, so it was only delivered again."""
        if media_id in self._unfinished.get(owner_id, ()):
            self._finished_elsewhere.add(media_id)

    async def fail(self, upload: MediaUploaded, refused: Refused) -> None:
        """Publish that the upload failed. Raises UnavailableError."""
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

    async def _with_retries(self, upload: MediaUploaded) -> Decoded | Refused | None:
        """The result; None if it was published already."""
        for delay in (*RETRY_AFTER_S, None):
            try:
                async with self._turns.turn(upload.owner_id):
                    return None if upload.media_id in self._finished_elsewhere else await self._timed(upload)
            except (OSError, DecodingFailedError) as error:
                RETRIES.inc()
                log.warning("attempt_failed", media_id=upload.media_id, retry_after_s=delay, **_why(error))
                if delay is not None:
                    await self._sleep(delay)
        return Refused(FailureReason.PROCESSING_FAILED)

    async def _timed(self, upload: MediaUploaded) -> Decoded | Refused:
        started, kind = time.perf_counter(), "other"
        try:
            with tempfile.TemporaryDirectory(prefix="feedmill-media-") as folder:
                source = Path(folder) / "source"
                kind = await self._fetch(upload, source)
                return await self._attempt(upload, source)
        except UnavailableError:
            await self._sleep(AWAY_S)  # during the turn, since other uploads would fail too
            raise
        finally:
            SECONDS.labels(kind).observe(time.perf_counter() - started, exemplar())

    async def _fetch(self, upload: MediaUploaded, source: Path) -> str:
        """Write the uploaded file to `source`. Return its type, as the label of the metric."""
        content = await self._objects.get(upload.source_key)
        await asyncio.to_thread(source.write_bytes, content)
        return _TYPE_LABELS.get(format_of(content) or "", "other")

    async def _attempt(self, upload: MediaUploaded, source: Path) -> Decoded | Refused:
        with child_span("decode picture", SpanKind.INTERNAL, {}) as span:
            verdict = await self._decoder.decode(source, source.parent)
            span.set_attribute("feedmill.media.outcome", _outcome(verdict))
        if isinstance(verdict, Decoded):
            for variant, path in variant_paths(upload.owner_id, upload.media_id, self._secret(upload)).items():
                await self._objects.put(path, _chunks(source.with_name(FILES[variant])))
        return verdict

    def _secret(self, upload: MediaUploaded) -> str:
        return upload.secret or self._paths.secret_of(upload.media_id)


def _outcome(verdict: Decoded | Refused) -> str:
    return verdict.reason if isinstance(verdict, Refused) else "processed"


def _why(error: OSError | DecodingFailedError) -> dict[str, object]:
    if not isinstance(error, DecodingFailedError):
        return {"error": repr(error)}
    ended = {} if error.code is None else {"signal" if error.code < 0 else "exit_code": abs(error.code)}
    return {"error": str(error), **ended, "stderr": error.stderr}


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
