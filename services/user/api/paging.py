"""Pages of users."""

from libs.common.core.paging import Page
from libs.common.web.paging import Paging
from services.user.api.schemas import User, UserList
from services.user.domain.people import Profile, SearchPage


def user_list(paging: Paging, listing: str, page: Page[Profile] | SearchPage, public_url: str) -> UserList:
    """Return the response of a list of users."""
    users = [User.of(profile, public_url) for profile in page.items]
    return UserList(users=users, **paging.fields(listing, page.last))
