"""Use cases of likes, saves, comments and views."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from libs.common.core.errors import NotFoundError
from libs.common.core.paging import Page, Placed, visible_page
from libs.contracts.events import (
    CommentCreated,
    CommentDeleted,
    CommentLikeCreated,
    CommentLikeDeleted,
    InteractionEvent,
    LikeCreated,
    LikeDeleted,
    SaveCreated,
    SaveDeleted,
    ViewRecorded,
)
from libs.contracts.internal.interaction import PostMarks
from libs.contracts.public import Author, Post
from libs.contracts.records import EventOutbox
from services.interaction.domain import (
    CREATED,
    DELETED,
    NO_PARENT,
    Mark,
    MarkKind,
    StoredComment,
    from_top_position,
    top_position,
)
from services.interaction.errors import NotYourCommentError, TooDeepError
from services.interaction.ports import ActiveMarks, CommentStore, CountLedger, MarkStore, ReadablePosts, VisiblePeople
from services.interaction.service.views import Comment

REPLIES_PER_BATCH = 50  # replies of a deleted comment that are deleted in one batch

_MARK_EVENTS: dict[tuple[MarkKind, bool], type[InteractionEvent]] = {
    (MarkKind.LIKE, True): LikeCreated,
    (MarkKind.LIKE, False): LikeDeleted,
    (MarkKind.SAVE, True): SaveCreated,
    (MarkKind.SAVE, False): SaveDeleted,
}


class LikesAndSaves:
    """Likes and saves. All changes are idempotent."""

    def __init__(
        self,
        store: MarkStore,
        active: ActiveMarks,
        comments: CommentStore,
        ledger: CountLedger,
        posts: ReadablePosts,
        people: VisiblePeople,
        outbox: EventOutbox,
        mint: Callable[[], int],
    ) -> None:
        self._store = store
        self._active = active
        self._comments = comments
        self._ledger = ledger
        self._posts = posts
        self._people = people
        self._outbox = outbox
        self._mint = mint

    async def set(self, user_id: int, kind: MarkKind, post_id: int, *, active: bool) -> int:
        """Set or remove the mark. Return the count including it.

        Raises:
            NotFoundError: the post does not exist or is hidden. A mark on a hidden post can still be removed.
        """
        mark = await self._store.get(user_id, kind, post_id)
        is_marked = mark is not None and mark.active
        author_id = await visible_author_id(self._posts, None if is_marked and not active else user_id, post_id)
        if active != is_marked:
            payload = _MARK_EVENTS[kind, active](post_id=post_id, author_id=author_id, actor_id=user_id)
            await self._change(kind, post_id, mark, payload)
        counted = await self._ledger.counted(post_id, kind, user_id)
        return counted.shown(is_member=active)

    async def like_comment(self, user_id: int, comment_id: int, *, active: bool) -> int:
        """Like a comment, or remove the like. Return the number of likes including it.

        Raises:
            NotFoundError: the comment or its post is deleted or hidden. Likes on hidden comments can be removed.
        """
        comment = await self._comments.get(comment_id)
        mark = await self._store.get(user_id, MarkKind.COMMENT_LIKE, comment_id)
        is_marked = mark is not None and mark.active
        reader_id = None if is_marked and not active else user_id
        # Also called for an absent comment, so that the response time does not reveal whether it exists.
        post_author = await self._posts.author_of(reader_id, comment.post_id if comment else comment_id)
        people = await self._people.people(user_id, [comment.author_id if comment else user_id])
        if comment is None or comment.deleted or post_author is None:
            raise NotFoundError
        if reader_id is not None and comment.author_id not in people:
            raise NotFoundError
        if active != is_marked:
            payload = (CommentLikeCreated if active else CommentLikeDeleted)(
                post_id=comment.post_id,
                author_id=post_author,
                actor_id=user_id,
                comment_id=comment_id,
                parent_id=comment.parent_id or None,
            )
            await self._change(MarkKind.COMMENT_LIKE, comment_id, mark, payload)
        counted = await self._ledger.counted(comment_id, MarkKind.COMMENT_LIKE, user_id)
        return counted.shown(is_member=active)

    async def _change(self, kind: MarkKind, target_id: int, before: Mark | None, payload: InteractionEvent) -> None:
        version = max(self._mint(), before.version + 1 if before else 0)
        active = before is None or not before.active
        mark_id = version if active or before is None else before.mark_id
        events = [self._outbox.record(payload, f"{target_id}:{payload.actor_id}", version)]
        await self._store.put(Mark(payload.actor_id, kind, target_id, mark_id, version, active), events)
        await self._outbox.committed(events)
        self._active.forget(payload.actor_id)

    async def likers(self, reader_id: int, post_id: int, before_id: int, limit: int) -> Page[Author]:
        """Return users who liked a post, newest like first. Positions are mark ids. Raises NotFoundError."""
        await visible_author_id(self._posts, reader_id, post_id)

        async def read(before: int, count: int) -> Sequence[Placed[int]]:
            return await self._store.list(post_id, MarkKind.LIKE, before, count)

        async def show(rows: Sequence[Placed[int]]) -> Sequence[Placed[Author]]:
            people = await self._people.people(reader_id, [member for _, member in rows])
            return [(mark_id, people[member]) for mark_id, member in rows if member in people]

        return await visible_page(read, show, before_id, limit)

    async def saved(self, user_id: int, before_id: int, limit: int) -> Page[Post]:
        """Return saved posts, last saved first, without deleted and hidden ones. Positions are mark ids."""

        async def read(before: int, count: int) -> Sequence[Placed[int]]:
            return await self._store.list(user_id, MarkKind.SAVE, before, count)

        async def show(rows: Sequence[Placed[int]]) -> Sequence[Placed[Post]]:
            marks = {post_id: mark_id for mark_id, post_id in rows}
            return [(marks[post.post_id], post) for post in await self._posts.hydrate(user_id, list(marks))]

        return await visible_page(read, show, before_id, limit)

    async def of(self, reader_id: int | None, post_ids: Sequence[int]) -> list[PostMarks]:
        """Return counts and the reader's marks. A count is at least 1 if the reader has the mark."""

        async def active() -> set[tuple[MarkKind, int]]:
            return await self._active.active(reader_id, post_ids) if reader_id is not None else set()

        counts, marked = await asyncio.gather(self._ledger.counts(post_ids), active())
        liked, saved = ({p for kind, p in marked if kind is wanted} for wanted in (MarkKind.LIKE, MarkKind.SAVE))
        return [
            PostMarks.model_construct(
                post_id=p,
                like_count=max(counts[p].like_count, int(p in liked)),
                save_count=max(counts[p].save_count, int(p in saved)),
                comment_count=counts[p].comment_count,
                view_count=counts[p].view_count,
                is_liked=p in liked,
                is_saved=p in saved,
            )
            for p in post_ids
        ]


class Comments:
    """Comments, replies and views."""

    def __init__(
        self,
        store: CommentStore,
        marks: MarkStore,
        ledger: CountLedger,
        posts: ReadablePosts,
        people: VisiblePeople,
        outbox: EventOutbox,
    ) -> None:
        self._store = store
        self._marks = marks
        self._ledger = ledger
        self._posts = posts
        self._people = people
        self._outbox = outbox

    async def add(self, author_id: int, post_id: int, comment_id: int, text: str, parent_id: int | None) -> Comment:
        """Add a comment.

        Raises:
            NotFoundError: the post or the parent does not exist or is hidden.
            TooDeepError: the parent is itself a reply.
        """
        post_author = await visible_author_id(self._posts, author_id, post_id)
        parent = None if parent_id is None else await self._parent(post_id, parent_id)
        needed = {author_id, parent.author_id if parent else author_id}
        people = await self._people.people(author_id, list(needed))
        if people.keys() < needed:
            raise NotFoundError
        comment = StoredComment(comment_id, post_id, parent_id or NO_PARENT, author_id, text)
        payload = CommentCreated(
            post_id=post_id, author_id=post_author, actor_id=author_id, comment_id=comment_id, parent_id=parent_id
        )
        events = [self._outbox.record(payload, str(comment_id), CREATED)]
        await self._store.add(comment, events)
        await self._outbox.committed(events)
        if parent_id is not None and not await self._exists(parent_id):  # deleted concurrently
            await self._delete([comment], post_author)
            raise NotFoundError
        return _public(comment, people[author_id], 0, is_liked=False)

    async def _parent(self, post_id: int, parent_id: int) -> StoredComment:
        parent = await self._store.get(parent_id)
        if parent is None or parent.deleted or parent.post_id != post_id:
            raise NotFoundError
        if parent.parent_id != NO_PARENT:
            raise TooDeepError
        return parent

    async def delete(self, user_id: int, comment_id: int) -> None:
        """Delete a comment with its replies. Allowed to its author and to the post's author.

        Raises:
            NotFoundError, NotYourCommentError.
        """
        comment = await self._store.get(comment_id)
        # Also called for an absent comment, so that the response time does not reveal whether it exists.
        post_author = await self._posts.author_of(None, comment.post_id if comment else comment_id)
        if comment is None or comment.deleted or post_author is None:
            raise NotFoundError
        if user_id not in (comment.author_id, post_author):
            await visible_author_id(self._posts, user_id, comment.post_id)
            raise NotYourCommentError
        await self._delete_replies(comment, post_author)
        await self._delete([comment], post_author)
        await self._delete_replies(comment, post_author)  # replies added concurrently

    async def _exists(self, comment_id: int) -> bool:
        comment = await self._store.get(comment_id)
        return comment is not None and not comment.deleted

    async def _delete_replies(self, comment: StoredComment, post_author: int) -> None:
        while replies := await self._store.list(comment.post_id, comment.comment_id, 0, REPLIES_PER_BATCH):
            await self._delete(replies, post_author)

    async def _delete(self, comments: Sequence[StoredComment], post_author: int) -> None:
        events = [
            self._outbox.record(
                CommentDeleted(post_id=c.post_id, author_id=post_author, actor_id=c.author_id, comment_id=c.comment_id),
                str(c.comment_id),
                DELETED,
            )
            for c in comments
        ]
        await self._store.delete(comments, events)
        await self._outbox.committed(events)

    async def list(
        self, reader_id: int, post_id: int, parent_id: int | None, after_id: int, limit: int
    ) -> Page[Comment]:
        """Return comments on the post, or replies, oldest first. Raises NotFoundError."""
        await visible_author_id(self._posts, reader_id, post_id)

        async def read(after: int, count: int) -> Sequence[Placed[StoredComment]]:
            comments = await self._store.list(post_id, parent_id or NO_PARENT, after, count)
            return [(comment.comment_id, comment) for comment in comments]

        return await visible_page(read, partial(self._visible, reader_id), after_id, limit)

    async def top(self, reader_id: int, post_id: int, parent_id: int | None, beyond: int, limit: int) -> Page[Comment]:
        """Return the most liked first, then the newest; after them comments without likes, oldest first.

        `beyond` and the position of the page are a `top_position`, from the likes at the time the comment was shown.

        Raises:
            NotFoundError: the post does not exist or is hidden.
        """
        await visible_author_id(self._posts, reader_id, post_id)
        parent = parent_id or NO_PARENT

        async def read(beyond: int, count: int) -> Sequence[Placed[StoredComment]]:
            found: list[Placed[StoredComment]] = []
            if beyond > 0:
                liked = await self._store.list_liked(post_id, parent, from_top_position(beyond), count)
                found += [(top_position(likes, comment.comment_id), comment) for likes, comment in liked]
            after_id = max(0, -beyond)
            while len(found) < count:
                rows = await self._store.list(post_id, parent, after_id, count)
                likes = await self._ledger.comment_likes([row.comment_id for row in rows])
                found += [(top_position(0, row.comment_id), row) for row in rows if not likes[row.comment_id]]
                if len(rows) < count:
                    break
                after_id = rows[-1].comment_id
            return found[:count]

        return await visible_page(read, partial(self._visible, reader_id), beyond, limit)

    async def _visible(self, reader_id: int, rows: Sequence[Placed[StoredComment]]) -> Sequence[Placed[Comment]]:
        ids = [comment.comment_id for _, comment in rows]
        people, likes, liked = await asyncio.gather(
            self._people.people(reader_id, list({comment.author_id for _, comment in rows})),
            self._ledger.comment_likes(ids),
            self._marks.active(reader_id, [MarkKind.COMMENT_LIKE], ids),
        )
        mine = {comment_id for _, comment_id in liked}
        return [
            (place, _public(c, people[c.author_id], likes[c.comment_id], is_liked=c.comment_id in mine))
            for place, c in rows
            if c.author_id in people
        ]

    async def record_view(self, user_id: int, post_id: int) -> None:
        """Record that the user saw the post. A user is counted once. Raises NotFoundError."""
        author_id = await visible_author_id(self._posts, user_id, post_id)
        payload = ViewRecorded(post_id=post_id, author_id=author_id, actor_id=user_id)
        events = [self._outbox.record(payload, f"{post_id}:{user_id}", CREATED)]
        await self._store.record(events)
        await self._outbox.committed(events)


async def visible_author_id(posts: ReadablePosts, reader_id: int | None, post_id: int) -> int:
    """Return the author of a post that the reader may see. Without a reader, the post only has to exist.

    Raises:
        NotFoundError.
    """
    author_id = await posts.author_of(reader_id, post_id)
    if author_id is None:
        raise NotFoundError
    return author_id


def _public(comment: StoredComment, author: Author, likes: int, *, is_liked: bool) -> Comment:
    return Comment(
        comment_id=comment.comment_id,
        post_id=comment.post_id,
        parent_id=comment.parent_id or None,
        author=author,
        text=comment.text,
        like_count=max(likes, int(is_liked)),
        is_liked=is_liked,
        created_at=comment.created_at,
    )
