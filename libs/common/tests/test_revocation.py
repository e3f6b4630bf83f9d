"""Revoked sessions, on a real Redis and through the check of access tokens."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr
from redis.asyncio import Redis

from libs.common.core.errors import UnauthorizedError
from libs.common.core.settings import Settings
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.common.testing.eventually import eventually
from libs.common.web.auth import ALGORITHM, Principal, TokenVerifier
from libs.common.web.revocation import LIFE_S, RedisRevokedSessions

pytestmark = pytest.mark.stores
KEY = Ed25519PrivateKey.generate()
ADA = Principal(5, 6)


class OneKey:
    async def key(self, kid: str) -> object | None:
        return KEY.public_key()


def token() -> str:
    now = datetime.now(UTC)
    claims = {"iss": "feedmill", "sub": "5", "sid": "6", "role": "user", "iat": now, "exp": now + timedelta(minutes=15)}
    return jwt.encode(claims, KEY, ALGORITHM)


@pytest.fixture
async def revoked_sessions(redis: "Redis", store_env: dict[str, str]) -> AsyncIterator[RedisRevokedSessions]:
    settings = settings_for(Settings, store_env)
    yield RedisRevokedSessions(redis, settings)
    async for key in redis.scan_iter(match=f"{settings.redis_prefix('shutout')}*"):
        assert await redis.ttl(key) <= LIFE_S
        await redis.delete(key)


async def test_sessions_end_one_by_one_and_bans_hold_for_all(revoked_sessions: RedisRevokedSessions) -> None:
    others = [Principal(5, 7), Principal(8, 9)]
    await revoked_sessions.end([6])
    assert [await revoked_sessions.is_revoked(who) for who in (ADA, *others)] == [True, False, False]
    await revoked_sessions.ban(5)
    assert [await revoked_sessions.is_revoked(who) for who in others] == [True, False]
    await revoked_sessions.unban(5)
    assert [await revoked_sessions.is_revoked(who) for who in (ADA, *others)] == [True, False, False]


async def test_a_token_that_was_seen_is_looked_at_again(
    revoked_sessions: RedisRevokedSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.common.web.auth.CHECKED_S", 0.05)
    verifier, held = TokenVerifier(OneKey(), revoked_sessions), token()
    assert await verifier.verify(held) == ADA
    await revoked_sessions.end([6])

    async def refused() -> bool:
        try:
            await verifier.verify(held)
        except UnauthorizedError as error:
            return error.code == "session_revoked"
        return False

    await eventually(refused)


async def test_without_redis_a_token_is_good_until_it_expires(store_env: dict[str, str]) -> None:
    settings = settings_for(Settings, store_env).model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    async with open_redis(settings) as away:
        nothing = RedisRevokedSessions(away, settings)
        await nothing.end([6])
        await nothing.ban(5)
        await nothing.unban(5)
        assert await TokenVerifier(OneKey(), nothing).verify(token()) == ADA
