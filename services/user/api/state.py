"""What routes find on the application."""

import hashlib
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from libs.common.stores.rate import Limit
from libs.common.web.limits import MINUTE_S, RequestLimits, client_address
from libs.common.web.pagination import Cursors
from services.user.errors import ForeignOriginError
from services.user.keys import KeyFolder
from services.user.service.accounts import Accounts
from services.user.service.audiences import Audiences
from services.user.service.barriers import Barriers
from services.user.service.graph import Graph
from services.user.service.profiles import Profiles
from services.user.service.tallies import Tallies
from services.user.settings import UserSettings


async def _accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


async def _profiles(request: Request) -> Profiles:
    profiles: Profiles = request.app.state.profiles
    return profiles


async def _graph(request: Request) -> Graph:
    graph: Graph = request.app.state.graph
    return graph


async def _barriers(request: Request) -> Barriers:
    barriers: Barriers = request.app.state.barriers
    return barriers


async def _audiences(request: Request) -> Audiences:
    audiences: Audiences = request.app.state.audiences
    return audiences


async def _tallies(request: Request) -> Tallies:
    tallies: Tallies = request.app.state.tallies
    return tallies


async def _cursors(request: Request) -> Cursors:
    cursors: Cursors = request.app.state.cursors
    return cursors


async def _public_url(request: Request) -> str:
    settings: UserSettings = request.app.state.settings
    return settings.public_url


def require_own_origin(request: Request) -> None:
    """For what the cookie alone allows: browsers say which page asks. Raises ForeignOriginError."""
    settings: UserSettings = request.app.state.settings
    origin = request.headers.get("origin")
    own = (urlsplit(settings.public_url).netloc, request.headers.get("host"))
    if origin and urlsplit(origin).netloc not in own and origin not in settings.cors_origins.split(","):
        raise ForeignOriginError


class LoginLimit:
    """Holds for an address, and for an account whether or not it exists."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._limit = Limit("logins", request.app.state.settings.logins_a_minute, MINUTE_S)

    async def count(self, account: str) -> None:
        """Raises RateLimitedError, and UnavailableError when it can't be counted."""
        limits: RequestLimits = self._request.app.state.request_limits
        name = hashlib.sha256(account.encode()).hexdigest()  # people type other things there by mistake
        for who in (f"ip:{client_address(self._request.scope)}", f"account:{name}"):
            await limits.insist(self._request.scope, who, self._limit)


async def _keys(request: Request) -> KeyFolder:
    keys: KeyFolder = request.app.state.keys
    return keys


AccountsDep = Annotated[Accounts, Depends(_accounts)]
ProfilesDep = Annotated[Profiles, Depends(_profiles)]
GraphDep = Annotated[Graph, Depends(_graph)]
BarriersDep = Annotated[Barriers, Depends(_barriers)]
AudiencesDep = Annotated[Audiences, Depends(_audiences)]
TalliesDep = Annotated[Tallies, Depends(_tallies)]
CursorsDep = Annotated[Cursors, Depends(_cursors)]
PublicUrl = Annotated[str, Depends(_public_url)]
LoginLimitDep = Annotated[LoginLimit, Depends(LoginLimit)]
Keys = Annotated[KeyFolder, Depends(_keys)]
