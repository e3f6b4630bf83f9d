"""Errors of the media service."""

from libs.common.core.errors import ApiError, ConflictError, ForbiddenError, InvalidError, UnsupportedMediaError


class UploadUrlInvalidError(ForbiddenError):
    """The signature in the upload URL is wrong, or the URL has expired."""

    code, title = "upload_url_invalid", "The upload URL is invalid or has expired"


class UploadMissingError(ConflictError):
    """The upload is completed before its bytes were sent."""

    code, title = "upload_missing", "The file has not been uploaded yet"


class UploadCompletedError(ConflictError):
    """Bytes are sent to an upload that is already complete."""

    code, title = "upload_completed", "The upload is already complete"


class MediaInUseError(ConflictError):
    """The caller deletes an upload that a post or a profile shows."""

    code, title = "media_in_use", "A post or a profile uses this media"


class TooMuchUnpostedError(ApiError):
    """The uploads of the account that are not posted exceed their limit."""

    status, code, title = 429, "too_much_unposted", "Unposted uploads exceed the size limit"
    headers = {"Retry-After": "3600"}


class SizeMismatchError(InvalidError):
    """The file is empty, or its size differs from the declared size."""

    code, title = "size_mismatch", "The file does not have the declared size"


class TypeMismatchError(UnsupportedMediaError):
    """The `Content-Type` of the upload differs from the declared type."""

    code, title = "media_type_mismatch", "The Content-Type differs from the declared type"


class BrokenBodyError(InvalidError):
    """The connection closed before the whole body arrived."""

    code, title = "body_incomplete", "The body is incomplete"
