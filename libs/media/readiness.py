"""Readiness of media: whether content that refers to uploads, for example a post, can be published.

The content waits in a table until all its uploads are processed. The results of processing are stored as they arrive,
so that they are found in whichever order content is created and uploads are processed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from libs.contracts.media import MediaDocument


class MediaStatus(StrEnum):
    """Status of an upload as the media service reports it."""

    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class MediaReadiness:
    """An upload, its owner and its status. `reason` is set when it failed, `document` when it is ready."""

    media_id: int
    owner_id: int
    status: MediaStatus
    reason: str | None
    document: MediaDocument | None


class MediaReadinessStore(Protocol):
    """Results of processing, and the content that waits for them. Raises UnavailableError."""

    async def save_result(self, media: MediaReadiness) -> None:
        """Store the result of an upload. A failure does not replace an earlier success."""

    async def delete_result(self, media_id: int) -> None:
        """Delete the result, so that the media service is asked again."""

    async def results(self, media_ids: Sequence[int]) -> list[MediaReadiness]:
        """Return the stored results, without those that are not stored."""

    async def waiting_for(self, media_id: int) -> list[int]:
        """Return the ids of content that refers to the upload and is not published."""


def failure_reason(media: Sequence[MediaReadiness]) -> str | None:
    """Return the reason of the first failed upload, or None when none failed."""
    return next((m.reason or "media_failed" for m in media if m.status is MediaStatus.FAILED), None)


def documents_if_ready(media: Sequence[MediaReadiness], media_ids: Sequence[int]) -> tuple[MediaDocument, ...] | None:
    """Return the documents in the order of `media_ids`, or None when one is not ready."""
    documents = {m.media_id: m.document for m in media if m.status is MediaStatus.READY and m.document}
    if any(media_id not in documents for media_id in media_ids):
        return None
    return tuple(documents[media_id] for media_id in media_ids)
