"""What a caller of the media service can do wrong."""

from libs.common.core.errors import ApiError, ConflictError, ForbiddenError, InvalidError, UnsupportedMediaError


class UploadUrlInvalidError(ForbiddenError):
    code, title = "upload_url_invalid", "The upload URL is wrong or has expired"


class UploadMissingError(ConflictError):
    code, title = "upload_missing", "Nothing has been put to the upload URL yet"


class MediaInUseError(ConflictError):
    code, title = "media_in_use", "A post or the profile shows it"


class TooMuchUnpostedError(ApiError):
    """An account's uploads that no post shows have a limit; posting or deleting some makes room."""

    status, code, title = 429, "too_much_unposted", "Post or delete some of your uploads first"
    headers = {"Retry-After": "3600"}


class UploadCompletedError(ConflictError):
    code, title = "upload_completed", "The upload is complete and can't be changed"


class SizeMismatchError(InvalidError):
    code, title = "size_mismatch", "Not as many bytes as declared"


class TypeMismatchError(UnsupportedMediaError):
    code, title = "media_type_mismatch", "The Content-Type is not the declared one"


class NotAnImageError(InvalidError):
    code, title = "media_type_not_accepted", "The file is not an image of an accepted type"


class BrokenBodyError(InvalidError):
    code, title = "body_incomplete", "The body broke off"
