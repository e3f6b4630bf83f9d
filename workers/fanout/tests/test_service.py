from collections.abc import AsyncIterator, Iterable, Sequence

from workers.fanout.ports import Audience, Range
from workers.fanout.service import Fanout

AUTHOR, POST = 1, 100


class InMemoryGraph:
    def __init__(self, followers: Iterable[int], *, is_push: bool = True) -> None:
        self.ids = sorted(followers)
        self.is_push = is_push

    async def audience(self, author_id: int) -> Audience | None:
        return Audience(len(self.ids), self.is_push) if author_id == AUTHOR else None

    async def ranges(self, author_id: int, size: int) -> Sequence[Range]:
        chunks = [self.ids[i : i + size] for i in range(0, len(self.ids), size)]
        return [(chunk[0] - 1, chunk[-1]) for chunk in chunks]

    async def followers(self, author_id: int, within: Range) -> AsyncIterator[Sequence[int]]:
        after, up_to = within
        ids = [i for i in self.ids if after < i <= up_to]
        for start in range(0, len(ids), 2):
            yield ids[start : start + 2]


class InMemoryFeeds:
    def __init__(self) -> None:
        self.held: set[tuple[int, int]] = set()

    async def push(self, user_ids: Iterable[int], post_ids: Sequence[int]) -> int:
        before = len(self.held)
        self.held |= {(user, post) for user in user_ids for post in post_ids}
        return len(self.held) - before


class InMemoryQueue:
    def __init__(self) -> None:
        self.chunks: list[tuple[int, int, Range]] = []

    async def put(self, author_id: int, post_id: int, within: Range) -> None:
        self.chunks.append((author_id, post_id, within))


def fanout(graph: InMemoryGraph) -> tuple[Fanout, InMemoryFeeds, InMemoryQueue]:
    feeds, queue = InMemoryFeeds(), InMemoryQueue()
    return Fanout(graph, feeds, queue, chunk_followers=10), feeds, queue


async def test_a_small_author_is_pushed_at_once_and_again_without_effect() -> None:
    service, feeds, queue = fanout(InMemoryGraph(range(5, 12)))
    for _ in range(2):
        await service.post_created(AUTHOR, POST)
    assert feeds.held == {(user, POST) for user in range(5, 12)}
    assert queue.chunks == []


async def test_a_large_author_is_shared_out_in_chunks_that_cover_all() -> None:
    service, feeds, queue = fanout(InMemoryGraph(range(5, 40)))
    await service.post_created(AUTHOR, POST)
    assert feeds.held == set()
    assert len(queue.chunks) == 4
    written = [await service.deliver(*chunk) for chunk in (*queue.chunks, *queue.chunks)]
    assert sum(written) == 35
    assert feeds.held == {(user, POST) for user in range(5, 40)}


async def test_pull_authors_unknown_ones_and_those_without_followers_push_nothing() -> None:
    for graph, author in (
        (InMemoryGraph([2], is_push=False), AUTHOR),
        (InMemoryGraph([2]), 99),
        (InMemoryGraph([]), AUTHOR),
    ):
        service, feeds, queue = fanout(graph)
        await service.post_created(author, POST)
        assert (feeds.held, queue.chunks) == (set(), [])
