"""Lists of people, page by page."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from libs.common.web.pagination import DEFAULT_LIMIT, PEOPLE_LIMIT, CursorParam, Cursors, Limit
from services.user.api.state import CursorsDep, PublicUrl
from services.user.domain.people import Page, Profile
from services.user.schemas import User, UserList


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page is asked for, and the form of the answer."""

    limit: int
    cursor: str | None
    cursors: Cursors
    public_url: str

    def after(self, listing: str) -> int | None:
        """Where the page begins; raises InvalidCursorError when the cursor is of another list."""
        return self.cursors.after(listing, self.cursor)

    def answer(self, listing: str, page: Page[Profile, int] | Page[Profile, str]) -> UserList:
        """The page, with the cursor of the next one."""
        following = None if page.last is None else self.cursors.encode(listing, [page.last])
        users = [User.of(profile, self.public_url) for profile in page.items]
        return UserList(users=users, next_cursor=following, has_more=following is not None)


def _paging(default_limit: int) -> Callable[..., Awaitable[Paging]]:
    async def paging(
        cursors: CursorsDep, public_url: PublicUrl, limit: Limit = default_limit, cursor: CursorParam = None
    ) -> Paging:
        return Paging(limit, cursor, cursors, public_url)

    return paging


PagingDep = Annotated[Paging, Depends(_paging(DEFAULT_LIMIT))]
LongPagingDep = Annotated[Paging, Depends(_paging(PEOPLE_LIMIT))]
