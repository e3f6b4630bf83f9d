"""Errors of the interaction service."""

from libs.common.core.errors import ForbiddenError, InvalidError


class NotYourCommentError(ForbiddenError):
    """The caller wrote neither the comment nor the post."""

    code, title = "not_your_comment", "Only its author, or the post's, may delete a comment"


class TooDeepError(InvalidError):
    """A reply to a reply."""

    code, title = "too_deep", "Replies go to comments on the post itself"
