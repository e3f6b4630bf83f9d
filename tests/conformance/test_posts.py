"""The feed's `Posts`: its fake, and its adapter over the post service's own routes."""

from types import SimpleNamespace

import pytest

from libs.clients.post import PostClient
from libs.common.core.ids import first_id_at, now_ms
from libs.contracts.internal.post import POSTS_A_CALL, RankingFeatures
from services.feed.clients import HttpPostSource
from services.feed.ports import Posts
from services.feed.tests.world import InMemoryPosts, record
from services.post import internal
from services.post.domain import PublishStatus, StoredPost
from services.post.service.reader import PostReader
from services.post.tests.fakes import InMemoryAuthors, InMemoryMarks
from services.post.tests.fakes import InMemoryPosts as InMemoryPostStore
from tests.conformance.owners import PUBLIC_URL, client_of

FIRST = first_id_at(now_ms() - 60_000)
ANN, BOB = 11, 12


class FakeSide:
    def __init__(self) -> None:
        self.fake = InMemoryPosts()
        self.port: Posts = self.fake

    def put(self, post_id: int, author_id: int, likes: int = 0) -> None:
        self.fake.all[post_id] = record(post_id, author_id, likes)

    def delete(self, post_id: int) -> None:
        del self.fake.all[post_id]


class HttpSide:
    def __init__(self) -> None:
        self.store = InMemoryPostStore()
        reader = PostReader(self.store, InMemoryAuthors(), InMemoryMarks(), PUBLIC_URL)
        self.port: Posts = HttpPostSource(PostClient(client_of(internal.router, SimpleNamespace(reader=reader))))

    def put(self, post_id: int, author_id: int, likes: int = 0) -> None:
        shown = record(post_id, author_id, likes)
        self.store.rows[post_id] = StoredPost(
            post_id=post_id,
            author_id=author_id,
            caption="",
            hashtags=(),
            mentions=(),
            location=None,
            media_ids=(post_id,),
            media=shown.media,
            status=PublishStatus.PUBLISHED,
            reason=None,
            version=1,
            created_at=shown.created_at,
            edited_at=None,
            counts=shown.counts,
        )
        self.store.listed.add(post_id)

    def delete(self, post_id: int) -> None:
        self.store.deleted.add(post_id)
        self.store.listed.discard(post_id)


Side = FakeSide | HttpSide


@pytest.fixture(params=[FakeSide, HttpSide])
def side(request: pytest.FixtureRequest) -> Side:
    made: Side = request.param()
    return made


class TestPosts:
    async def test_records_are_those_of_published_posts(self, side: Side) -> None:
        side.put(FIRST, ANN, likes=3)
        side.put(FIRST + 1, ANN)
        side.delete(FIRST + 1)
        assert await side.port.records([FIRST, FIRST + 1, FIRST + 2]) == {FIRST: record(FIRST, ANN, 3)}
        assert await side.port.records([]) == {}

    async def test_more_ids_than_a_call_takes(self, side: Side) -> None:
        ids = [FIRST + i for i in range(2 * POSTS_A_CALL + 1)]
        for post_id in ids:
            side.put(post_id, ANN)
        assert set(await side.port.records(ids)) == set(ids)
        assert [one.post_id for one in await side.port.ranking_features(ids)] == ids

    async def test_ranking_features_are_the_counts(self, side: Side) -> None:
        side.put(FIRST, ANN, likes=3)
        wanted = [RankingFeatures(FIRST, ANN, 3, 0, 0)]
        assert await side.port.ranking_features([FIRST, FIRST + 1]) == wanted
        assert await side.port.ranking_features([FIRST]) == wanted

    async def test_recent_lies_between_the_bounds_newest_first(self, side: Side) -> None:
        for post_id, author_id in enumerate([ANN, ANN, BOB, ANN, ANN], FIRST):
            side.put(post_id, author_id)
        assert await side.port.recent([ANN, BOB, 13], FIRST, FIRST + 4, 500) == {
            ANN: [FIRST + 3, FIRST + 1],
            BOB: [FIRST + 2],
        }
        assert await side.port.recent([ANN], FIRST, None, 1) == {ANN: [FIRST + 4]}
        assert await side.port.recent([], 0, None, 1) == {}
