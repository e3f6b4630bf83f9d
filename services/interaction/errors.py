"""Errors of the interaction service."""

from libs.common.core.errors import ForbiddenError, InvalidError


class NotYourCommentError(ForbiddenError):
    """The caller deletes a comment, but wrote neither the comment nor the post."""

    code, title = "not_your_comment", "Only the author of the comment or post may delete it"


class TooDeepError(InvalidError):
    """The caller replies to a reply."""

    code, title = "too_deep", "You cannot reply to a reply"
