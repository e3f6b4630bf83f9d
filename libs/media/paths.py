"""Paths of media have a secret part, so that nobody finds a picture whose address they were not given."""

import hashlib
import hmac
import secrets

from libs.contracts.media import MediaDocument

SECRET_BYTES = 16
_OLD_PARTS = 4  # prefix/user/media/file, in documents from before there were secrets


def media_folder(owner_id: int, media_id: int) -> str:
    """Where a medium's variants lie; the prefix spreads people over 256 folders."""
    prefix = hashlib.sha256(str(owner_id).encode()).hexdigest()[:2]
    return f"{prefix}/{owner_id}/{media_id}"


def new_secret() -> str:
    """128 random bits, in hexadecimal."""
    return secrets.token_hex(SECRET_BYTES)


class SecretPaths:
    """Gives media from before there were secrets one each, derived from the server's own (ADR 15)."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"feedmill media paths", hashlib.sha256)

    def secret_of(self, media_id: int) -> str:
        """The secret of a medium that was given none when it was uploaded."""
        return hmac.digest(self._key, str(media_id).encode(), hashlib.sha256)[:SECRET_BYTES].hex()

    def path(self, stored: str) -> str:
        """With the secret."""
        parts = stored.split("/")
        if len(parts) != _OLD_PARTS:
            return stored
        *folder, file = parts
        return "/".join([*folder, self.secret_of(int(folder[-1])), file])

    def document(self, stored: MediaDocument) -> MediaDocument:
        """With the secret in all paths."""
        paths = {name: self.path(path) for name, path in stored.paths.items()}
        return stored.model_copy(update={"paths": paths})
