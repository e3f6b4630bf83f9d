"""The media worker: uploads into variants."""

from fastapi import FastAPI

from libs.common.core.priority import lower_priority
from libs.common.kafka.consumer import UnorderedRunner
from libs.common.kafka.producer import EventProducer
from libs.common.stores.objects import FolderObjectStore
from libs.common.web.app import Runtime, create_app, run
from libs.media.paths import SecretPaths
from workers.media.clients import ChildDecoder
from workers.media.consumers import GROUP, MediaConsumers
from workers.media.service import Processing
from workers.media.settings import MediaWorkerSettings

NAME = "workers.media"


def build(settings: MediaWorkerSettings) -> FastAPI:
    """The worker's application: health and metrics over HTTP, the work behind it."""

    async def compose(_: FastAPI, runtime: Runtime) -> None:
        producer = await runtime.stack.enter_async_context(EventProducer(settings, NAME))
        objects = FolderObjectStore(settings.object_store_dir)
        paths = SecretPaths(settings.internal_secret.get_secret_value())
        processing = Processing(objects, ChildDecoder(), producer, paths, settings.decoders)
        consumers = MediaConsumers(processing)
        uploads = UnorderedRunner(settings, GROUP, ["media"], consumers.on_media, producer, consumers.on_dead_letter)
        runtime.ready_checks["uploads"] = uploads.assigned
        runtime.start(GROUP, uploads.run())

    return create_app(NAME, settings, compose)


if __name__ == "__main__":
    lower_priority()  # decoding takes all the CPU there is, and people wait for requests, not for variants
    run(NAME, MediaWorkerSettings, build)
