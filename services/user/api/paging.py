"""Lists of users, page by page."""

from libs.common.web.paging import Paging
from services.user.api.schemas import User, UserList
from services.user.domain.people import Page, Profile


def user_list(paging: Paging, listing: str, page: Page[Profile, int] | Page[Profile, str], public_url: str) -> UserList:
    """The answer of a list of users."""
    users = [User.of(profile, public_url) for profile in page.items]
    return UserList(users=users, **paging.fields(listing, page.last))
