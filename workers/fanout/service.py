"""From a new post to the feeds of its author's followers."""

from prometheus_client import Counter, Histogram

from workers.fanout.ports import ChunkQueue, Feeds, Graph, Range

DELIVERIES = Counter("feedmill_fanout_deliveries_total", "Feed entries written; a redelivery writes none.")
POSTS = Counter("feedmill_fanout_posts_total", "Posts taken in, by the way they go.", ["mode"])
FOLLOWERS = Histogram(
    "feedmill_fanout_followers",
    "Followers of authors whose posts are pushed.",
    buckets=(1, 10, 100, 1_000, 10_000, 100_000),
)


class Fanout:
    """Each step may run twice: pushing a post into a feed that has it changes nothing."""

    def __init__(self, graph: Graph, feeds: Feeds, queue: ChunkQueue, chunk_followers: int) -> None:
        self._graph = graph
        self._feeds = feeds
        self._queue = queue
        self._chunk_followers = chunk_followers

    async def post_created(self, author_id: int, post_id: int) -> None:
        """Push at once where one chunk is enough, else hand chunks to all workers; readers pull pull authors."""
        audience = await self._graph.audience(author_id)
        if audience is None:
            return
        POSTS.labels("push" if audience.is_push else "pull").inc()
        if not audience.is_push:
            return
        FOLLOWERS.observe(audience.follower_count)
        ranges = await self._graph.ranges(author_id, self._chunk_followers)
        if len(ranges) == 1:
            await self.deliver(author_id, post_id, ranges[0])
            return
        for within in ranges:
            await self._queue.put(author_id, post_id, within)

    async def deliver(self, author_id: int, post_id: int, within: Range) -> int:
        """Push to the followers in one range; the number of feeds that did not have the post before."""
        written = 0
        async for page in self._graph.followers(author_id, within):
            written += await self._feeds.push(page, [post_id])
        DELIVERIES.inc(written)
        return written
