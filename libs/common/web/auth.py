"""Authentication: access tokens of users, and service tokens of deployables."""

import re
import time
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import jwt
from cachetools import TTLCache
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection
from starlette.types import Scope

from libs.common.core.errors import ForbiddenError, UnauthorizedError
from libs.common.core.ids import parse_id
from libs.telemetry.caches import count_reads

ALGORITHM = "EdDSA"
_BEARER = re.compile(rb"bearer +([!-~]+)", re.IGNORECASE)  # RFC 9110 §11.1, §11.4: any case, 1*SP
ISSUER = "feedmill"
ACCESS_TOKEN_S = 900
SERVICE_TOKEN_S = 300
CHECKED_S, CHECKED_MAX = 60, 20_000  # verified tokens in memory; each has about half a kilobyte
_SERVICE_AUDIENCE = "feedmill-internal"
LEEWAY_S = 5  # clocks of two machines may differ by this much


class InvalidTokenError(UnauthorizedError):
    """The token was not issued by this system, or is damaged."""

    code, title = "invalid_token", "The access token is not valid"


class TokenExpiredError(UnauthorizedError):
    """The access token has expired. A refresh gives a new one."""

    code, title = "token_expired", "The access token has expired"


class SessionRevokedError(UnauthorizedError):
    """The session of the access token has ended, or the account is banned."""

    code, title = "session_revoked", "The session has ended"


def authorization(scope: Scope) -> bytes:
    """The `Authorization` header; empty when there is none."""
    return next((value for name, value in scope["headers"] if name == b"authorization"), b"").strip()


def bearer_token(scope: Scope) -> str | None:
    """Return the token of the header `Authorization: Bearer <token>`, or None for a missing or malformed header.

    All code reads the token here, so that no two parsers differ.
    """
    found = _BEARER.fullmatch(authorization(scope))
    return found[1].decode("ascii") if found else None


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in user."""

    user_id: int
    session_id: int


class KeySource(Protocol):
    """Provides the public keys of access tokens."""

    async def key(self, kid: str) -> Any | None:
        """The public key with this id; None if there is none. May raise UnavailableError."""


class NoKeys:
    """A key source without keys: all tokens are invalid."""

    async def key(self, _: str) -> Any | None:
        return None


class SessionRevocation(Protocol):
    """Tells which sessions were revoked before their access tokens expire."""

    async def is_revoked(self, principal: Principal) -> bool | None:
        """True if the session has ended or the user is banned; None if this is unknown. Never raises."""


class TokenVerifier:
    """Verifies access tokens, and remembers valid ones for a minute, since verification takes most of a cached read.

    So a process may accept the token of a revoked session for up to a minute.
    """

    def __init__(self, keys: KeySource, revocation: SessionRevocation | None = None) -> None:
        self._keys = keys
        self._revocation = revocation
        self._checked: TTLCache[str, tuple[float, Principal]] = TTLCache(CHECKED_MAX, CHECKED_S)

    def known(self, token: str) -> Principal | None:
        """The user of the token if it was verified in the last minute, else None."""
        expires_at, principal = self._checked.get(token, (0.0, None))
        return principal if time.time() < expires_at else None

    async def verify(self, token: str) -> Principal:
        """The user of the token. Subclasses may add checks. Raises the errors of `signed`."""
        return await self.signed(token)

    async def signed(self, token: str) -> Principal:
        """The user of the token, according to its signature and the revoked sessions.

        Raises:
            UnauthorizedError: the token is expired or not valid, or its session is revoked.
            UnavailableError: the public key is not available.
        """
        known = self.known(token)
        count_reads("access_tokens", hits=int(known is not None), misses=int(known is None))
        if known is not None:
            return known
        expires_at, principal = await self._check(token)
        is_revoked = await self._revocation.is_revoked(principal) if self._revocation else False
        if is_revoked:
            raise SessionRevokedError
        if is_revoked is not None:
            self._checked[token] = (expires_at, principal)
        return principal

    async def _check(self, token: str) -> tuple[float, Principal]:
        try:
            kid = jwt.get_unverified_header(token).get("kid", "")
            key = await self._keys.key(kid)
            if key is None:
                raise InvalidTokenError
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "sub", "sid"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenExpiredError from error
        except jwt.PyJWTError as error:
            raise InvalidTokenError from error
        user_id, session_id = parse_id(str(claims["sub"])), parse_id(str(claims["sid"]))
        if user_id is None or session_id is None:
            raise InvalidTokenError
        return float(claims["exp"]), Principal(user_id, session_id)


class ServiceTokens:
    """Creates and verifies the short-lived tokens of calls between deployables."""

    def __init__(self, secret: str, name: str) -> None:
        self._secret = secret
        self._name = name
        self._token = ""
        self._renew_at = 0.0
        self._checked: TTLCache[str, tuple[float, str]] = TTLCache(CHECKED_MAX, CHECKED_S)

    def header(self) -> str:
        """The `Authorization` header for calls of this deployable."""
        if time.monotonic() >= self._renew_at:
            now = int(time.time())
            claims = {"iss": self._name, "aud": _SERVICE_AUDIENCE, "iat": now, "exp": now + SERVICE_TOKEN_S}
            self._token = f"Bearer {jwt.encode(claims, self._secret, algorithm='HS256')}"
            self._renew_at = time.monotonic() + SERVICE_TOKEN_S / 2
        return self._token

    def verify(self, token: str) -> str:
        """Return the name of the calling deployable.

        Raises:
            UnauthorizedError: the token is expired, not signed with our secret, or not a service token.
        """
        expires_at, caller = self._checked.get(token, (0.0, ""))
        if time.time() < expires_at:
            return caller
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                audience=_SERVICE_AUDIENCE,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss"]},
            )
        except jwt.PyJWTError as error:
            raise InvalidTokenError("This is not a service token.") from error
        self._checked[token] = (float(claims["exp"]), str(claims["iss"]))
        return str(claims["iss"])


class _Bearer(HTTPBearer):
    """Declares the scheme in the OpenAPI document as FastAPI does, but reads the header with `bearer_token`."""

    async def __call__(self, request: HTTPConnection) -> HTTPAuthorizationCredentials | None:
        token = bearer_token(request.scope)
        return None if token is None else HTTPAuthorizationCredentials(scheme="Bearer", credentials=token)


bearer = _Bearer(
    auto_error=False,
    scheme_name="access_token",
    bearerFormat="JWT",
    description=f"The `access_token` of POST /v1/auth/login, valid for {ACCESS_TOKEN_S // 60} minutes.",
)
_service_bearer = _Bearer(auto_error=False, scheme_name="service_token")


async def optional_principal(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Principal | None:
    """FastAPI dependency: the signed-in user, or None without a token.

    Raises:
        UnauthorizedError: the token is not valid, or the header has another scheme.
    """
    if credentials is None:
        if authorization(request.scope):
            raise UnauthorizedError("Use the header Authorization: Bearer <token>.")
        return None
    verifier: TokenVerifier = request.app.state.token_verifier
    return await verifier.verify(credentials.credentials)


async def reader_id(principal: Annotated[Principal | None, Depends(optional_principal)]) -> int | None:
    """FastAPI dependency: the id of the signed-in user, or None without a token."""
    return principal.user_id if principal else None


async def require_principal(principal: Annotated[Principal | None, Depends(optional_principal)]) -> Principal:
    """FastAPI dependency: the signed-in user. Raises UnauthorizedError."""
    if principal is None:
        raise UnauthorizedError
    return principal


async def require_service(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_service_bearer)]
) -> str:
    """FastAPI dependency of routes under `/internal`: the name of the calling deployable.

    Raises:
        ForbiddenError: there is no token.
        UnauthorizedError: the token is not a valid service token.
    """
    if credentials is None:
        raise ForbiddenError("Only services of Feedmill may call this route.")
    tokens: ServiceTokens = request.app.state.service_tokens
    return tokens.verify(credentials.credentials)


CurrentUser = Annotated[Principal, Depends(require_principal)]
ReaderId = Annotated[int | None, Depends(reader_id)]
CallingService = Annotated[str, Depends(require_service)]
