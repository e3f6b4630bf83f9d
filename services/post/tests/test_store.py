"""Posts on a real Cassandra."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest

from libs.common.core.ids import MAX_ID, first_id_at, id_time
from libs.common.stores.cassandra import Cassandra
from libs.common.stores.cassandra_outbox import CassandraOutbox
from libs.common.testing import settings_for
from libs.contracts.base import Event
from libs.contracts.events import PostCounted, PostDeleted
from libs.contracts.public import Location
from libs.contracts.records import encode
from libs.media.paths import SecretPaths
from services.post.__main__ import APPLICATION
from services.post.domain import PublishStatus, StoredPost
from services.post.settings import PostSettings
from services.post.stores.cassandra import CassandraPostStore, PostMediaReadiness
from services.post.tests.fakes import document, failed, ready

pytestmark = pytest.mark.stores
PATHS = SecretPaths("a secret")


@pytest.fixture(scope="session")
async def cassandra(store_env: dict[str, str]) -> AsyncIterator[Cassandra]:
    settings = settings_for(PostSettings, store_env)
    await APPLICATION.migrate(settings)
    async with Cassandra(settings, settings.keyspace("post")) as cassandra:
        yield cassandra


@pytest.fixture
async def outbox(cassandra: Cassandra) -> CassandraOutbox:
    return await CassandraOutbox(cassandra).prepare()


@pytest.fixture
async def readiness(cassandra: Cassandra) -> PostMediaReadiness:
    return await PostMediaReadiness(cassandra, PATHS).prepare()


@pytest.fixture
async def store(cassandra: Cassandra, outbox: CassandraOutbox, readiness: PostMediaReadiness) -> CassandraPostStore:
    return await CassandraPostStore(cassandra, outbox, readiness, PATHS).prepare()


def at(year: int, month: int = 6) -> int:
    """An id of that month, unlike any other."""
    return first_id_at(int(datetime(year, month, 15, tzinfo=UTC).timestamp() * 1000)) + uuid4().int % 1_000_000_000


def some_post(author_id: int, post_id: int, tag: str = "tag") -> StoredPost:
    return StoredPost(
        post_id=post_id,
        author_id=author_id,
        caption=f"#{tag}",
        hashtags=(tag,),
        mentions=(),
        location=None,
        media_ids=(post_id,),
        media=(document(post_id),),
        status=PublishStatus.PUBLISHED,
        reason=None,
        version=1,
        created_at=id_time(post_id),
        edited_at=None,
    )


@pytest.fixture
def author() -> int:
    return uuid4().int >> 66


async def test_a_post_comes_back_as_it_went_with_its_event_in_the_same_batch(
    store: CassandraPostStore, readiness: PostMediaReadiness, outbox: CassandraOutbox, author: int
) -> None:
    post = some_post(author, at(2026))
    await store.create(replace(post, media=(), status=PublishStatus.PROCESSING))
    assert await readiness.waiting_for(post.post_id) == [post.post_id]
    event = encode(
        Event(payload=PostDeleted(post_id=post.post_id, author_id=author), entity="x", entity_version=1), "t"
    )
    await store.publish(post, [event])
    assert event.event_id in {record.event_id for record in await outbox.oldest(10_000, 0)}
    stored = await store.get(post.post_id)
    assert stored is not None
    assert replace(stored, created_at=post.created_at) == post
    assert await readiness.waiting_for(post.post_id) == []


async def test_lists_go_from_bucket_to_bucket(store: CassandraPostStore, author: int) -> None:
    tag = f"t{author}"
    ids = sorted((at(2024, 1), at(2024, 12), at(2025, 3), at(2026, 2), at(2026, 3)), reverse=True)
    for post_id in ids:
        await store.publish(some_post(author, post_id, tag), [])
    newest = at(2026, 11)
    assert await store.by_author(author, 0, newest, 10) == ids
    assert await store.by_author(author, ids[3], ids[0], 10) == ids[1:3]
    assert await store.by_author(author, 0, ids[1], 2) == ids[2:4]
    assert await store.by_hashtag(tag, newest, 10) == [(post_id, author) for post_id in ids]
    assert await store.by_hashtag(tag, ids[2], 1) == [(ids[3], author)]


async def test_a_post_that_is_created_again_stays_as_it_is(
    store: CassandraPostStore, readiness: PostMediaReadiness, author: int
) -> None:
    made = replace(some_post(author, at(2026)), media=(), status=PublishStatus.PROCESSING)
    published = replace(made, media=(document(made.post_id),), status=PublishStatus.PUBLISHED)
    written: dict[str, Any] = {"caption": "edited", "hashtags": (), "location": Location(name="there"), "version": 2}
    edited = replace(published, **written)
    await store.create(made)
    await store.publish(published, [])
    await store.edit(published, edited, [])
    await store.create(made)
    stored = await store.get(made.post_id)
    assert stored is not None
    assert replace(stored, created_at=made.created_at) == edited
    assert await readiness.waiting_for(made.post_id) == []
    await store.delete(replace(edited, version=3), [])
    await store.create(made)
    stored = await store.get(made.post_id)
    assert stored is not None
    assert (stored.status, stored.version) == (PublishStatus.DELETED, 3)


@pytest.mark.parametrize("order", [*permutations(range(3))])
async def test_of_edits_that_race_the_higher_version_stays_and_is_listed(
    store: CassandraPostStore, author: int, order: Sequence[int]
) -> None:
    """Two that read the same post, and the publishing of what both of them read."""
    old, new = f"old{author}", f"new{author}"
    made = replace(some_post(author, at(2026), old), media=(), status=PublishStatus.PROCESSING)
    published = replace(made, media=(document(made.post_id),), status=PublishStatus.PUBLISHED)
    first = replace(made, caption=f"#{new}", hashtags=(new,), version=2)
    second = replace(made, caption=f"#{old} again", version=3)
    await store.create(made)
    acts = (partial(store.publish, published), partial(store.edit, made, first), partial(store.edit, made, second))
    for index in order:
        await acts[index]([])
    stored = await store.get(made.post_id)
    assert stored is not None
    assert (stored.status, stored.caption, stored.version) == (PublishStatus.PUBLISHED, second.caption, 3)
    assert await store.by_hashtag(old, at(2026, 11), 10) == [(made.post_id, author)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_edits_of_the_text_and_of_the_place_may_cross(
    store: CassandraPostStore, author: int, order: Sequence[int]
) -> None:
    old, new = f"was{author}", f"is{author}"
    post = some_post(author, at(2026), old)
    await store.create(post)
    await store.publish(post, [])
    text = replace(post, caption=f"#{new}", hashtags=(new,), version=2)
    place = replace(post, location=Location(name="elsewhere"), version=3)
    for index in order:
        await store.edit(post, (text, place)[index], [])
    stored = await store.get(post.post_id)
    assert stored is not None
    assert (stored.caption, stored.location, stored.version) == (text.caption, place.location, 3)
    listed = [await store.by_hashtag(tag, at(2026, 11), 10) for tag in (old, new)]
    assert listed == [[], [(post.post_id, author)]]


@pytest.mark.parametrize("publish_first", [True, False])
async def test_a_deleted_post_stays_deleted(store: CassandraPostStore, author: int, *, publish_first: bool) -> None:
    post = some_post(author, at(2026))
    await store.create(post)
    if publish_first:
        await store.publish(post, [])
    await store.delete(post, [])
    if not publish_first:
        await store.publish(post, [])
    stored = await store.get(post.post_id)
    assert stored is not None
    assert stored.status is PublishStatus.DELETED


async def test_older_counts_lose(store: CassandraPostStore, author: int) -> None:
    post = some_post(author, at(2026))
    await store.create(post)
    for sequence, likes in ((5, 2), (9, 4), (7, 3)):
        counts = {"like_count": likes, "comment_count": 0, "save_count": 0, "view_count": 0}
        await store.save_counts(PostCounted(post_id=post.post_id, sequence=sequence, **counts))
    assert [found.counts.like_count for found in await store.get_many([post.post_id, 5])] == [4]


async def test_counts_of_what_is_no_post_make_none(store: CassandraPostStore) -> None:
    post_id = at(2026)
    await store.save_counts(
        PostCounted(post_id=post_id, sequence=1, like_count=1, comment_count=0, save_count=0, view_count=0)
    )
    assert await store.get(post_id) is None
    assert await store.get_many([post_id, MAX_ID]) == []


async def test_tags_that_an_older_rule_found_in_the_caption_are_not_the_authors_own(
    store: CassandraPostStore, cassandra: Cassandra, author: int
) -> None:
    """Rows from before migration 0003: an edit of the caption takes those tags away, and keeps the author's own."""
    post = replace(some_post(author, at(2026)), caption="https://example.org/#about")
    await store.create(post)
    old = await cassandra.prepare(
        "UPDATE posts_by_id USING TIMESTAMP 2 SET hashtags = ?, explicit_hashtags = null WHERE post_id = ?", "edit"
    )
    await cassandra.execute(old, (["mine", "about"], post.post_id))
    before = await store.get(post.post_id)
    assert before
    assert before.explicit_hashtags == ("mine",)
    after = replace(before, caption="plain", hashtags=("mine",), version=before.version + 10)
    await store.edit(before, after, [])
    again = await store.get(post.post_id)
    assert again
    assert (again.hashtags, again.explicit_hashtags) == (("mine",), ("mine",))


async def test_results_of_media_are_stored(readiness: PostMediaReadiness) -> None:
    await readiness.save_result(ready(77))
    assert await readiness.results([77, 78]) == [ready(77)]
    await readiness.delete_result(77)
    assert await readiness.results([77]) == []


async def test_a_failure_after_the_success_changes_nothing(readiness: PostMediaReadiness) -> None:
    """A redelivered upload may be rejected, when too many uploads of its owner wait."""
    await readiness.save_result(failed(79))
    assert await readiness.results([79]) == [failed(79)]
    for media in (ready(79), failed(79)):
        await readiness.save_result(media)
        assert await readiness.results([79]) == [ready(79)]
