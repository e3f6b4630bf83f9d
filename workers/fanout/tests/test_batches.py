"""Many posts at once: the calls that they share, and what a failure, a delete or a changed graph does to a batch."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.internal.user import AudienceRecord
from libs.feedlists import Range
from workers.fanout.ports import PostRef
from workers.fanout.service.fanout import MAX_POSTS, Fanout, FeedRemover, FeedWriter, Ledgers
from workers.fanout.tests.world import (
    FixedBackpressure,
    InMemoryFeeds,
    InMemoryGaps,
    InMemoryLedger,
    InMemoryPulls,
    InMemoryQueue,
    InMemoryRemovals,
)

CHUNK = 10  # followers of a small author at most
Graph = dict[int, list[int]]


class ManyAuthors:
    """Implements `FollowerGraph`. The followers of an author may change between two answers."""

    def __init__(self, followers: Mapping[int, Collection[int]]) -> None:
        self.ids: Graph = {author: sorted(ids) for author, ids in followers.items()}

    async def audiences(self, author_ids: Collection[int], followers_up_to: int) -> Mapping[int, AudienceRecord]:
        found = {}
        for author in author_ids:
            ids = self.ids[author]
            few = list(ids) if len(ids) <= followers_up_to else None
            found[author] = AudienceRecord(user_id=author, follower_count=len(ids), mode="push", followers=few)
        return found

    async def follower_ranges(self, author_id: int, size: int) -> Sequence[Range]:
        ids = self.ids[author_id]
        ends = [ids[min(start + size, len(ids)) - 1] for start in range(0, len(ids), size)]
        return list(zip([0, *ends], ends, strict=False))

    async def followers(self, author_id: int, within: Range) -> AsyncIterator[Sequence[int]]:
        if ids := [user for user in self.ids[author_id] if within[0] < user <= within[1]]:
            yield ids


class Counted:
    """A port that counts its calls by name, and raises TimeoutError before or after some of them."""

    def __init__(self, port: Any, calls: Counter[str], fails: "Failures") -> None:
        self._port = port
        self._calls = calls
        self._fails = fails

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._calls[name] += 1
            self._fails.now_and_then()
            answer = await method(*args, **kwargs)
            self._fails.now_and_then()
            return answer

        return call if name != "followers" else method


class Failures:
    """Draws which calls fail."""

    def __init__(self, rng: Random) -> None:
        self.share = 0.0
        self._rng = rng

    def now_and_then(self) -> None:
        if self._rng.random() < self.share:
            raise TimeoutError


class Batches:
    """Fan-out of many authors, in memory; one answer has at most `max_ids` follower ids."""

    def __init__(self, followers: Mapping[int, Collection[int]], max_ids: int = 1_000, seed: int = 0) -> None:
        self.calls = Counter[str]()
        self.failures = Failures(Random(seed))
        self.graph, self.feeds, self.queue = ManyAuthors(followers), InMemoryFeeds(), InMemoryQueue()
        self.ledger = InMemoryLedger()
        graph, feeds = self._counted(self.graph), self._counted(self.feeds)
        ledgers = Ledgers(self._counted(self.ledger), self._counted(InMemoryRemovals()))
        load = FixedBackpressure()
        writer, remover = FeedWriter(graph, feeds, ledgers.posts, load), FeedRemover(graph, feeds, ledgers.removals)
        self.fanout = Fanout(
            graph,
            {"push": writer, "slow": writer},
            {"push": remover, "slow": remover},
            self._counted(self.queue),
            ledgers,
            InMemoryGaps(),
            load,
            InMemoryPulls(),
            chunk_followers=CHUNK,
            slow_lane_from=1_000,
            max_ids=max_ids,
        )

    def _counted(self, port: Any) -> Any:
        return Counted(port, self.calls, self.failures)

    async def take_chunks(self) -> None:
        """Take all queued chunks; they stay queued, to be taken again."""
        await self.fanout.take_chunks("push", self.queue.chunks["push"])

    def held(self, posts: Sequence[PostRef], followers: Mapping[int, Collection[int]]) -> set[tuple[int, int]]:
        """What the feeds have if each of these followers has each post of the author."""
        return {(user, post.post_id) for post in posts for user in followers[post.author_id]}


def _posts(authors: Sequence[int]) -> list[PostRef]:
    return [PostRef(1_000 + n, author) for n, author in enumerate(authors)]


async def test_posts_of_small_authors_share_all_calls() -> None:
    followers = {author: [10_000 + author, 20_000] for author in range(1, MAX_POSTS + 1)}
    posts = _posts(list(followers))
    batches = Batches(followers, max_ids=10_000)
    first = Counter({"delivered_before": 1, "audiences": 1, "deliver_each": 1, "delivered": 1, "known": 2})
    again = Counter({"delivered_before": 1, "known": 1})
    for wanted in (first, first + again):
        await batches.fanout.take_posts(posts)
        assert batches.calls == wanted
        assert batches.feeds.held == batches.held(posts, followers)


async def test_an_answer_is_bounded_and_authors_with_more_followers_are_asked_for_again() -> None:
    followers = {author: range(100, 101 + author % CHUNK) for author in range(1, 41)}
    followers[41] = range(100, 150)
    posts = _posts(list(followers))
    batches, answers = Batches(followers, max_ids=80), list[int]()
    audiences = batches.graph.audiences

    async def bounded(author_ids: Collection[int], followers_up_to: int) -> Mapping[int, AudienceRecord]:
        found = await audiences(author_ids, followers_up_to)
        answers.append(sum(len(audience.followers or ()) for audience in found.values()))
        return found

    batches.graph.audiences = bounded  # type: ignore[method-assign]
    await batches.fanout.take_posts(posts)
    assert len(answers) > 1
    assert max(answers) <= 80
    assert batches.feeds.held == batches.held(posts[:-1], followers)
    await batches.take_chunks()
    assert batches.feeds.held == batches.held(posts, followers)
    assert set(batches.ledger.modes) == {post.post_id for post in posts}


@pytest.mark.parametrize("deletes_first", [False, True])
async def test_a_deleted_post_leaves_the_others_of_its_batch_alone(*, deletes_first: bool) -> None:
    followers = {author: range(100, 104) for author in range(1, 21)}
    posts = _posts(list(followers))
    batches = Batches(followers)
    for _ in range(2):
        if deletes_first:
            await batches.fanout.take_deletes(posts[5:7])
        await batches.fanout.take_posts(posts)
        await batches.fanout.take_deletes(posts[5:7])
        assert batches.feeds.held == batches.held([*posts[:5], *posts[7:]], followers)


async def test_a_batch_that_comes_again_finds_other_followers() -> None:
    """Posts that were delivered are done, whatever their author is now. The author of a planned one is small now."""
    before = {1: range(100, 104), 2: range(100, 104), 3: range(100, 130)}
    after = {1: range(102, 106), 2: range(100, 130), 3: range(99, 104)}
    posts = _posts([1, 2, 3])
    batches = Batches(before)
    await batches.fanout.take_posts(posts)
    batches.graph.ids = {author: list(ids) for author, ids in after.items()}
    for _ in range(2):
        await batches.fanout.take_posts(posts)
        await batches.take_chunks()
        wanted = {1: range(100, 104), 2: range(100, 104), 3: range(99, 104)}
        assert batches.feeds.held == batches.held(posts, wanted)
    assert {chunk.post for chunk in batches.queue.chunks["push"]} == {posts[2]}


@given(st.integers(1, 60), st.integers(1, 80), st.integers())
async def test_parts_of_batches_that_fail_and_come_again_change_nothing(authors: int, max_ids: int, seed: int) -> None:
    """Calls fail before or after their effect, posts come twice, deletes overtake, followers come and go."""
    rng = Random(seed)
    stable = {author: range(100, 100 + rng.choice((1, 2, 5, 15))) for author in range(1, authors + 1)}
    batches = Batches(stable, max_ids, seed)
    posts = _posts([rng.choice(list(stable)) for _ in range(rng.randint(1, 80))])
    deleted = rng.sample(posts, len(posts) // 5)
    for share in (0.3, 0.1, 0.0):
        batches.failures.share = share
        batches.graph.ids = {a: [*ids, *rng.sample(range(200, 210), rng.randint(0, 9))] for a, ids in stable.items()}
        batches.graph.ids = {author: sorted(ids) for author, ids in batches.graph.ids.items()}
        with suppress(TimeoutError):
            await batches.fanout.take_posts([*posts, *rng.sample(posts, len(posts) // 2)])
        with suppress(TimeoutError):
            await batches.fanout.take_deletes(deleted)
        with suppress(TimeoutError):
            await batches.take_chunks()
    await batches.take_chunks()
    left = {entry for entry in batches.feeds.held if entry[0] < 200}
    assert left == batches.held([post for post in posts if post not in deleted], stable)
