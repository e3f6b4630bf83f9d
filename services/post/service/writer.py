"""Use cases that create, publish, change and delete posts."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from libs.common.core.errors import NotFoundError, invalid_field
from libs.common.core.ids import id_time
from libs.contracts.base import utc_now
from libs.contracts.events import PostCreated, PostDeleted, PostEvent, PostUpdated
from libs.contracts.public import Location
from libs.contracts.records import EventOutbox, EventRecord
from libs.media.errors import MediaFailedError, MediaNotFoundError
from libs.media.readiness import MediaReadiness, MediaReadinessStore, MediaStatus, documents_if_ready, failure_reason
from services.post.domain import (
    CREATED_VERSION,
    MAX_HASHTAGS,
    MAX_MENTIONS,
    Draft,
    PublishStatus,
    StoredPost,
    hashtags_of,
    mentions_of,
)
from services.post.errors import NotYourPostError, TooManyHashtagsError, TooManyMentionsError
from services.post.ports import PostMedia, PostStore

Write = Callable[[StoredPost, Sequence[EventRecord]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PostChange:
    """The change of a PATCH. A caption of None, and `keep_location`, leave the field unchanged."""

    caption: str | None
    location: Location | None
    keep_location: bool


class PostWriter:
    """Use cases that change posts. All are idempotent."""

    def __init__(self, store: PostStore, readiness: MediaReadinessStore, media: PostMedia, outbox: EventOutbox) -> None:
        self._store = store
        self._readiness = readiness
        self._media = media
        self._outbox = outbox

    async def create(self, author_id: int, post_id: int, draft: Draft, *, just_uploaded: bool = False) -> StoredPost:
        """Create a post from uploaded media. It is published at once if these are ready.

        Args:
            just_uploaded: the author uploaded the media in this request, so they need no check.

        Raises:
            InvalidError: an upload failed or belongs to another user, or there are too many hashtags or mentions.
        """
        hashtags, mentions = _tags_and_mentions(draft.caption, draft.hashtags)
        post = StoredPost(
            post_id=post_id,
            author_id=author_id,
            caption=draft.caption,
            hashtags=hashtags,
            mentions=mentions,
            location=draft.location,
            media_ids=draft.media_ids,
            media=(),
            status=PublishStatus.PROCESSING,
            reason=None,
            version=CREATED_VERSION,
            created_at=id_time(post_id),
            edited_at=None,
            explicit_hashtags=tuple(draft.hashtags),
        )
        if not just_uploaded:
            states = await self._states(post.media_ids)
            _check_media(author_id, post.media_ids, states)
            if documents := documents_if_ready(states, post.media_ids):
                return await self._publish(replace(post, media=documents), self._store.create)
        await self._store.create(post)
        # A result that arrived before the post was stored found no waiting post. Later results find it.
        if await self._readiness.results(post.media_ids):
            return await self.publish_if_ready(post_id) or post
        return post

    async def publish_if_ready(self, post_id: int) -> StoredPost | None:
        """Publish the post if its media are ready, or fail it if one failed. Return the post, None when it is unknown.

        Runs after a post was created and after an upload was processed. Whichever comes last has all it needs.
        """
        post = await self._store.get(post_id)
        if post is None or post.status is not PublishStatus.PROCESSING:
            return post
        states = await self._states(post.media_ids)
        if reason := failure_reason(states):
            await self._store.fail(post_id, reason)
            return replace(post, status=PublishStatus.FAILED, reason=reason)
        documents = documents_if_ready(states, post.media_ids)
        if documents is None:
            return post
        return await self._publish(replace(post, media=documents), self._store.publish)

    async def _publish(self, post: StoredPost, write: Write) -> StoredPost:
        published = replace(post, status=PublishStatus.PUBLISHED)
        payload = PostCreated(
            post_id=post.post_id, author_id=post.author_id, created_at=post.created_at, media_ids=post.media_ids
        )
        events = [self._record(payload, CREATED_VERSION)]
        await write(published, events)
        await self._outbox.committed(events)
        return published

    async def media_finished(self, media: MediaReadiness) -> None:
        """Store the result of an upload. Publish or fail the posts that waited for it."""
        await self._readiness.save_result(media)
        for post_id in await self._readiness.waiting_for(media.media_id):
            await self.publish_if_ready(post_id)

    async def _states(self, media_ids: Sequence[int]) -> list[MediaReadiness]:
        """Return the stored results, and ask the media service for the others."""
        known = await self._readiness.results(media_ids)
        rest = set(media_ids) - {state.media_id for state in known}
        return known + (await self._media.states(list(rest)) if rest else [])

    async def edit(self, author_id: int, post_id: int, change: PostChange) -> StoredPost:
        """Change a post of the author. A change to the present content is not written.

        Raises:
            NotFoundError, NotYourPostError.
            InvalidError: there are too many hashtags or mentions.
        """
        before = await self._own(author_id, post_id)
        caption = before.caption if change.caption is None else change.caption
        location = before.location if change.keep_location else change.location
        if (caption, location) == (before.caption, before.location):
            return before
        hashtags, mentions = before.hashtags, before.mentions
        if caption != before.caption:
            hashtags, mentions = _tags_and_mentions(caption, before.explicit_hashtags)
        after = replace(
            before,
            caption=caption,
            hashtags=hashtags,
            mentions=mentions,
            location=location,
            version=_next_version(before),
            edited_at=utc_now(),
        )
        # also for a post that was processing when it was read: it may already be published and cached
        events = [self._record(PostUpdated(post_id=post_id, author_id=author_id), after.version)]
        await self._store.edit(before, after, events)
        await self._outbox.committed(events)
        return after

    async def delete(self, author_id: int, post_id: int) -> None:
        """Delete a post of the author. Every reader stops seeing it at once.

        Raises:
            NotFoundError, NotYourPostError.
        """
        post = await self._own(author_id, post_id)
        post = replace(post, version=_next_version(post))
        payload = PostDeleted(post_id=post_id, author_id=author_id, media_ids=post.media_ids)
        events = [self._record(payload, post.version)]
        await self._store.delete(post, events)
        await self._outbox.committed(events)

    def _record(self, payload: PostEvent, version: int) -> EventRecord:
        return self._outbox.record(payload, payload.post_id, version)

    async def _own(self, author_id: int, post_id: int) -> StoredPost:
        post = await self._store.get(post_id)
        if post is None or not post.visible_to(author_id):
            raise NotFoundError
        if post.author_id != author_id:
            raise NotYourPostError
        return post


def _tags_and_mentions(caption: str, explicit: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return hashtags and mentions. Raises InvalidError when there are too many."""
    hashtags, mentions = hashtags_of(caption, explicit), mentions_of(caption)
    if len(hashtags) > MAX_HASHTAGS:
        raise invalid_field("caption", f"A post can have at most {MAX_HASHTAGS} hashtags.", TooManyHashtagsError)
    if len(mentions) > MAX_MENTIONS:
        raise invalid_field("caption", f"A caption can have at most {MAX_MENTIONS} mentions.", TooManyMentionsError)
    return hashtags, mentions


def _next_version(post: StoredPost) -> int:
    """Return the time in microseconds, or one more than the present version if the clock is behind it."""
    return max(post.version + 1, int(utc_now().timestamp() * 1_000_000))


def _check_media(author_id: int, media_ids: Sequence[int], states: Sequence[MediaReadiness]) -> None:
    own = {state.media_id: state for state in states if state.owner_id == author_id}
    if unknown := [media_id for media_id in media_ids if media_id not in own]:
        raise invalid_field("media_ids", f"You have no upload with the id {unknown[0]}.", MediaNotFoundError)
    if any(state.status is MediaStatus.FAILED for state in own.values()):
        raise invalid_field("media_ids", "One of the uploads could not be processed.", MediaFailedError)
