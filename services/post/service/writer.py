"""Making, publishing, changing and deleting posts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from libs.common.core.errors import NotFoundError, invalid_field
from libs.common.core.ids import id_time
from libs.contracts.base import utc_now
from libs.contracts.events import PostCreated, PostDeleted, PostEvent, PostUpdated
from libs.contracts.public import Location
from libs.contracts.records import EventOutbox, EventRecord
from libs.media.errors import MediaFailedError, MediaNotFoundError
from services.post.domain import (
    CREATED_VERSION,
    MAX_HASHTAGS,
    MAX_MENTIONS,
    Draft,
    MediaState,
    MediaStatus,
    Status,
    StoredPost,
    all_ready,
    failure_of,
    hashtags_of,
    mentions_of,
)
from services.post.errors import NotYourPostError, TooManyHashtagsError, TooManyMentionsError
from services.post.ports import MediaLibrary, PostStore


@dataclass(frozen=True, slots=True)
class Change:
    """What a PATCH asks for; None leaves the caption, `keep_location` the place."""

    caption: str | None
    location: Location | None
    keep_location: bool


class PostWriter:
    """Use cases that change posts. Each may run twice with the same ids."""

    def __init__(self, store: PostStore, media: MediaLibrary, outbox: EventOutbox) -> None:
        self._store = store
        self._media = media
        self._outbox = outbox

    async def create(self, author_id: int, post_id: int, draft: Draft) -> StoredPost:
        """A post from uploaded media; published when these are ready.

        Raises:
            InvalidError: an upload is not the author's, or failed; too many hashtags or mentions.
        """
        hashtags, mentions = _tags_and_mentions(draft.caption, draft.hashtags)
        states = await self._states(draft.media_ids)
        _check_media(author_id, draft.media_ids, states)
        post = StoredPost(
            post_id=post_id,
            author_id=author_id,
            caption=draft.caption,
            hashtags=hashtags,
            mentions=mentions,
            location=draft.location,
            media_ids=draft.media_ids,
            media=(),
            status=Status.PROCESSING,
            reason=None,
            version=CREATED_VERSION,
            created_at=id_time(post_id),
            edited_at=None,
            explicit_hashtags=tuple(draft.hashtags),
        )
        await self._store.create(post)
        return await self.settle(post_id) or post

    async def settle(self, post_id: int) -> StoredPost | None:
        """Publish or fail a post on its way, if its media are through; the post as it is then.

        Runs when a post was made and when an upload is through: whichever comes last finds all it needs.
        """
        post = await self._store.get(post_id)
        if post is None or post.status is not Status.PROCESSING:
            return post
        states = await self._states(post.media_ids)
        if reason := failure_of(states):
            await self._store.fail(post_id, reason)
            return replace(post, status=Status.FAILED, reason=reason)
        documents = all_ready(states, post.media_ids)
        if documents is None:
            return post
        published = replace(post, media=documents, status=Status.PUBLISHED)
        payload = PostCreated(
            post_id=post_id, author_id=post.author_id, created_at=post.created_at, media_ids=post.media_ids
        )
        events = [self._record(payload, CREATED_VERSION)]
        await self._store.publish(published, events)
        await self._outbox.committed(events)
        return published

    async def media_done(self, outcome: MediaState) -> None:
        """An upload is through, or failed: settle the posts that waited for it."""
        await self._store.keep_outcome(outcome)
        for post_id in await self._store.waiting_for(outcome.media_id):
            await self.settle(post_id)

    async def _states(self, media_ids: Sequence[int]) -> list[MediaState]:
        """As the topic told it; the media service is asked for the rest."""
        known = await self._store.outcomes(media_ids)
        rest = set(media_ids) - {state.media_id for state in known}
        return known + (await self._media.states(list(rest)) if rest else [])

    async def edit(self, author_id: int, post_id: int, change: Change) -> StoredPost:
        """Change one's own post. A change to what it already is changes nothing.

        Raises:
            NotFoundError, NotYourPostError.
            InvalidError: too many hashtags or mentions.
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
        # also of one that was on its way when it was read: it may be published, and its record kept, by now
        events = [self._record(PostUpdated(post_id=post_id, author_id=author_id), after.version)]
        await self._store.edit(before, after, events)
        await self._outbox.committed(events)
        return after

    async def delete(self, author_id: int, post_id: int) -> None:
        """Delete one's own post: gone for every reader at once.

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
    """Raises InvalidError for too many."""
    hashtags, mentions = hashtags_of(caption, explicit), mentions_of(caption)
    if len(hashtags) > MAX_HASHTAGS:
        raise invalid_field("caption", f"A post can have at most {MAX_HASHTAGS} hashtags.", TooManyHashtagsError)
    if len(mentions) > MAX_MENTIONS:
        raise invalid_field("caption", f"A caption can have at most {MAX_MENTIONS} mentions.", TooManyMentionsError)
    return hashtags, mentions


def _next_version(post: StoredPost) -> int:
    """Microseconds of wall time, and more than before whatever the clock says."""
    return max(post.version + 1, int(utc_now().timestamp() * 1_000_000))


def _check_media(author_id: int, media_ids: Sequence[int], states: Sequence[MediaState]) -> None:
    own = {state.media_id: state for state in states if state.owner_id == author_id}
    if unknown := [media_id for media_id in media_ids if media_id not in own]:
        raise invalid_field("media_ids", f"You have no upload with the id {unknown[0]}.", MediaNotFoundError)
    if any(state.status is MediaStatus.FAILED for state in own.values()):
        raise invalid_field("media_ids", "One of the uploads could not be processed.", MediaFailedError)
