"""The interaction service."""

from pathlib import Path

from fastapi import FastAPI

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
from services.interaction import api, internal
from services.interaction.auditing import Auditor
from services.interaction.clients import PostServicePosts, UserServicePeople
from services.interaction.service import PRODUCER, Comments, Marks
from services.interaction.settings import InteractionSettings
from services.interaction.stores.cassandra import (
    CassandraAuditStore,
    CassandraComments,
    CassandraLedger,
    CassandraMarks,
)
from services.interaction.stores.redis import CachedLedger


def build(settings: InteractionSettings) -> FastAPI:
    """The service's application."""

    async def compose(app: FastAPI, runtime: Runtime) -> None:
        cassandra = await runtime.stack.enter_async_context(Cassandra(settings, settings.keyspace("interaction")))
        producer = await runtime.stack.enter_async_context(EventProducer(settings, PRODUCER))
        minter = await runtime.minter(await CassandraNodeLeases.open(cassandra))
        outbox_store = await CassandraOutbox.open(cassandra)
        outbox = Outbox(outbox_store, producer, Acts(runtime.redis, settings).try_mark)
        ledger = await CassandraLedger.open(cassandra, outbox_store)
        cached = CachedLedger(ledger, runtime.redis, settings.redis_prefix("interaction"))
        posts, people = PostServicePosts(runtime.client("post")), UserServicePeople(runtime.client("user"))
        marks_store = await CassandraMarks.open(cassandra, outbox_store)
        comment_store = await CassandraComments.open(cassandra, outbox_store)
        marks = Marks(marks_store, comment_store, cached, posts, people, outbox, minter.mint)
        comments = Comments(comment_store, marks_store, cached, posts, people, outbox)
        auditor = Auditor(await CassandraAuditStore.open(cassandra, outbox_store), cached, outbox, minter.mint)
        keys = await Idempotency.open(cassandra, minter.mint)
        app.state.interactions = api.InteractionApi(marks, comments, auditor, keys, runtime.cursors)
        runtime.ready_checks["cassandra"] = cassandra.ready
        runtime.relay(outbox)

    limits = {
        "POST /v1/posts/{post_id}/like": Limit("likes", settings.likes_an_hour, HOUR_S),
        "POST /v1/comments/{comment_id}/like": Limit("likes", settings.likes_an_hour, HOUR_S),
        "POST /v1/posts/{post_id}/comments": Limit("comments", settings.comments_an_hour, HOUR_S),
    }
    return create_app("services.interaction", settings, compose, [api.router, internal.router], limits=limits)


async def migrate(settings: InteractionSettings) -> None:
    """Bring the keyspace up to date."""
    await cassandra_store.migrate(settings, settings.keyspace("interaction"), Path(__file__).parent / "migrations")


if __name__ == "__main__":
    run("services.interaction", InteractionSettings, build, migrate)
