"""The post service."""

from pathlib import Path

from fastapi import FastAPI

from libs.common.core.dependencies import SERVICE_FILE
from libs.common.kafka.consumer import ConsumerRunner
from libs.common.kafka.outbox import Outbox
from libs.common.kafka.producer import EventProducer
from libs.common.stores import cassandra as cassandra_store
from libs.common.stores.cassandra import Cassandra
from libs.common.stores.cassandra_parts import CassandraNodeLeases, CassandraOutbox
from libs.common.stores.idempotency import Idempotency
from libs.common.stores.rate import Limit
from libs.common.web.app import Runtime, create_app, run
from libs.common.web.limits import HOUR_S
from libs.invalidation import Acts
from libs.media.paths import SecretPaths
from services.post import api, internal
from services.post.clients import InteractionServiceMarks, MediaServiceLibrary, UserServiceAuthors
from services.post.consumers import PostConsumers
from services.post.reading import KeptAuthors, PostReader
from services.post.settings import PostSettings
from services.post.stores.cassandra import CassandraPostStore
from services.post.submission import BODY_BYTES
from services.post.writing import PRODUCER, PostWriter


def build(settings: PostSettings) -> FastAPI:
    """The service's application."""

    async def compose(app: FastAPI, runtime: Runtime) -> None:
        cassandra = await runtime.stack.enter_async_context(Cassandra(settings, settings.keyspace("post")))
        producer = await runtime.stack.enter_async_context(EventProducer(settings, PRODUCER))
        minter = await runtime.minter(await CassandraNodeLeases.open(cassandra))
        outbox_store = await CassandraOutbox.open(cassandra)
        acts = Acts(runtime.redis, settings)
        outbox = Outbox(outbox_store, producer, acts.try_mark)
        paths = SecretPaths(settings.internal_secret.get_secret_value())
        store = await CassandraPostStore.open(cassandra, outbox_store, paths)
        media = MediaServiceLibrary(runtime.client("media"), runtime.client("media", SERVICE_FILE))
        authors = KeptAuthors(UserServiceAuthors(runtime.client("user")), acts.none_parted)
        marks = InteractionServiceMarks(runtime.client("interaction"))
        writer = PostWriter(store, media, outbox)
        reader = PostReader(store, authors, marks, settings.public_url)
        keys = await Idempotency.open(cassandra, minter.mint)
        app.state.post_api = api.PostApi(writer, reader, media, keys, settings)
        consumers = PostConsumers(writer, store)
        published = ConsumerRunner(settings, "post-publish", ["media"], consumers.on_media, producer)
        counted = ConsumerRunner(settings, "post-counts", ["counters"], consumers.on_counters, producer)
        runtime.ready_checks["cassandra"] = cassandra.ready
        runtime.ready_checks["media-events"] = published.settled
        runtime.ready_checks["counter-events"] = counted.settled
        runtime.relay(outbox)
        runtime.start("media-events", published.run())
        runtime.start("counter-events", counted.run())

    body_sizes = {"/v1/posts": BODY_BYTES}
    limits = {"POST /v1/posts": Limit("posts", settings.posts_an_hour, HOUR_S)}
    return create_app("services.post", settings, compose, [api.router, internal.router], body_sizes, limits=limits)


async def migrate(settings: PostSettings) -> None:
    """Bring the keyspace up to date."""
    await cassandra_store.migrate(settings, settings.keyspace("post"), Path(__file__).parent / "migrations")


if __name__ == "__main__":
    run("services.post", PostSettings, build, migrate)
