"""Uploads and media in Cassandra."""

from collections.abc import Sequence
from datetime import UTC, datetime

from libs.common.stores.cassandra import Cassandra, Row
from libs.common.stores.cassandra_outbox import CassandraOutbox, EventWritingStore
from libs.contracts.media import MediaDocument
from libs.contracts.records import EventRecord
from libs.media.paths import SecretPaths
from services.media.domain import UPLOAD_TTL_S, MediaUse, ProcessingStatus, StoredMedia, Upload


class CassandraMediaStore(EventWritingStore):
    """Implements `MediaStore`. Write timestamps order the states, so a write needs neither a read nor a lock."""

    cql = {
        "announce": (
            "INSERT INTO uploads (upload_id, owner_id, content_type, file_size, secret)"
            " VALUES (?, ?, ?, ?, ?) USING TTL ?"
        ),
        "upload": "SELECT * FROM uploads WHERE upload_id = ?",
        "save": (
            "INSERT INTO media (media_id, owner_id, status, reason, document) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?"
        ),
        "find": "SELECT * FROM media WHERE media_id IN ?",
        "mark_deleted": "UPDATE media SET deleted_at = ? WHERE media_id = ?",
        "restore": "DELETE deleted_at FROM media WHERE media_id = ?",
        "purge": "DELETE FROM media WHERE media_id = ?",
        "purge_uses": "DELETE FROM media_uses WHERE media_id = ?",
        "add_use": "INSERT INTO media_uses (media_id, post_id) VALUES (?, ?)",
        "end_use": "UPDATE media_uses SET gone = true WHERE media_id = ? AND post_id = ?",
        "uses": "SELECT post_id, gone FROM media_uses WHERE media_id = ?",
        "unposted": "SELECT media_id, bytes FROM unposted_media WHERE owner_id = ?",
        "count_unposted": "INSERT INTO unposted_media (owner_id, media_id, bytes) VALUES (?, ?, ?) USING TTL ?",
        "count_posted": "DELETE FROM unposted_media WHERE owner_id = ? AND media_id = ?",
        "add_due": "INSERT INTO media_due (hour, media_id) VALUES (?, ?)",
        "due": "SELECT media_id FROM media_due WHERE hour = ? LIMIT ?",
        "drop_due": "DELETE FROM media_due WHERE hour = ? AND media_id = ?",
    }

    def __init__(self, cassandra: Cassandra, outbox: CassandraOutbox, paths: SecretPaths) -> None:
        super().__init__(cassandra, outbox)
        self._paths = paths

    async def announce(self, upload: Upload) -> None:
        values = (
            upload.upload_id,
            upload.owner_id,
            upload.content_type,
            upload.file_size,
            upload.secret,
            UPLOAD_TTL_S,
        )
        await self._rows("announce", *values)

    async def upload(self, upload_id: int) -> Upload | None:
        row = await self._row("upload", upload_id)
        return Upload(row.upload_id, row.owner_id, row.content_type, row.file_size, row.secret) if row else None

    async def save(self, media: StoredMedia, records: Sequence[EventRecord] = ()) -> None:
        document = media.document.model_dump_json() if media.document else None
        state = (media.media_id, media.owner_id, int(media.status), media.reason, document)
        saving = self._bound("save", *state, media.written_at_us)
        await self._write([saving], records)

    async def find(self, media_ids: Sequence[int]) -> list[StoredMedia]:
        rows = await self._rows("find", list(media_ids)) if media_ids else []
        return [self._media(row) for row in rows]

    def _media(self, row: Row) -> StoredMedia:
        document = self._paths.document(MediaDocument.model_validate_json(row.document)) if row.document else None
        deleted_at = row.deleted_at and row.deleted_at.replace(tzinfo=UTC)
        return StoredMedia(row.media_id, row.owner_id, ProcessingStatus(row.status), row.reason, document, deleted_at)

    async def mark_deleted(self, media_id: int, at: datetime, records: Sequence[EventRecord]) -> None:
        marking = self._bound("mark_deleted", at, media_id)
        await self._write([marking], records)

    async def restore(self, media_id: int) -> None:
        await self._rows("restore", media_id)

    async def purge(self, media_id: int) -> None:
        await self._rows("purge_uses", media_id)
        await self._rows("purge", media_id)

    async def add_uses(self, uses: Sequence[MediaUse]) -> None:
        added = [self._bound("add_use", use.media_id, use.post_id) for use in uses]
        counted = [self._bound("count_posted", *key) for key in {(use.owner_id, use.media_id) for use in uses}]
        await self._cassandra.batch([*added, *counted], logged=False)

    async def end_use(self, media_id: int, post_id: int) -> None:
        await self._rows("end_use", media_id, post_id)

    async def uses(self, media_id: int) -> dict[int, bool]:
        return {row.post_id: not row.gone for row in await self._rows("uses", media_id)}

    async def unposted(self, owner_id: int) -> dict[int, int]:
        return {row.media_id: row.bytes for row in await self._rows("unposted", owner_id)}

    async def count_unposted(self, owner_id: int, media_id: int, size: int, ttl_s: int) -> None:
        await self._rows("count_unposted", owner_id, media_id, size, ttl_s)

    async def count_posted(self, owner_id: int, media_id: int) -> None:
        await self._rows("count_posted", owner_id, media_id)

    async def add_due(self, hour: int, media_id: int) -> None:
        await self._rows("add_due", hour, media_id)

    async def due(self, hour: int, limit: int) -> list[int]:
        return [row.media_id for row in await self._rows("due", hour, limit)]

    async def drop_due(self, hour: int, media_id: int) -> None:
        await self._rows("drop_due", hour, media_id)
