"""The interaction service."""

from collections.abc import Mapping

from libs.clients.post import PostClient
from libs.clients.user import UserClient
from libs.common.stores.rate import RateLimit
from libs.common.web.keyspace import open_keyspace
from libs.common.web.limits import HOUR_S
from libs.common.web.runtime import Runtime
from libs.deployables.application import Application
from libs.invalidation import InvalidationStamps
from services.interaction import internal
from services.interaction.api import routes
from services.interaction.api.use_cases import InteractionUseCases
from services.interaction.service.interactions import Comments, LikesAndSaves
from services.interaction.service.reconciliation import Reconciler
from services.interaction.settings import InteractionSettings
from services.interaction.stores.cached import CachedMarks
from services.interaction.stores.cassandra import (
    CassandraComments,
    CassandraLedgerReader,
    CassandraMarks,
    CassandraReconciliationStore,
)
from services.interaction.stores.redis import CachedLedger


async def compose(runtime: Runtime[InteractionSettings]) -> InteractionUseCases:
    """Open the stores and compose the use cases."""
    settings = runtime.settings
    stamps = InvalidationStamps(runtime.redis, settings)
    keyspace = await open_keyspace(runtime, stamps.try_invalidate)
    cassandra, records, outbox = keyspace.cassandra, keyspace.records, keyspace.outbox
    ledger = CachedLedger(
        await CassandraLedgerReader(cassandra).prepare(), runtime.redis, settings.redis_prefix("interaction")
    )
    posts, people = PostClient(runtime.client("post")), UserClient(runtime.client("user"))
    marks_store = await CassandraMarks(cassandra, records).prepare()
    marks = CachedMarks(marks_store, stamps)
    comment_store = await CassandraComments(cassandra, records).prepare()
    reconciliation_store = await CassandraReconciliationStore(cassandra, records).prepare()
    return InteractionUseCases(
        LikesAndSaves(marks_store, marks, comment_store, ledger, posts, people, outbox, keyspace.mint),
        Comments(comment_store, marks_store, ledger, posts, people, outbox),
        Reconciler(reconciliation_store, ledger, outbox, keyspace.mint),
        keyspace.idempotency,
    )


def limits(settings: InteractionSettings) -> Mapping[str, RateLimit]:
    """Rate limits by route."""
    likes = RateLimit("likes", settings.likes_an_hour, HOUR_S)
    return {
        "POST /v1/posts/{post_id}/like": likes,
        "POST /v1/comments/{comment_id}/like": likes,
        "POST /v1/posts/{post_id}/comments": RateLimit("comments", settings.comments_an_hour, HOUR_S),
    }


APPLICATION = Application(
    name="interaction",
    settings=InteractionSettings,
    compose=compose,
    routers=[routes.router, internal.router],
    limits=limits,
)

if __name__ == "__main__":
    APPLICATION.main()
