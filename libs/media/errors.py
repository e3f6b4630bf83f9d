"""Errors about media that several services answer with."""

from libs.common.core.errors import InvalidError


class MediaNotFoundError(InvalidError):
    """A media id does not belong to an upload of the caller."""

    code, title = "media_not_found", "Media not found"


class MediaFailedError(InvalidError):
    """A new post names an upload that could not be processed."""

    code, title = "media_failed", "The media could not be processed"


class NotAnImageError(InvalidError):
    """The file is not a JPEG, PNG or WebP image. The first bytes decide, not the declared type."""

    code, title = "media_type_not_accepted", "The type of the file is not accepted"
