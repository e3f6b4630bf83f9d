"""The media worker: makes the variants of uploaded images."""

from libs.common.core.priority import lower_priority
from libs.common.kafka.consumer import UnorderedRunner
from libs.common.stores.objects import FolderObjectStore
from libs.common.web.objects import open_bucket
from libs.common.web.runtime import Runtime
from libs.deployables.application import Application
from libs.media.paths import SecretPaths
from workers.media.clients import ChildDecoder
from workers.media.consumers import UploadConsumers
from workers.media.service.processing import UploadProcessor
from workers.media.settings import MediaWorkerSettings


async def compose(runtime: Runtime[MediaWorkerSettings]) -> None:
    """Start the consumer."""
    settings = runtime.settings
    objects = await open_bucket(runtime) or FolderObjectStore(settings.object_store_dir)
    paths = SecretPaths(settings.internal_secret.get_secret_value())
    processing = UploadProcessor(objects, ChildDecoder(), await runtime.producer(), paths, settings.decoders)
    consumers = UploadConsumers(processing)
    await runtime.consume("media-worker", consumers.on_media, consumers.on_dead_letter, runner=UnorderedRunner)


APPLICATION = Application(name="media-worker", settings=MediaWorkerSettings, compose=compose)

if __name__ == "__main__":
    lower_priority()  # decoding uses all CPU that it gets, and requests of users are more urgent
    APPLICATION.main()
