"""Looking at people, and changing oneself."""

import re
from collections.abc import Sequence
from dataclasses import replace

from libs.common.core.errors import ForbiddenError, NotFoundError
from libs.contracts.base import utc_now
from libs.contracts.events import UserUpdated
from libs.contracts.records import EventOutbox
from libs.media.errors import MediaNotFoundError
from services.user.domain.people import Avatar, Page, Profile, ProfileChange
from services.user.errors import MediaNotReadyError
from services.user.ports import MediaLibrary, ProfileStore
from services.user.service.events import Clock, micros

_USERNAME_PART = re.compile(r"[a-z0-9_]{1,30}")


class Profiles:
    """Use cases of profiles."""

    def __init__(self, store: ProfileStore, media: MediaLibrary, events: EventOutbox, clock: Clock = utc_now) -> None:
        self._store = store
        self._media = media
        self._events = events
        self._clock = clock

    async def get(self, user_id: int, reader_id: int | None) -> Profile:
        """One profile.

        Raises:
            NotFoundError: there is no such account, or it is banned, or it blocks the reader.
        """
        found = await self.many([user_id], reader_id)
        if not found:
            raise NotFoundError
        return found[0]

    async def by_username(self, username: str, reader_id: int | None) -> Profile:
        """One profile, whatever the case of the name."""
        name = username.lower()
        user_id = await self._store.id_of(name) if _USERNAME_PART.fullmatch(name) else None
        if user_id is None:
            raise NotFoundError
        return await self.get(user_id, reader_id)

    async def many(self, user_ids: Sequence[int], reader_id: int | None) -> list[Profile]:
        """Those that the reader may see, in the order asked."""
        if not user_ids:
            return []
        by_id = {profile.user_id: profile for profile in await self._store.profiles(user_ids, reader_id)}
        return [by_id[user_id] for user_id in user_ids if user_id in by_id]

    async def page(self, rows: Sequence[tuple[int, int]], reader_id: int | None, limit: int) -> Page[Profile, int]:
        """The first people of `rows`, (place, id) of one more than the limit."""
        people = await self.many([user_id for _, user_id in rows[:limit]], reader_id)
        return Page(people, rows[limit - 1][0] if len(rows) > limit else None)

    async def authors(self, user_ids: Sequence[int], reader_id: int | None, *, posts: bool) -> list[Profile]:
        """Those whom no block parts from the reader; with `posts` only those whose posts the reader may see."""
        found = await self.many(user_ids, reader_id)
        return [p for p in found if (p.is_open_to(reader_id) if posts else not p.is_blocked)]

    async def search(self, prefix: str, reader_id: int | None, after: str | None, limit: int) -> Page[Profile, str]:
        """People whose username begins so, by username; an @ before it is not part of the name."""
        name = prefix.lower().removeprefix("@")
        if not _USERNAME_PART.fullmatch(name):
            return Page([], None)
        ids = await self._store.search(name, reader_id, after or "", limit + 1)
        people = await self.many(ids[:limit], reader_id)
        return Page(people, people[-1].username if len(ids) > limit and people else None)

    async def update(self, owner_id: int, user_id: int, change: ProfileChange, avatar_media_id: int | None) -> Profile:
        """Change one's own profile; `change.sets_avatar` with an `avatar_media_id` takes that upload.

        Raises:
            NotFoundError, ForbiddenError: nobody's profile, or another's.
            MediaNotFoundError, MediaNotReadyError: the upload can't be an avatar.
        """
        profile = await self.get(user_id, owner_id)
        if profile.user_id != owner_id:
            raise ForbiddenError
        if change.is_empty:
            return profile
        if change.sets_avatar and avatar_media_id is not None:
            avatar = await self._avatar(owner_id, avatar_media_id)
            change = replace(change, avatar=avatar)
        records = await self._store.update(
            owner_id,
            change,
            micros(self._clock()),
            lambda version: self._events.record(UserUpdated(user_id=owner_id), owner_id, version),
        )
        await self._events.committed(records)
        return await self.get(owner_id, owner_id)

    async def _avatar(self, owner_id: int, media_id: int) -> Avatar:
        media = await self._media.for_profile(owner_id, media_id)
        if media is None or media.owner_id != owner_id:
            raise MediaNotFoundError
        if media.avatar is None:
            raise MediaNotReadyError
        return media.avatar
