"""Use cases of profiles."""

import re
from collections.abc import Sequence
from dataclasses import replace

from libs.common.core.errors import ForbiddenError, NotFoundError
from libs.common.core.paging import Page
from libs.contracts.base import utc_now
from libs.contracts.events import UserUpdated
from libs.contracts.records import EventOutbox
from libs.media.errors import MediaNotFoundError
from services.user.domain.people import Avatar, Profile, ProfileChange, SearchPage
from services.user.errors import MediaNotReadyError
from services.user.ports import ProfileMedia, ProfileStore
from services.user.service.events import Clock, micros

_USERNAME_PART = re.compile(r"[a-z0-9_]{1,30}")


class Profiles:
    """Reads, searches and changes profiles."""

    def __init__(self, store: ProfileStore, media: ProfileMedia, events: EventOutbox, clock: Clock = utc_now) -> None:
        self._store = store
        self._media = media
        self._events = events
        self._clock = clock

    async def get(self, user_id: int, reader_id: int | None) -> Profile:
        """Return a profile.

        Raises:
            NotFoundError: the account does not exist, is banned, or blocks the reader.
        """
        found = await self.many([user_id], reader_id)
        if not found:
            raise NotFoundError
        return found[0]

    async def by_username(self, username: str, reader_id: int | None) -> Profile:
        """Return a profile by username in upper or lower case. Raises NotFoundError as `get` does."""
        name = username.lower()
        user_id = await self._store.id_of(name) if _USERNAME_PART.fullmatch(name) else None
        if user_id is None:
            raise NotFoundError
        return await self.get(user_id, reader_id)

    async def many(self, user_ids: Sequence[int], reader_id: int | None) -> list[Profile]:
        """Return the profiles that the reader may see, in the order of `user_ids`."""
        if not user_ids:
            return []
        by_id = {profile.user_id: profile for profile in await self._store.profiles(user_ids, reader_id)}
        return [by_id[user_id] for user_id in user_ids if user_id in by_id]

    async def page(self, rows: Sequence[tuple[int, int]], reader_id: int | None, limit: int) -> Page[Profile]:
        """Return a page of profiles. `rows` are (position, user id), up to one more than the limit."""
        people = await self.many([user_id for _, user_id in rows[:limit]], reader_id)
        return Page(people, rows[limit - 1][0] if len(rows) > limit else None)

    async def authors(self, user_ids: Sequence[int], reader_id: int | None, *, posts: bool) -> list[Profile]:
        """Return users who neither block the reader nor are blocked by them.

        With `posts`, return only users whose posts the reader may see.
        """
        found = await self.many(user_ids, reader_id)
        return [p for p in found if (p.is_open_to(reader_id) if posts else not p.is_blocked)]

    async def search(self, prefix: str, reader_id: int | None, after: str | None, limit: int) -> SearchPage:
        """Return users by the start of their username. An @ before it is ignored."""
        name = prefix.lower().removeprefix("@")
        if not _USERNAME_PART.fullmatch(name):
            return SearchPage([], None)
        ids = await self._store.search(name, reader_id, after or "", limit + 1)
        people = await self.many(ids[:limit], reader_id)
        return SearchPage(people, people[-1].username if len(ids) > limit and people else None)

    async def update(self, owner_id: int, user_id: int, change: ProfileChange, avatar_media_id: int | None) -> Profile:
        """Change the owner's profile. `change.sets_avatar` with `avatar_media_id` attaches that upload.

        Raises:
            NotFoundError: the profile does not exist.
            ForbiddenError: the profile belongs to another user.
            MediaNotFoundError, MediaNotReadyError: the upload cannot become an avatar.
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
