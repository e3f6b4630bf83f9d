"""Errors of the post service."""

from libs.common.core.errors import ForbiddenError, UnsupportedMediaError


class NotYourPostError(ForbiddenError):
    """The caller sees the post, but may not change it."""

    code, title = "not_your_post", "Only its author may change a post"


class ContentTypeError(UnsupportedMediaError):
    """A body that is neither JSON nor multipart."""

    title = "Send application/json or multipart/form-data"
