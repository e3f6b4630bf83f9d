"""Readiness of media in Cassandra."""

from collections.abc import Sequence

from cassandra.query import UNSET_VALUE

from libs.common.stores.cassandra import Bound, Cassandra, CassandraStore, Row
from libs.contracts.media import MediaDocument
from libs.media.paths import SecretPaths
from libs.media.readiness import MediaReadiness, MediaStatus


def readiness_cql(*, waiting: str, content_id: str, results: str) -> dict[str, str]:
    """Return the statements of a `CassandraMediaReadiness`.

    Args:
        waiting: the table of waiting content, with the key (media_id, content_id).
        content_id: the name of that table's column for the id of the content.
        results: the table with media_id, owner_id, document and failed_reason.
    """
    columns = "media_id, owner_id, document, failed_reason"
    key = f"media_id, {content_id}"
    return {
        "wait": f"INSERT INTO {waiting} ({key}) VALUES (?, ?) USING TIMESTAMP ?",  # noqa: S608 - of constants
        "unwait": f"DELETE FROM {waiting} WHERE media_id = ? AND {content_id} = ?",  # noqa: S608 - of constants
        "waiting": f"SELECT {content_id} AS content_id FROM {waiting} WHERE media_id = ?",  # noqa: S608 - of constants
        "save_result": f"INSERT INTO {results} ({columns}) VALUES (?, ?, ?, ?)",  # noqa: S608 - of constants
        "delete_result": f"DELETE FROM {results} WHERE media_id = ?",  # noqa: S608 - of constants
        "results": f"SELECT * FROM {results} WHERE media_id IN ?",  # noqa: S608 - of constants
    }


class CassandraMediaReadiness(CassandraStore):
    """Implements `MediaReadinessStore`. Subclasses set `cql` with `readiness_cql`."""

    def __init__(self, cassandra: Cassandra, paths: SecretPaths) -> None:
        super().__init__(cassandra)
        self._paths = paths

    def wait(self, content_id: int, media_ids: Sequence[int], timestamp_us: int) -> list[Bound]:
        """Return the statements that let content wait for its uploads, for the batch that creates it."""
        return [self._bound("wait", media_id, content_id, timestamp_us) for media_id in media_ids]

    def unwait(self, content_id: int, media_ids: Sequence[int]) -> list[Bound]:
        """Return the statements that end the waiting, for the batch that publishes or deletes the content."""
        return [self._bound("unwait", media_id, content_id) for media_id in media_ids]

    async def save_result(self, media: MediaReadiness) -> None:
        document = media.document.model_dump_json() if media.document else UNSET_VALUE
        await self._rows("save_result", media.media_id, media.owner_id, document, media.reason or UNSET_VALUE)

    async def delete_result(self, media_id: int) -> None:
        await self._rows("delete_result", media_id)

    async def results(self, media_ids: Sequence[int]) -> list[MediaReadiness]:
        rows = await self._rows("results", list(media_ids)) if media_ids else []
        return [_result(row, self._paths) for row in rows]

    async def waiting_for(self, media_id: int) -> list[int]:
        return [row.content_id for row in await self._rows("waiting", media_id)]


def _result(row: Row, paths: SecretPaths) -> MediaReadiness:
    document = paths.document(MediaDocument.model_validate_json(row.document)) if row.document else None
    if document:  # a success is final, even when a failure was stored before or after it
        return MediaReadiness(row.media_id, row.owner_id, MediaStatus.READY, None, document)
    return MediaReadiness(row.media_id, row.owner_id, MediaStatus.FAILED, row.failed_reason, None)
