"""The post service."""

from libs.clients.interaction import InteractionClient
from libs.clients.media import MediaClient
from libs.clients.user import UserClient
from libs.common.core.policies import SERVICE_FILE
from libs.common.stores.rate import RateLimit
from libs.common.web.keyspace import open_keyspace
from libs.common.web.limits import HOUR_S
from libs.common.web.runtime import Runtime
from libs.deployables.application import Application
from libs.invalidation import InvalidationStamps
from libs.media.paths import SecretPaths
from services.post import internal
from services.post.api import routes
from services.post.api.submission import BODY_BYTES
from services.post.api.use_cases import PostUseCases
from services.post.clients import HttpUploads
from services.post.consumers import PostConsumers
from services.post.service.creator import PostCreator
from services.post.service.reader import CachedAuthors, PostReader
from services.post.service.writer import PostWriter
from services.post.settings import PostSettings
from services.post.stores.cassandra import CassandraPostStore, PostMediaReadiness


async def compose(runtime: Runtime[PostSettings]) -> PostUseCases:
    """Open the stores, start the consumers and compose the use cases."""
    settings = runtime.settings
    stamps = InvalidationStamps(runtime.redis, settings)
    keyspace = await open_keyspace(runtime, stamps.try_invalidate)
    paths = SecretPaths(settings.internal_secret.get_secret_value())
    readiness = await PostMediaReadiness(keyspace.cassandra, paths).prepare()
    store = await CassandraPostStore(keyspace.cassandra, keyspace.records, readiness, paths).prepare()
    media = HttpUploads(MediaClient(runtime.client("media"), runtime.client("media", SERVICE_FILE)))

    async def profile_stamp(author_id: int) -> bytes:
        return (await stamps.read([stamps.profile(author_id)]))[0]

    authors = CachedAuthors(UserClient(runtime.client("user")), stamps.visibility_unchanged, profile_stamp)
    marks = InteractionClient(runtime.client("interaction"))
    writer = PostWriter(store, readiness, media, keyspace.outbox)
    reader = PostReader(store, authors, marks, settings.public_url)
    consumers = PostConsumers(writer, store, readiness)
    await runtime.consume("post-publish", consumers.on_media, serves_without=True)
    await runtime.consume("post-counts", consumers.on_counters, serves_without=True)
    creator = PostCreator(writer, reader, media, settings.seconds_a_picture)
    return PostUseCases(creator, writer, reader, keyspace.idempotency)


APPLICATION = Application(
    name="post",
    settings=PostSettings,
    compose=compose,
    routers=[routes.router, internal.router],
    body_limits={"/v1/posts": BODY_BYTES},
    limits=lambda settings: {"POST /v1/posts": RateLimit("posts", settings.posts_an_hour, HOUR_S)},
)

if __name__ == "__main__":
    APPLICATION.main()
