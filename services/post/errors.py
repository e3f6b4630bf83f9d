"""Errors of the post service."""

from libs.common.core.errors import ForbiddenError, InvalidError


class NotYourPostError(ForbiddenError):
    """The caller edits or deletes a visible post of another user."""

    code, title = "not_your_post", "Only the author may change a post"


class TooManyHashtagsError(InvalidError):
    """The caption and `hashtags` together have too many hashtags."""

    code, title = "too_many_hashtags", "Too many hashtags"


class TooManyMentionsError(InvalidError):
    """The caption mentions too many users."""

    code, title = "too_many_mentions", "Too many mentions"
