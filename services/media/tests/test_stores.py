"""The Cassandra adapter on a real Cassandra, by the same rules as the fake."""

import itertools
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from libs.common.core.ids import first_id_at
from libs.common.stores.cassandra import Cassandra
from libs.common.stores.cassandra_outbox import CassandraOutbox
from libs.common.testing import settings_for
from libs.contracts.base import Event
from libs.contracts.events import MediaUploaded
from libs.contracts.records import encode
from services.media.__main__ import APPLICATION
from services.media.domain import MediaUse, ProcessingStatus, StoredMedia, Upload
from services.media.ports import MediaStore
from services.media.settings import MediaSettings
from services.media.stores.cassandra import CassandraMediaStore
from services.media.tests.fakes import InMemoryMediaStore
from services.media.tests.test_service import DOCUMENT, PATHS, SECRET

_ids = itertools.count(first_id_at(time.time_ns() // 1_000_000))


@pytest.fixture
async def outbox_and_store(store_env: dict[str, str]) -> AsyncIterator[tuple[CassandraOutbox, CassandraMediaStore]]:
    settings = settings_for(MediaSettings, store_env)
    await APPLICATION.migrate(settings)
    async with Cassandra(settings, settings.keyspace("media")) as cassandra:
        outbox = await CassandraOutbox(cassandra).prepare()
        yield outbox, await CassandraMediaStore(cassandra, outbox, PATHS).prepare()


class MediaStoreConformance:
    """What every `MediaStore` does."""

    async def test_uploads_come_back(self, store: MediaStore) -> None:
        upload = Upload(next(_ids), 5, "image/png", 100, SECRET)
        assert await store.upload(upload.upload_id) is None
        await store.announce(upload)
        assert await store.upload(upload.upload_id) == upload

    async def test_the_greatest_status_stays_in_any_order(self, store: MediaStore) -> None:
        for order in itertools.permutations(ProcessingStatus):
            media_id = next(_ids)
            states = {
                ProcessingStatus.PROCESSING: StoredMedia(media_id, 5, ProcessingStatus.PROCESSING),
                ProcessingStatus.FAILED: StoredMedia(media_id, 5, ProcessingStatus.FAILED, reason="corrupt"),
                ProcessingStatus.READY: StoredMedia(media_id, 5, ProcessingStatus.READY, document=DOCUMENT),
            }
            for status in (*order, *order):
                await store.save(states[status])
            assert await store.find([media_id]) == [states[ProcessingStatus.READY]]

    async def test_unknown_media_are_left_out(self, store: MediaStore) -> None:
        media = StoredMedia(next(_ids), 5, ProcessingStatus.PROCESSING)
        await store.save(media)
        assert await store.find([media.media_id, 1]) == [media]
        assert await store.find([]) == []

    async def test_a_deleted_one_stays_deleted_whatever_the_worker_says_later(self, store: MediaStore) -> None:
        media = StoredMedia(next(_ids), 5, ProcessingStatus.PROCESSING)
        await store.save(media)
        at = datetime.fromtimestamp(1_790_000_000, UTC)
        await store.mark_deleted(media.media_id, at, [])
        await store.save(StoredMedia(media.media_id, 5, ProcessingStatus.READY, document=DOCUMENT))
        assert (await store.find([media.media_id]))[0].deleted_at == at
        await store.restore(media.media_id)
        assert (await store.find([media.media_id]))[0].deleted_at is None
        await store.add_uses([MediaUse(media.media_id, 5, 1)])
        await store.purge(media.media_id)
        assert await store.find([media.media_id]) == []
        assert await store.uses(media.media_id) == {}

    async def test_a_use_that_ended_has_ended(self, store: MediaStore) -> None:
        media_id = next(_ids)
        first, second = MediaUse(media_id, 5, 1), MediaUse(media_id, 5, 2)
        await store.add_uses([first, second])
        await store.end_use(media_id, 1)
        await store.add_uses([first])
        assert await store.uses(media_id) == {1: False, 2: True}

    async def test_unposted_bytes_are_counted_by_upload(self, store: MediaStore) -> None:
        owner, one, two = next(_ids), next(_ids), next(_ids)
        for media_id, size in ((one, 10), (two, 20), (one, 11)):
            await store.count_unposted(owner, media_id, size, 60)
        assert await store.unposted(owner) == {one: 11, two: 20}
        await store.count_posted(owner, one)
        assert await store.unposted(owner) == {two: 20}
        await store.add_uses([MediaUse(two, owner, 1)])
        assert await store.unposted(owner) == {}

    async def test_what_is_due_is_kept_until_it_is_dropped(self, store: MediaStore) -> None:
        hour, media_id = next(_ids) % 1_000_000, next(_ids)
        await store.add_due(hour, media_id)
        assert await store.due(hour, 10) == [media_id]
        assert await store.due(hour + 1, 10) == []
        await store.drop_due(hour, media_id)
        assert await store.due(hour, 10) == []


class TestInMemoryMediaStore(MediaStoreConformance):
    @pytest.fixture
    def store(self) -> MediaStore:
        return InMemoryMediaStore()


@pytest.mark.stores
class TestCassandraMediaStore(MediaStoreConformance):
    @pytest.fixture
    def store(self, outbox_and_store: tuple[CassandraOutbox, CassandraMediaStore]) -> MediaStore:
        return outbox_and_store[1]

    async def test_the_event_is_committed_with_the_state(
        self, outbox_and_store: tuple[CassandraOutbox, CassandraMediaStore]
    ) -> None:
        outbox, store = outbox_and_store
        media = StoredMedia(next(_ids), 5, ProcessingStatus.PROCESSING)
        payload = MediaUploaded(media_id=media.media_id, owner_id=5, source_key="uploads/1", content_type="image/png")
        record = encode(Event(payload=payload, entity=str(media.media_id), entity_version=1), "services.media")
        await store.save(media, [record])
        waiting = await outbox.oldest(100, -60)
        assert record in waiting
        await outbox.delete([record])
        assert record not in await outbox.oldest(100, -60)
