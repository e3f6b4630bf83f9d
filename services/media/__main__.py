"""The media service, put together."""

from pathlib import Path

from fastapi import FastAPI

from libs.common.kafka.consumer import ConsumerRunner
from libs.common.kafka.outbox import Outbox
from libs.common.kafka.producer import EventProducer
from libs.common.stores.cassandra import Cassandra
from libs.common.stores.cassandra import migrate as migrate_cassandra
from libs.common.stores.cassandra_parts import CassandraNodeLeases, CassandraOutbox
from libs.common.stores.idempotency import Idempotency
from libs.common.web.app import Runtime, create_app, run
from libs.media.paths import SecretPaths
from services.media import api, internal
from services.media.consumers import STATUS_GROUP, USES_GROUP, FollowPosts, SettleMedia
from services.media.domain import MAX_IMAGE_BYTES, PRODUCER, UploadSigner
from services.media.lifetime import Lifetime
from services.media.service import MediaLibrary
from services.media.settings import MediaSettings
from services.media.stores.cassandra import CassandraMediaStore
from services.media.stores.folder import FolderMediaObjects

NAME = "media"
MIB = 1 << 20
MIGRATIONS = Path(__file__).parent / "migrations"
LARGE_BODIES = {"/v1/media/uploads/": MAX_IMAGE_BYTES, "/internal/media/store": MAX_IMAGE_BYTES}


def build(settings: MediaSettings) -> FastAPI:
    """The application."""

    async def compose(app: FastAPI, runtime: Runtime) -> None:
        cassandra = await runtime.stack.enter_async_context(Cassandra(settings, settings.keyspace(NAME)))
        producer = await runtime.stack.enter_async_context(EventProducer(settings, PRODUCER))
        minter = await runtime.minter(await CassandraNodeLeases.open(cassandra))
        records = await CassandraOutbox.open(cassandra)
        outbox = Outbox(records, producer)
        paths = SecretPaths(settings.internal_secret.get_secret_value())
        store = await CassandraMediaStore.open(cassandra, records, paths)
        objects = FolderMediaObjects(settings.object_store_dir)
        lifetime = Lifetime(store, objects, outbox, settings.unposted_mb * MIB)
        library = MediaLibrary(
            store,
            objects,
            outbox,
            UploadSigner(settings.internal_secret.get_secret_value()),
            paths,
            lifetime,
            settings.public_url,
            settings.upload_url_s,
        )
        app.state.library, app.state.lifetime = library, lifetime
        app.state.idempotency = await Idempotency.open(cassandra, minter.mint)
        app.state.mint = minter.mint
        app.state.public_url = settings.public_url

        verdicts = ConsumerRunner(settings, STATUS_GROUP, ["media"], SettleMedia(library), producer)
        uses = ConsumerRunner(settings, USES_GROUP, ["posts"], FollowPosts(lifetime), producer)
        runtime.ready_checks["cassandra"] = cassandra.ready
        runtime.ready_checks["verdicts"] = verdicts.settled
        runtime.ready_checks["uses"] = uses.settled
        runtime.relay(outbox)
        runtime.start(STATUS_GROUP, verdicts.run())
        runtime.start(USES_GROUP, uses.run())
        runtime.start("sweep", lifetime.sweep_forever())

    return create_app(NAME, settings, compose, (api.router, internal.router), LARGE_BODIES, limits={})


async def migrate(settings: MediaSettings) -> None:
    """Bring the keyspace up to date."""
    await migrate_cassandra(settings, settings.keyspace(NAME), MIGRATIONS)


if __name__ == "__main__":
    run(NAME, MediaSettings, build, migrate)
