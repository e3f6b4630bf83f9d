"""Who is calling: a person by access token, or another deployable by service token."""

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

ALGORITHM = "EdDSA"
_BEARER = re.compile(rb"bearer +([!-~]+)", re.IGNORECASE)  # RFC 9110 §11.1, §11.4: any case, 1*SP
ISSUER = "feedmill"
ACCESS_TOKEN_S = 900
SERVICE_TOKEN_S = 300
CHECKED_S, CHECKED_MAX = 60, 20_000  # tokens of half a kilobyte
_SERVICE_AUDIENCE = "feedmill-internal"
LEEWAY_S = 5  # clocks of two machines may differ by this much


class InvalidTokenError(UnauthorizedError):
    """The token was not issued by this system, or is damaged."""

    code, title = "invalid_token", "The token is not valid"


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
    """The token in the `Authorization` header. Everything that asks who is calling reads it here."""
    found = _BEARER.fullmatch(authorization(scope))
    return found[1].decode("ascii") if found else None


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in person."""

    user_id: int
    session_id: int
    role: str


class KeySource(Protocol):
    """Where the public keys of access tokens come from."""

    async def key(self, kid: str) -> Any | None:
        """The public key with this id, or None."""


class NoKeys:
    """Knows no key, so that every token is invalid."""

    async def key(self, _: str) -> Any | None:
        return None


class SessionRevocation(Protocol):
    """Who is to be let in no more."""

    async def holds(self, principal: Principal) -> bool | None:
        """Whether the session has ended, or the person is banned; None when it can't be told."""


class TokenVerifier:
    """Checks access tokens, each once a minute: that is most of what a kept page would cost.

    So a session that has ended may be let in for a minute more where its token was just seen.
    """

    def __init__(self, keys: KeySource, shut_out: SessionRevocation | None = None) -> None:
        self._keys = keys
        self._shut_out = shut_out
        self._checked: TTLCache[str, tuple[float, Principal]] = TTLCache(CHECKED_MAX, CHECKED_S)

    def known(self, token: str) -> Principal | None:
        """Who the token is of, if it was found good within the last minute."""
        expires_at, principal = self._checked.get(token, (0.0, None))
        return principal if time.time() < expires_at else None

    async def verify(self, token: str) -> Principal:
        """The person behind the token. Raises UnauthorizedError."""
        return await self.signed(token)

    async def signed(self, token: str) -> Principal:
        """Who the token says it is of.

        Raises:
            UnauthorizedError: not signed by us, expired, of another shape, or of a session that has ended.
        """
        if known := self.known(token):
            return known
        expires_at, principal = await self._check(token)
        held = await self._shut_out.holds(principal) if self._shut_out else False
        if held:
            raise SessionRevokedError
        if held is not None:
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
        return float(claims["exp"]), Principal(user_id, session_id, str(claims.get("role", "user")))


class ServiceTokens:
    """Short-lived tokens with which deployables call one another."""

    def __init__(self, secret: str, name: str) -> None:
        self._secret = secret
        self._name = name
        self._token = ""
        self._renew_at = 0.0
        self._checked: TTLCache[str, tuple[float, str]] = TTLCache(CHECKED_MAX, CHECKED_S)

    def header(self) -> str:
        """The `Authorization` value for a call from here."""
        if time.monotonic() >= self._renew_at:
            now = int(time.time())
            claims = {"iss": self._name, "aud": _SERVICE_AUDIENCE, "iat": now, "exp": now + SERVICE_TOKEN_S}
            self._token = f"Bearer {jwt.encode(claims, self._secret, algorithm='HS256')}"
            self._renew_at = time.monotonic() + SERVICE_TOKEN_S / 2
        return self._token

    def verify(self, token: str) -> str:
        """The calling deployable's name.

        Raises:
            UnauthorizedError: not signed with our secret, expired, or no service token.
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
    """FastAPI's entry in the OpenAPI document, with our reader of the header."""

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
    """The person signed in, or None for a call without a token; a bad token is an error all the same."""
    if credentials is None:
        if authorization(request.scope):
            raise UnauthorizedError("Use the header Authorization: Bearer <token>.")
        return None
    verifier: TokenVerifier = request.app.state.token_verifier
    return await verifier.verify(credentials.credentials)


async def reader_id(principal: Annotated[Principal | None, Depends(optional_principal)]) -> int | None:
    """The id of the person signed in, or None."""
    return principal.user_id if principal else None


async def require_principal(principal: Annotated[Principal | None, Depends(optional_principal)]) -> Principal:
    """The person signed in."""
    if principal is None:
        raise UnauthorizedError
    return principal


async def require_service(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_service_bearer)]
) -> str:
    """The deployable that calls; for routes under `/internal`."""
    if credentials is None:
        raise ForbiddenError("Only services of Feedmill may call this route.")
    tokens: ServiceTokens = request.app.state.service_tokens
    return tokens.verify(credentials.credentials)


CurrentUser = Annotated[Principal, Depends(require_principal)]
ReaderId = Annotated[int | None, Depends(reader_id)]
CallingService = Annotated[str, Depends(require_service)]
