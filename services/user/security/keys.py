"""Keys of access tokens: a folder of Ed25519 keys, of which the newest signs."""

import base64
import hashlib
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from libs.common.core.logging import get_logger
from libs.common.web.auth import ACCESS_TOKEN_S, ALGORITHM, ISSUER

FIRST_KEY = "first.pem"
RESCAN_S = 5.0  # how soon an added key is used, and the minimum time between scans for unknown key ids
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair; `kid` is its RFC 7638 thumbprint."""

    kid: str
    private: Ed25519PrivateKey
    public: Ed25519PublicKey
    jwk: dict[str, str]

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """Read a PEM file. Raises TypeError for a key of another type."""
        private = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise TypeError(f"{path.name} is not an Ed25519 key")
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        jwk = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
        kid = _base64url(hashlib.sha256(orjson.dumps(jwk, option=orjson.OPT_SORT_KEYS)).digest())
        return cls(kid, private, private.public_key(), {**jwk, "kid": kid, "alg": ALGORITHM, "use": "sig"})


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def ensure_key(folder: Path) -> None:
    """Create the first key unless a key exists. Of processes that start together, one creates it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(folder.glob("*.pem")):
        return
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = folder / f".{secrets.token_hex(8)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, folder / FIRST_KEY)
    finally:
        draft.unlink()


class KeyFolder:
    """Signs, verifies and publishes keys. A key that is added to the folder is used without a restart.

    Implements `ports.TokenSigner` and `libs.common.web.auth.KeySource`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ensure_key(folder)
        self._keys: list[SigningKey] = []
        self._scan()
        if not self._keys:
            raise RuntimeError(f"no usable key in {folder}")

    def sign(self, user_id: int, session_id: int, role: str, now: datetime) -> str:
        self._rescan()
        key, issued = self._keys[0], int(now.timestamp())
        claims = {
            "iss": ISSUER,
            "sub": str(user_id),
            "sid": str(session_id),
            "role": role,  # no route asks for it yet; when one does, every living token has it
            "iat": issued,
            "exp": issued + ACCESS_TOKEN_S,
        }
        return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.kid})

    async def key(self, kid: str) -> Any | None:
        """Return the public key with this id, or None."""
        if found := self._find(kid):
            return found
        self._rescan()
        return self._find(kid)

    def published(self) -> list[dict[str, str]]:
        """Return all public keys as JWKs. The folder is read again: another process may sign with a newer key."""
        self._scan()
        return [key.jwk for key in self._keys]

    def _find(self, kid: str) -> Ed25519PublicKey | None:
        return next((key.public for key in self._keys if key.kid == kid), None)

    def _rescan(self) -> None:
        if time.monotonic() >= self._next_scan:
            self._scan()

    def _scan(self) -> None:
        found = list[tuple[int, str, SigningKey]]()
        for path in self._folder.glob("*.pem"):
            try:
                # Kubernetes writes all files of a Secret again, as links. So their times say nothing.
                added_ns = 0 if path.is_symlink() else path.stat().st_mtime_ns
                found.append((added_ns, path.name, SigningKey.load(path)))
            except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:
                # The file is incomplete, or was deleted during the scan.
                log.warning("key_not_usable", file=path.name, error=repr(error))
        self._keys = [key for *_, key in sorted(found, key=itemgetter(0, 1), reverse=True)] or self._keys
        self._next_scan = time.monotonic() + RESCAN_S
