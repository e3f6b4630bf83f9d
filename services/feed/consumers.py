"""Event handlers that change feed lists and invalidate cached pages."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from libs.common.kafka.consumer import ReceivedEvent
from libs.contracts.events import (
    FollowCreated,
    FollowDeleted,
    MuteCreated,
    MuteDeleted,
)
from libs.feedlists import CAP
from services.feed.ports import Cache, FeedListStore, Posts, Stamps
from services.feed.service.followees import Readers
from services.feed.service.window import FeedWindow

READERS_AT_ONCE = 8  # each reads from the user and the post service
Change = Callable[[], Awaitable[None]]


class FeedConsumers:
    """Handles events, any number of times. The events of one follower are in order, with rare exceptions."""

    def __init__(
        self,
        readers: Readers,
        window: FeedWindow,
        posts: Posts,
        lists: FeedListStore,
        cache: Cache,
        stamps: Stamps,
    ) -> None:
        self._readers = readers
        self._window = window
        self._posts = posts
        self._lists = lists
        self._cache = cache
        self._stamps = stamps

    async def on_events(self, events: Sequence[ReceivedEvent]) -> None:
        """Change the lists that the events concern, then write the invalidation stamps. Raises UnavailableError."""
        payloads, changes = [event.payload for event in events], defaultdict[int, list[Change]](list)
        for payload in payloads:
            match payload:
                case (
                    FollowCreated(follower_id=reader_id, followee_id=author_id)
                    | MuteDeleted(muter_id=reader_id, muted_id=author_id)
                ):
                    changes[reader_id].append(partial(self._add_author, reader_id, author_id))
                case (
                    FollowDeleted(follower_id=reader_id, followee_id=author_id)
                    | MuteCreated(muter_id=reader_id, muted_id=author_id)
                ):
                    changes[reader_id].append(partial(self._remove_author, reader_id, author_id))
        await self._change_lists(changes.values())
        await self._stamps.invalidate(payloads)

    @staticmethod
    async def _change_lists(changes: Iterable[Sequence[Change]]) -> None:
        """Make the changes of each reader in order, of some readers at once. Raise an error when all are done."""
        slots = asyncio.Semaphore(READERS_AT_ONCE)

        async def in_order(of_reader: Sequence[Change]) -> None:
            async with slots:
                for change in of_reader:
                    await change()

        for outcome in await asyncio.gather(*map(in_order, changes), return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def _add_author(self, reader_id: int, author_id: int) -> None:
        """Merge the author's posts into the list if it exists. The next read builds an absent list.

        If the follow has ended in the meantime, reads filter these ids. The cached followees are refreshed here. A read
        rewrites them only if they differ from those that its process wrote last, and it may have missed the unfollow.
        """
        cached = await self._cache.cached_followees(reader_id)
        if cached is not None and author_id not in cached.all:
            await self._readers.refresh(reader_id)
        if recent := await self._recent(author_id):
            await self._lists.merge(reader_id, recent, finish=False)

    async def _remove_author(self, reader_id: int, author_id: int) -> None:
        """Remove the author's posts, unless the reader follows again: another event adds them in that case."""
        await self._cache.forget_followee(reader_id, author_id)
        reader = await self._readers.refresh(reader_id)
        if author_id not in reader.followees.all and (recent := await self._recent(author_id)):
            await self._lists.remove(reader_id, recent)

    async def _recent(self, author_id: int) -> list[int]:
        return (await self._posts.recent([author_id], self._window.start(), None, CAP)).get(author_id, [])
