"""The media service."""

from libs.common.kafka.consumer import GatheringRunner
from libs.common.web.keyspace import open_keyspace
from libs.common.web.objects import open_bucket
from libs.common.web.runtime import GATHER_MS, Runtime
from libs.deployables.application import Application
from libs.media.paths import SecretPaths
from services.media import internal
from services.media.api import routes
from services.media.api.use_cases import MediaUseCases
from services.media.consumers import MediaLifecycleConsumers
from services.media.domain import MAX_IMAGE_BYTES, UploadSigner
from services.media.service.library import MediaLibrary
from services.media.service.lifetime import Lifetime
from services.media.service.storage import StorageMonitor
from services.media.settings import MediaSettings
from services.media.stores.cassandra import CassandraMediaStore
from services.media.stores.folder import FolderMediaObjects
from services.media.stores.s3 import S3MediaObjects

MIB = 1 << 20


async def compose(runtime: Runtime[MediaSettings]) -> MediaUseCases:
    """Open the stores, start the consumers and compose the use cases."""
    settings = runtime.settings
    secret = settings.internal_secret.get_secret_value()
    keyspace = await open_keyspace(runtime)
    paths = SecretPaths(secret)
    store = await CassandraMediaStore(keyspace.cassandra, keyspace.records, paths).prepare()
    bucket = await open_bucket(runtime)
    objects = S3MediaObjects(bucket) if bucket else FolderMediaObjects(settings.object_store_dir)
    lifetime = Lifetime(store, objects, keyspace.outbox, settings.unposted_mb * MIB)
    library = MediaLibrary(
        store,
        objects,
        keyspace.outbox,
        UploadSigner(secret),
        paths,
        lifetime,
        settings.public_url,
        settings.upload_url_s,
    )
    consumers = MediaLifecycleConsumers(library, lifetime)
    await runtime.consume("media-status", consumers.on_media, serves_without=True)
    await runtime.consume(
        "media-uses", consumers.on_posts, runner=GatheringRunner, serves_without=True, gather_ms=GATHER_MS
    )
    runtime.start("sweep", lifetime.sweep_forever())
    runtime.start("storage", StorageMonitor(objects).run())
    return MediaUseCases(library, lifetime, keyspace.idempotency, keyspace.mint)


APPLICATION = Application(
    name="media",
    settings=MediaSettings,
    compose=compose,
    routers=[routes.router, internal.router],
    body_limits={"/v1/media/uploads/": MAX_IMAGE_BYTES, "/internal/media/store": MAX_IMAGE_BYTES},
    limits=lambda _: {},
)

if __name__ == "__main__":
    APPLICATION.main()
