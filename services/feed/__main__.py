"""The feed service: home feeds from feed lists and pulled authors."""

from fastapi import FastAPI

from libs.common.core.dependencies import REDIS_READ
from libs.common.core.fairness import FairGate
from libs.common.kafka.consumer import ConsumerRunner
from libs.common.kafka.producer import EventProducer
from libs.common.stores.rate import Limit
from libs.common.stores.redis import open_redis
from libs.common.web.app import Runtime, create_app, run
from libs.common.web.limits import MINUTE_S
from libs.feedlists import FeedLists, Gaps, Ledger, PublishedLevel, RemovalLedger
from libs.invalidation import Acts
from services.feed import api, internal
from services.feed.candidates import CandidateSource
from services.feed.clients import InteractionServiceMarks, PostServicePosts, UserServiceGraph
from services.feed.consumers import FeedConsumers
from services.feed.explaining import Explainer
from services.feed.kept import KeptGraph, KeptPosts
from services.feed.pressure import Pressure
from services.feed.service import RANKED_AT_ONCE, RANKING_QUEUE, RANKING_SHARES, FeedReader
from services.feed.settings import FeedSettings
from services.feed.shortcut import PATH, KeptPages
from services.feed.stores.redis import RedisCache
from services.feed.walks import Walks
from services.feed.warming import Warmer


def build(settings: FeedSettings) -> FastAPI:
    """The service's application."""

    async def compose(app: FastAPI, runtime: Runtime) -> None:
        redis = await runtime.stack.enter_async_context(open_redis(settings, REDIS_READ, "redis-feeds"))
        producer = await runtime.stack.enter_async_context(EventProducer(settings, "services.feed"))
        prefix = settings.redis_prefix("feed")
        lists = FeedLists(redis, prefix, settings.feed_buckets)
        acts = Acts(redis, settings)
        cache = RedisCache(redis, lists, acts, settings.page_cache_s, settings.session_s)
        graph = KeptGraph(UserServiceGraph(runtime.client("user")), acts)
        posts = KeptPosts(PostServicePosts(runtime.client("post")), acts)
        marks = InteractionServiceMarks(runtime.client("interaction"))
        gaps = Gaps(redis, lists)
        source = CandidateSource(graph, posts, lists, gaps, cache, settings.window_days)
        walks = Walks(source, posts, lists, cache)
        pressure = Pressure(PublishedLevel(redis, prefix))
        await pressure.look()
        ranking = FairGate(
            "ranking",
            RANKED_AT_ONCE,
            RANKING_SHARES.if_limited(settings.rate_limits),
            queue=RANKING_QUEUE,
            wait_s=settings.patience,
        )
        app.state.reader = FeedReader(
            walks, source, graph, posts, marks, cache, pressure, runtime.cursors, settings.public_url, ranking
        )
        ledgers = Ledger(redis, prefix), RemovalLedger(redis, prefix)
        app.state.explainer = Explainer(walks, source, graph, posts, lists, gaps, *ledgers, ranking)
        consumers = FeedConsumers(source, graph, posts, lists, cache, acts)
        events = ConsumerRunner(
            settings, "feed", ["graph", "posts", "interactions", "users"], consumers.on_events, producer
        )
        runtime.ready_checks["events"] = events.settled
        runtime.start("events", events.run())
        runtime.start("pressure", pressure.run())
        runtime.start("warmer", Warmer(acts, source, app.state.reader.recent_readers).run())

    feed = Limit("feed", settings.feeds_a_minute, MINUTE_S)
    limits = {f"GET {PATH}": feed, f"GET {PATH}/explain/{{post_id}}": feed}  # explaining ranks the whole feed
    return create_app(
        "services.feed", settings, compose, [api.router, internal.router], shortcut=KeptPages, limits=limits
    )


if __name__ == "__main__":
    run("services.feed", FeedSettings, build)
