"""The feed and the fan-out as they are, on a real Redis and owners in memory, with events that wait to be delivered."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from functools import partial
from uuid import uuid4

from redis.asyncio import Redis

from libs.common.core.fairness import FairSemaphore
from libs.common.core.ids import EPOCH_MS, first_id_at, id_time, now_ms
from libs.common.core.settings import Settings
from libs.common.kafka.consumer import ReceivedEvent as EventDelivery
from libs.common.web.paging import Cursors
from libs.contracts.base import Event, Payload
from libs.contracts.events import (
    BlockCreated,
    FollowCreated,
    FollowDeleted,
    MuteCreated,
    MuteDeleted,
    PostCreated,
    PostDeleted,
    UserBanned,
    UserUnbanned,
    UserUpdated,
)
from libs.feedlists import BackpressureLevel, DeliveryProgress, FeedLists, RemovalProgress, UnpushedRanges
from libs.invalidation import Invalidation, InvalidationStamps, RecentPosts
from services.feed.consumers import FeedConsumers
from services.feed.service.candidates import CandidateGatherer
from services.feed.service.explain import FeedExplainer
from services.feed.service.followees import Readers
from services.feed.service.paginator import FeedPaginator
from services.feed.service.ranker import ScoreRanker
from services.feed.service.reader import FeedReader
from services.feed.service.sources import AuthorSource, ListSource
from services.feed.service.window import FeedWindow
from services.feed.stores.cached import CachedPosts, CachedProfiles
from services.feed.stores.redis import RedisFeedCache
from services.feed.tests.world import FixedLoad
from tests.property.owners import Owners
from workers.fanout.ports import Chunk, Lane, PostRef
from workers.fanout.service.fanout import Fanout, FeedRemover, FeedWriter, Ledgers

Waiting = tuple[str, int]
"""A kind, and a reader or the index in a queue."""
CHUNK = 2  # followers in a chunk: most authors take several
SECOND = 1_000


class Pressure:
    """A back pressure level that the test sets."""

    level = BackpressureLevel.NORMAL


class Queue:
    """Chunks that wait."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []

    async def put(self, _: Lane, chunks: Sequence[Chunk]) -> None:
        self.chunks += chunks


class System:
    """A system with its own key prefix. Each post advances the time by a second."""

    def __init__(self, redis: "Redis", settings: Settings) -> None:
        self.redis = redis
        self.owners, self.pressure, self.queue = Owners(), Pressure(), Queue()
        self.now_ms = now_ms()
        self.waiting_posts: list[PostRef] = []
        self.waiting_deletes: list[PostRef] = []
        self.waiting_events: dict[int, deque[Payload]] = defaultdict(deque)
        """By reader: the events of one come in order."""
        prefix = f"{settings.redis_prefix('property')}{uuid4().hex}:"
        self._settings = settings.model_copy(update={"namespace": prefix})
        self.lists = FeedLists(redis, prefix, 4)
        self.gaps = UnpushedRanges(redis, self.lists)
        self.ledger, self.removals = DeliveryProgress(redis, prefix), RemovalProgress(redis, prefix)
        self._stamps = InvalidationStamps(redis, self._settings)
        owners = self.owners
        cache = RedisFeedCache(redis, self.lists, self.gaps, self._stamps, page_s=60, session_s=60)
        authors = CachedProfiles(owners, self._stamps)
        records = CachedPosts(owners, self._stamps, RecentPosts(redis, self._stamps))
        window, readers = FeedWindow(7, lambda: self.now_ms), Readers(owners, cache)
        listed = ListSource(readers, owners, records, self.lists, window)
        pulled = AuthorSource(records, window)
        self.candidates = CandidateGatherer([listed, pulled], owners, window)
        ranker, ranking = ScoreRanker(), FairSemaphore("ranking", 1)
        paginator = FeedPaginator(self.candidates, ranker, owners, records, self.lists, cache)
        self.reader = FeedReader(
            paginator,
            readers,
            self.candidates,
            owners,
            authors,
            owners,
            cache,
            FixedLoad(),
            Cursors("secret"),
            "http://feedmill",
            ranking,
        )
        self.explainer = FeedExplainer(
            paginator,
            readers,
            window,
            ranker,
            owners,
            owners,
            self.lists,
            self.gaps,
            self.ledger,
            self.removals,
            ranking,
        )
        self._consumers = FeedConsumers(readers, window, owners, self.lists, cache, self._stamps)
        delivery = FeedWriter(owners, self.lists, self.ledger, self.pressure)
        removal = FeedRemover(owners, self.lists, self.removals)
        self.fanout = Fanout(
            owners,
            {"push": delivery, "slow": delivery},
            {"push": removal, "slow": removal},
            self.queue,
            Ledgers(self.ledger, self.removals),
            self.gaps,
            self.pressure,
            self._stamps,
            chunk_followers=CHUNK,
            slow_lane_from=100,
        )

    def in_flight(self) -> set[int]:
        """Posts that fan-out still has to do with."""
        return {post.post_id for post in self.waiting_posts} | {chunk.post.post_id for chunk in self.queue.chunks}

    async def act(self, payload: Payload, readers: Iterable[int] = ()) -> None:
        """Do what an owner does after its commit: write stamps, and publish. The events wait here."""
        await self._stamps.invalidate([payload])
        for reader_id in readers:
            self.waiting_events[reader_id].append(payload)

    async def follow(self, reader_id: int, author_id: int) -> None:
        """Follow the author, or request it from a private account."""
        edge = (reader_id, author_id)
        if edge in self.owners.follows or {edge, edge[::-1]} & self.owners.blocks:
            return
        self.owners.requests.add(edge)
        if author_id not in self.owners.private:
            await self.approve(*edge)

    async def approve(self, reader_id: int, author_id: int) -> None:
        """The author accepts a follow request."""
        edge = (reader_id, author_id)
        if edge in self.owners.requests:
            self.owners.requests.remove(edge)
            self.owners.follows.add(edge)
            self.owners.fresh.add(edge)
            await self.act(FollowCreated(follower_id=reader_id, followee_id=author_id), [reader_id])

    async def deny(self, reader_id: int, author_id: int) -> None:
        self.owners.requests.discard((reader_id, author_id))

    async def unfollow(self, reader_id: int, author_id: int) -> None:
        """Or be removed by the author, or withdraw the request."""
        self.owners.requests.discard((reader_id, author_id))
        if (reader_id, author_id) in self.owners.follows:
            self.owners.follows.remove((reader_id, author_id))
            await self.act(FollowDeleted(follower_id=reader_id, followee_id=author_id), [reader_id])

    async def go_private(self, author_id: int) -> None:
        """Make the account private. Its followers stay."""
        self.owners.private.add(author_id)
        await self.act(UserUpdated(user_id=author_id))

    async def go_public(self, author_id: int) -> None:
        """Make the account public and accept all requests."""
        self.owners.private.discard(author_id)
        await self.act(UserUpdated(user_id=author_id))
        for edge in sorted(self.owners.requests):
            if edge[1] == author_id:
                await self.approve(*edge)

    async def mute(self, reader_id: int, author_id: int) -> None:
        self.owners.mutes.add((reader_id, author_id))
        await self.act(MuteCreated(muter_id=reader_id, muted_id=author_id), [reader_id])

    async def unmute(self, reader_id: int, author_id: int) -> None:
        if (reader_id, author_id) in self.owners.mutes:
            self.owners.mutes.remove((reader_id, author_id))
            self.owners.fresh.add((reader_id, author_id))
            await self.act(MuteDeleted(muter_id=reader_id, muted_id=author_id), [reader_id])

    async def block(self, blocker_id: int, blocked_id: int) -> None:
        self.owners.blocks.add((blocker_id, blocked_id))
        await self.unfollow(blocker_id, blocked_id)
        await self.unfollow(blocked_id, blocker_id)
        await self.act(BlockCreated(blocker_id=blocker_id, blocked_id=blocked_id), [blocker_id])

    async def post(self, author_id: int, *, age_s: int = 0, likes: int = 0) -> int:
        """Publish a post that becomes visible now. Its id may be older."""
        self.now_ms += SECOND
        post_id = first_id_at(max(EPOCH_MS, self.now_ms - age_s * SECOND)) + len(self.owners.posts)
        self.owners.add(post_id, author_id, likes)
        await self.act(PostCreated(post_id=post_id, author_id=author_id, created_at=id_time(post_id)))
        self.waiting_posts.append(PostRef(post_id, author_id))
        return post_id

    async def delete(self, post_id: int) -> None:
        self.owners.deleted.add(post_id)
        author_id = self.owners.posts[post_id].author_id
        await self.act(PostDeleted(post_id=post_id, author_id=author_id))
        self.waiting_deletes.append(PostRef(post_id, author_id))

    async def ban_or_unban(self, author_id: int) -> None:
        self.owners.banned ^= {author_id}
        if author_id not in self.owners.banned:  # lists may have been made without them meanwhile
            self.owners.left_pull.add(author_id)
        kind = UserBanned if author_id in self.owners.banned else UserUnbanned
        await self.act(kind(user_id=author_id))

    async def cross(self, author_id: int) -> None:
        """Over the threshold, or back under it: then the author is pulled for one more window."""
        if author_id in self.owners.pull:
            self.owners.left_pull.add(author_id)
        self.owners.pull ^= {author_id}
        await self._stamps.write(Invalidation(followees=True))

    async def press(self, level: BackpressureLevel) -> None:
        left = self.pressure.level is BackpressureLevel.PULL and level is not BackpressureLevel.PULL
        self.pressure.level = level
        if left:
            await self.gaps.close()

    async def lose_redis(self) -> None:
        """Everything of this system is gone."""
        keys = [key async for key in self.redis.scan_iter(f"{self._settings.namespace}*", count=1_000)]
        if keys:
            await self.redis.delete(*keys)

    def waiting(self) -> list[Waiting]:
        """Return what could be delivered next: an event of each reader, any post, delete or chunk."""
        events = [("event", reader) for reader, waiting in sorted(self.waiting_events.items()) if waiting]
        posts = [("post", index) for index in range(len(self.waiting_posts))]
        deletes = [("delete", index) for index in range(len(self.waiting_deletes))]
        return [*events, *posts, *deletes, *(("chunk", index) for index in range(len(self.queue.chunks)))]

    async def deliver(self, one: Waiting, *, twice: bool = False) -> None:
        """Take it off its queue, and handle it, perhaps twice."""
        kind, which = one
        match kind:
            case "event":
                work = partial(self._handle_event, self.waiting_events[which].popleft())
            case "post":
                work = partial(self.fanout.take_posts, [self.waiting_posts.pop(which)])
            case "delete":
                work = partial(self.fanout.take_deletes, [self.waiting_deletes.pop(which)])
            case _:
                work = partial(self.fanout.take_chunks, "push", [self.queue.chunks.pop(which)])
        for _ in range(1 + twice):
            await work()
        if kind == "event" and not self.waiting_events[which]:  # so the hour in which they are pulled may pass
            self.owners.fresh = {edge for edge in self.owners.fresh if edge[0] != which}

    async def _handle_event(self, payload: Payload) -> None:
        envelope = Event(payload=payload, entity="x", entity_version=1).envelope("tests")
        await self._consumers.on_events([EventDelivery(envelope, payload, 0, 0)])

    async def settle(self) -> None:
        """Deliver all that waits."""
        while waiting := self.waiting():
            await self.deliver(waiting[0])
