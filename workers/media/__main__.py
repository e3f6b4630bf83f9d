"""The media worker: makes the variants of uploaded images."""

from libs.common.core.priority import lower_priority
from libs.common.kafka.consumer import UnorderedRunner
from libs.common.stores.objects import FolderObjectStore, ObjectStore
from libs.common.web.runtime import Runtime
from libs.deployables.application import Application
from libs.media.paths import SecretPaths
from workers.media.clients import ChildDecoder
from workers.media.consumers import UploadConsumers
from workers.media.service.processing import UploadProcessor
from workers.media.settings import MediaWorkerSettings


async def _open_objects(runtime: Runtime[MediaWorkerSettings]) -> ObjectStore:
    """The bucket of `object_store_url`, or the folder."""
    settings = runtime.settings
    if not settings.object_store_url:
        return FolderObjectStore(settings.object_store_dir)
    from libs.common.stores.s3 import open_s3  # 30 MB that a folder does not need

    bucket = await runtime.stack.enter_async_context(open_s3(settings))
    runtime.ready_checks["objects"] = bucket.ready
    return bucket


async def compose(runtime: Runtime[MediaWorkerSettings]) -> None:
    """Start the consumer."""
    settings = runtime.settings
    objects = await _open_objects(runtime)
    paths = SecretPaths(settings.internal_secret.get_secret_value())
    processing = UploadProcessor(objects, ChildDecoder(), await runtime.producer(), paths, settings.decoders)
    consumers = UploadConsumers(processing)
    await runtime.consume("media-worker", consumers.on_media, consumers.on_dead_letter, runner=UnorderedRunner)


APPLICATION = Application(name="media-worker", settings=MediaWorkerSettings, compose=compose)

if __name__ == "__main__":
    lower_priority()  # decoding uses all CPU that it gets, and requests of users are more urgent
    APPLICATION.main()
