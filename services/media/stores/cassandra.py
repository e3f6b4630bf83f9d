"""Uploads and media in Cassandra."""

from collections.abc import Sequence
from typing import Self

from cassandra.query import PreparedStatement

from libs.common.contracts.media import MediaDocument
from libs.common.kafka.producer import Record
from libs.common.media_paths import SecretPaths
from libs.common.stores.cassandra import Cassandra, Row
from libs.common.stores.cassandra_parts import CassandraOutbox
from services.media.domain import UPLOAD_TTL_S, Status, StoredMedia, Upload, source_key


class CassandraMediaStore:
    """Implements `MediaStore`. Write timestamps order the states, so that no write reads first and none locks."""

    def __init__(self, cassandra: Cassandra, outbox: CassandraOutbox, paths: SecretPaths) -> None:
        self._cassandra = cassandra
        self._outbox = outbox
        self._paths = paths

    @classmethod
    async def open(cls, cassandra: Cassandra, outbox: CassandraOutbox, paths: SecretPaths) -> Self:
        """Prepare the statements."""
        store = cls(cassandra, outbox, paths)
        store._announce = await cassandra.prepare(
            "INSERT INTO uploads (upload_id, owner_id, content_type, file_size, purpose, secret)"
            " VALUES (?, ?, ?, ?, ?, ?) USING TTL ?"
        )
        store._upload = await cassandra.prepare("SELECT * FROM uploads WHERE upload_id = ?")
        store._save = await cassandra.prepare(
            "INSERT INTO media (media_id, owner_id, status, reason, document, source_key, version)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
        )
        store._find = await cassandra.prepare("SELECT * FROM media WHERE media_id IN ?")
        return store

    _announce: PreparedStatement
    _upload: PreparedStatement
    _save: PreparedStatement
    _find: PreparedStatement

    async def announce(self, upload: Upload) -> None:
        values = (
            upload.upload_id,
            upload.owner_id,
            upload.content_type,
            upload.file_size,
            upload.purpose,
            upload.secret,
            UPLOAD_TTL_S,
        )
        await self._cassandra.execute(self._announce, values)

    async def upload(self, upload_id: int) -> Upload | None:
        row = await self._cassandra.one(self._upload, (upload_id,))
        return (
            Upload(row.upload_id, row.owner_id, row.content_type, row.file_size, row.purpose, row.secret)
            if row
            else None
        )

    async def save(self, media: StoredMedia, records: Sequence[Record] = ()) -> None:
        document = media.document.model_dump_json() if media.document else None
        at_us = media.written_at_us
        state = (media.media_id, media.owner_id, int(media.status), media.reason, document)
        saving = (self._save, (*state, source_key(media.media_id), at_us, at_us))
        await self._cassandra.batch([saving, *self._outbox.inserts(records)])

    async def find(self, media_ids: Sequence[int]) -> list[StoredMedia]:
        rows = await self._cassandra.execute(self._find, (list(media_ids),)) if media_ids else []
        return [self._media(row) for row in rows]

    def _media(self, row: Row) -> StoredMedia:
        document = self._paths.document(MediaDocument.model_validate_json(row.document)) if row.document else None
        return StoredMedia(row.media_id, row.owner_id, Status(row.status), row.reason, document)
