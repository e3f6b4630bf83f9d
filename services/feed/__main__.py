"""The feed service: home feeds from feed lists and pulled authors."""

from collections.abc import Mapping

from libs.clients.interaction import InteractionClient
from libs.clients.post import PostClient
from libs.clients.user import UserClient
from libs.common.core.fairness import FairSemaphore
from libs.common.core.policies import REDIS_READ
from libs.common.kafka.consumer import GatheringRunner
from libs.common.stores.rate import RateLimit
from libs.common.stores.redis import open_redis
from libs.common.web.limits import MINUTE_S
from libs.common.web.runtime import Runtime
from libs.deployables.application import Application
from libs.feedlists import DeliveryProgress, FeedLists, PublishedBackpressure, RemovalProgress, UnpushedRanges
from libs.invalidation import InvalidationStamps, RecentPosts
from services.feed import internal
from services.feed.api import routes
from services.feed.api.cached_pages import PATH, CachedPages
from services.feed.api.use_cases import FeedUseCases
from services.feed.clients import HttpFollowGraph, HttpPostSource
from services.feed.consumers import FeedConsumers
from services.feed.service.active import ActiveReaders
from services.feed.service.backpressure import BackpressureMonitor
from services.feed.service.candidates import CandidateGatherer
from services.feed.service.explain import FeedExplainer
from services.feed.service.followees import Readers
from services.feed.service.paginator import FeedPaginator
from services.feed.service.ranker import ScoreRanker
from services.feed.service.reader import RANKED_AT_ONCE, RANKING_QUEUE, RANKING_SHARES, FeedReader
from services.feed.service.returning import ReturningReaders
from services.feed.service.sources import AuthorSource, ListSource
from services.feed.service.warming import FeedWarmer, PageWarmer
from services.feed.service.window import FeedWindow
from services.feed.settings import FeedSettings
from services.feed.stores.active_readers import RedisReadersLog
from services.feed.stores.cached import CachedPosts, CachedProfiles
from services.feed.stores.redis import RedisFeedCache


async def compose(runtime: Runtime[FeedSettings]) -> FeedUseCases:
    """Open the stores, compose the use cases and start the consumer and the background tasks."""
    settings = runtime.settings
    redis = await runtime.stack.enter_async_context(open_redis(settings, REDIS_READ, "redis-feeds"))
    prefix = settings.redis_prefix("feed")
    lists, stamps = FeedLists(redis, prefix, settings.feed_buckets), InvalidationStamps(redis, settings)
    unpushed = UnpushedRanges(redis, lists)
    cache = RedisFeedCache(redis, lists, unpushed, stamps, settings.page_cache_s, settings.session_s)
    graph = HttpFollowGraph(UserClient(runtime.client("user")))
    posts = HttpPostSource(PostClient(runtime.client("post")))
    authors, records = CachedProfiles(graph, stamps), CachedPosts(posts, stamps, RecentPosts(redis, stamps))
    engagement = InteractionClient(runtime.client("interaction"))
    returning = ReturningReaders(settings.page_cache_s)
    window, readers = FeedWindow(settings.window_days), Readers(graph, cache)
    listed = ListSource(readers, posts, records, lists, window)
    candidates = CandidateGatherer([listed, AuthorSource(records, window)], posts, window)
    ranker = ScoreRanker()
    paginator = FeedPaginator(candidates, ranker, posts, records, lists, cache)
    monitor = BackpressureMonitor(PublishedBackpressure(redis, prefix))
    await monitor.poll()
    ranking = FairSemaphore(
        "ranking",
        RANKED_AT_ONCE,
        RANKING_SHARES.if_limited(settings.rate_limits),
        queue=RANKING_QUEUE,
        wait_s=settings.timeout_factor,
    )
    reader = FeedReader(
        paginator,
        readers,
        candidates,
        posts,
        authors,
        engagement,
        cache,
        monitor,
        runtime.cursors,
        settings.public_url,
        ranking,
    )
    progress = DeliveryProgress(redis, prefix), RemovalProgress(redis, prefix)
    explainer = FeedExplainer(paginator, readers, window, ranker, graph, posts, lists, unpushed, *progress, ranking)
    consumers = FeedConsumers(readers, window, posts, lists, cache, stamps)
    await runtime.consume("feed", consumers.on_events, runner=GatheringRunner, serves_without=True)
    active = ActiveReaders(RedisReadersLog(redis, prefix))
    runtime.start("active-readers", active.run())
    runtime.start("backpressure", monitor.run())
    runtime.start("warmer", FeedWarmer(stamps, listed, returning.readers).run())
    if settings.page_cache_s:
        runtime.start("page-warmer", PageWarmer(returning, reader.warm).run())
    return FeedUseCases(reader, explainer, returning, active)


def limits(settings: FeedSettings) -> Mapping[str, RateLimit]:
    """Return the rate limits by route. Explaining a post counts as a page, because it ranks the feed."""
    feed = RateLimit("feed", settings.feeds_a_minute, MINUTE_S)
    return {f"GET {PATH}": feed, f"GET {PATH}/explain/{{post_id}}": feed}


APPLICATION = Application(
    name="feed",
    settings=FeedSettings,
    compose=compose,
    routers=[routes.router, internal.router],
    limits=limits,
    middleware=CachedPages,
)

if __name__ == "__main__":
    APPLICATION.main()
