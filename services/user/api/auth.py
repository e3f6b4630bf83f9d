"""Routes of registration, login and sessions."""

from typing import Annotated

from fastapi import APIRouter, Cookie, Depends, Header, Request, Response
from fastapi.security import HTTPAuthorizationCredentials

from libs.common.core.errors import UnauthorizedError
from libs.common.web.auth import CurrentUser, Principal, bearer, optional_principal
from libs.common.web.paging import PagingDep
from libs.common.web.params import IdempotencyKey, PathId
from services.user.api.schemas import (
    Jwks,
    LoginRequest,
    Me,
    OwnUser,
    PasswordRequest,
    RefreshRequest,
    RegisterRequest,
    SessionList,
    SessionView,
    SignedInView,
    Tokens,
    User,
)
from services.user.api.use_cases import LoginLimitDep, PublicUrl, UseCases, require_own_origin
from services.user.domain.accounts import REFRESH_TOKEN_LIFE
from services.user.service.accounts import SignedIn
from services.user.service.profiles import Profiles

COOKIE = "feedmill_refresh"
COOKIE_PATH = "/v1/auth"
router = APIRouter(tags=["accounts"])

RefreshCookie = Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)]
UserAgent = Annotated[str, Header(include_in_schema=False)]


async def _principal_if_valid(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Principal | None:
    """The caller of a logout, if the access token is valid. An expired token must not prevent a logout."""
    try:
        return await optional_principal(request, credentials)
    except UnauthorizedError:
        return None


def _set_cookie(response: Response, token: str, public_url: str) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(REFRESH_TOKEN_LIFE.total_seconds()),
        path=COOKIE_PATH,
        secure=public_url.startswith("https://"),
        httponly=True,
        samesite="strict",
    )


async def _signed_in_view(signed_in: SignedIn, profiles: Profiles, response: Response, public_url: str) -> SignedInView:
    _set_cookie(response, signed_in.refresh_token, public_url)
    profile = await profiles.get(signed_in.user_id, signed_in.user_id)
    return SignedInView(
        user=User.of(profile, public_url),
        access_token=signed_in.access_token,
        refresh_token=signed_in.refresh_token,
    )


@router.post("/v1/auth/register", status_code=201, response_model=SignedInView)
async def register(
    body: RegisterRequest,
    response: Response,
    api: UseCases,
    public_url: PublicUrl,
    user_agent: UserAgent = "",
    key: IdempotencyKey = None,
) -> SignedInView:
    """Create an account and sign in. A repeat with the same key and password signs in to the same account."""
    signed_in = await api.accounts.register(body.registration(), user_agent, key)
    return await _signed_in_view(signed_in, api.profiles, response, public_url)


@router.post("/v1/auth/login", response_model=SignedInView)
async def login(
    body: LoginRequest,
    response: Response,
    api: UseCases,
    public_url: PublicUrl,
    limit: LoginLimitDep,
    user_agent: UserAgent = "",
) -> SignedInView:
    """Sign in with a username, an email address or a phone number."""
    await limit.count(body.name().lower())
    signed_in = await api.accounts.log_in(body.name(), body.password, user_agent)
    return await _signed_in_view(signed_in, api.profiles, response, public_url)


@router.post("/v1/auth/refresh", response_model=Tokens, response_model_exclude_none=True)
async def refresh(
    request: Request,
    response: Response,
    api: UseCases,
    public_url: PublicUrl,
    body: RefreshRequest | None = None,
    cookie: RefreshCookie = None,
) -> Tokens:
    """Exchange a refresh token for new tokens. With the cookie, the new refresh token is only in the cookie."""
    from_body = body and body.refresh_token
    if not from_body:
        require_own_origin(request)
    signed_in = await api.accounts.refresh(from_body or cookie)
    _set_cookie(response, signed_in.refresh_token, public_url)
    return Tokens(access_token=signed_in.access_token, refresh_token=signed_in.refresh_token if from_body else None)


@router.post("/v1/auth/logout", status_code=204, response_model=None)
async def logout(
    request: Request,
    response: Response,
    api: UseCases,
    public_url: PublicUrl,
    principal: Annotated[Principal | None, Depends(_principal_if_valid)],
    body: RefreshRequest | None = None,
    cookie: RefreshCookie = None,
) -> None:
    """End the session of the refresh token and the session of the access token. One of the tokens is enough."""
    from_body = body and body.refresh_token
    token = from_body or cookie
    if token is None and principal is None:
        raise UnauthorizedError
    if not from_body and principal is None:
        require_own_origin(request)
    await api.accounts.log_out(
        token, principal.user_id if principal else None, principal.session_id if principal else None
    )
    response.delete_cookie(
        COOKIE, path=COOKIE_PATH, secure=public_url.startswith("https://"), httponly=True, samesite="strict"
    )


@router.get("/v1/auth/me", response_model=Me)
async def me(principal: CurrentUser, api: UseCases, public_url: PublicUrl) -> Me:
    """Get the caller's own account, with its private fields."""
    profile = await api.profiles.get(principal.user_id, principal.user_id)
    return Me(user=OwnUser.own(profile, await api.accounts.contact(principal.user_id), public_url))


@router.get("/v1/auth/sessions", response_model=SessionList)
async def sessions(principal: CurrentUser, api: UseCases, paging: PagingDep) -> SessionList:
    """List the caller's active sessions, newest first."""
    listing = f"sessions:{principal.user_id}"
    page = await api.accounts.sessions(principal.user_id, paging.after(listing), paging.limit)
    views = [SessionView.of(session, principal.session_id) for session in page.items]
    return SessionList(sessions=views, **paging.fields(listing, page.last))


@router.delete("/v1/auth/sessions/{session_id}", status_code=204, response_model=None)
async def end_session(session_id: PathId, principal: CurrentUser, api: UseCases) -> None:
    """End one of the caller's sessions."""
    await api.accounts.end_session(principal.user_id, session_id)


@router.post("/v1/auth/password", status_code=204, response_model=None)
async def change_password(body: PasswordRequest, principal: CurrentUser, api: UseCases, limit: LoginLimitDep) -> None:
    """Change the password and end all other sessions. Attempts count as logins for the rate limit."""
    await limit.count(f"id:{principal.user_id}")
    await api.accounts.change_password(
        principal.user_id, principal.session_id, body.current_password, body.new_password
    )


@router.get("/.well-known/jwks.json", response_model=Jwks)
async def jwks(api: UseCases) -> Jwks:
    """Get the public keys of access tokens."""
    return Jwks(keys=api.keys.published())
