"""What a client of the user service can act on."""

from libs.common.core.errors import ConflictError, ForbiddenError, InvalidError, UnauthorizedError


class UsernameTakenError(ConflictError):
    code, title = "username_taken", "The username is taken"


class EmailTakenError(ConflictError):
    code, title = "email_taken", "The email address is taken"


class PhoneTakenError(ConflictError):
    code, title = "phone_taken", "The phone number is taken"


class InvalidCredentialsError(UnauthorizedError):
    code, title = "invalid_credentials", "No account with this login and password"


class InvalidRefreshTokenError(UnauthorizedError):
    code, title = "invalid_refresh_token", "Sign in again"


class RefreshTokenReusedError(UnauthorizedError):
    code, title = "refresh_token_reused", "The token was used before; sign in again"


class SessionRevokedError(UnauthorizedError):
    code, title = "session_revoked", "The session has ended; sign in again"


class AccountBannedError(ForbiddenError):
    code, title = "account_banned", "The account is banned"


class ForeignOriginError(ForbiddenError):
    code, title = "foreign_origin", "This web page may not use the session cookie"


class WrongPasswordError(InvalidError):
    code, title = "wrong_password", "The current password is another"


class PasswordIsNameError(InvalidError):
    code, title = "password_is_name", "The password must not be the username, the email address or the phone number"


class CannotFollowSelfError(InvalidError):
    code, title = "cannot_follow_self", "One can't follow oneself"


class CannotBlockSelfError(InvalidError):
    code, title = "cannot_block_self", "One can't block or mute oneself"


class BlockedByYouError(ConflictError):
    code, title = "blocked_by_you", "Unblock them first"


class MediaNotFoundError(InvalidError):
    code, title = "media_not_found", "No such media of one's own"


class MediaNotReadyError(ConflictError):
    code, title = "media_not_ready", "The media can't be shown, or not yet"
