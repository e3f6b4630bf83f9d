"""Dependencies of the routes."""

import hashlib
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from libs.common.stores.rate import RateLimit
from libs.common.web.app import use_cases
from libs.common.web.limits import MINUTE_S, RequestLimits, client_address
from services.user.errors import ForeignOriginError
from services.user.security.keys import KeyFolder
from services.user.service.accounts import Accounts
from services.user.service.audiences import Audiences
from services.user.service.blocks_and_mutes import BlocksAndMutes
from services.user.service.graph import FollowGraph
from services.user.service.profiles import Profiles
from services.user.service.reconciliation import CountReconciliation
from services.user.settings import UserSettings


@dataclass(frozen=True, slots=True)
class UserUseCases:
    """The use cases, as composed in `__main__`."""

    accounts: Accounts
    profiles: Profiles
    graph: FollowGraph
    blocks_and_mutes: BlocksAndMutes
    audiences: Audiences
    reconciliation: CountReconciliation
    keys: KeyFolder


UseCases = Annotated[UserUseCases, Depends(use_cases)]


async def _public_url(request: Request) -> str:
    settings: UserSettings = request.app.state.settings
    return settings.public_url


PublicUrl = Annotated[str, Depends(_public_url)]


def require_own_origin(request: Request) -> None:
    """Check the Origin header of a request that only the cookie authorizes. Raises ForeignOriginError."""
    settings: UserSettings = request.app.state.settings
    origin = request.headers.get("origin")
    own = (urlsplit(settings.public_url).netloc, request.headers.get("host"))
    if origin and urlsplit(origin).netloc not in own and origin not in settings.cors_origins.split(","):
        raise ForeignOriginError


class LoginLimit:
    """Limits logins from an address, and logins to an account even if it does not exist."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._limit = RateLimit("logins", request.app.state.settings.logins_a_minute, MINUTE_S)

    async def count(self, account: str) -> None:
        """Count a login. Raises RateLimitedError, or UnavailableError when Redis cannot count."""
        limits: RequestLimits = self._request.app.state.request_limits
        name = hashlib.sha256(account.encode()).hexdigest()  # hashed because people enter passwords here by mistake
        for key in (f"ip:{client_address(self._request.scope)}", f"account:{name}"):
            await limits.enforce(self._request.scope, key, self._limit)


LoginLimitDep = Annotated[LoginLimit, Depends(LoginLimit)]
