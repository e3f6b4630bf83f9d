"""Errors of the user service."""

from libs.common.core.errors import ConflictError, ForbiddenError, InvalidError, UnauthorizedError


class UsernameTakenError(ConflictError):
    """Another account has the username."""

    code, title = "username_taken", "The username is taken"


class EmailTakenError(ConflictError):
    """Another account has the email address."""

    code, title = "email_taken", "The email address is taken"


class PhoneTakenError(ConflictError):
    """Another account has the phone number."""

    code, title = "phone_taken", "The phone number is taken"


class InvalidCredentialsError(UnauthorizedError):
    """No account has this login, or the password is wrong."""

    code, title = "invalid_credentials", "The login or the password is incorrect"


class InvalidRefreshTokenError(UnauthorizedError):
    """The refresh token is missing, unknown or expired, its session has ended, or the account is banned."""

    code, title = "invalid_refresh_token", "The refresh token is not valid"


class RefreshTokenReusedError(UnauthorizedError):
    """An old refresh token is used again after its successor. The session ends."""

    code, title = "refresh_token_reused", "The refresh token was used before"


class AccountBannedError(ForbiddenError):
    """The login is correct, but the account is banned."""

    code, title = "account_banned", "The account is banned"


class ForeignOriginError(ForbiddenError):
    """A page of another site sends the session cookie."""

    code, title = "foreign_origin", "The session cookie is not accepted from this origin"


class WrongPasswordError(InvalidError):
    """The current password is wrong when the password is changed."""

    code, title = "wrong_password", "The current password is incorrect"


class PasswordIsNameError(InvalidError):
    """The new password is the username, the email address or the phone number of the account."""

    code, title = "password_is_name", "The password must not be a name of the account"


class CannotFollowSelfError(InvalidError):
    """The caller follows their own account."""

    code, title = "cannot_follow_self", "You cannot follow yourself"


class CannotBlockSelfError(InvalidError):
    """The caller blocks or mutes their own account."""

    code, title = "cannot_block_self", "You cannot block or mute yourself"


class BlockedByYouError(ConflictError):
    """The caller follows an account that the caller blocks."""

    code, title = "blocked_by_you", "Unblock this user first"


class MediaNotReadyError(ConflictError):
    """The media for the avatar is not processed yet, or failed."""

    code, title = "media_not_ready", "The avatar image is not available"
