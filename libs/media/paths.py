"""Paths of media. They contain a secret, so that the address of a picture cannot be guessed."""

import hashlib
import hmac
import secrets

from libs.contracts.media import MediaDocument

SECRET_BYTES = 16
_OLD_PARTS = 4  # prefix/user/media/file, in documents from before secrets were introduced


def media_folder(owner_id: int, media_id: int) -> str:
    """The folder of an upload's variants. The prefix distributes users over 256 folders."""
    prefix = hashlib.sha256(str(owner_id).encode()).hexdigest()[:2]
    return f"{prefix}/{owner_id}/{media_id}"


def new_secret() -> str:
    """128 random bits, in hexadecimal."""
    return secrets.token_hex(SECRET_BYTES)


class SecretPaths:
    """Derives secrets for uploads from before secrets were introduced, from a secret of the server (ADR 15)."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"feedmill media paths", hashlib.sha256)

    def secret_of(self, media_id: int) -> str:
        """The derived secret of an upload that has none of its own."""
        return hmac.digest(self._key, str(media_id).encode(), hashlib.sha256)[:SECRET_BYTES].hex()

    def path(self, stored: str) -> str:
        """The path with the secret; unchanged if it has one."""
        parts = stored.split("/")
        if len(parts) != _OLD_PARTS:
            return stored
        *folder, file = parts
        return "/".join([*folder, self.secret_of(int(folder[-1])), file])

    def document(self, stored: MediaDocument) -> MediaDocument:
        """The document with secrets in all paths."""
        paths = {name: self.path(path) for name, path in stored.paths.items()}
        return stored.model_copy(update={"paths": paths})
