"""The sample world under limits and load."""

import httpx2
import pytest

from ops.client import ApiFailure, when_allowed


def failure(status: int, code: str, headers: dict[str, str] | None = None) -> ApiFailure:
    request = httpx2.Request("POST", "http://feedmill.test/v1/auth/register")
    return ApiFailure(httpx2.Response(status, json={"code": code}, headers=headers, request=request))


async def test_who_is_told_to_come_back_does() -> None:
    failures = [failure(429, "rate_limited", {"Retry-After": "0"}), failure(503, "overloaded", {"Retry-After": "0"})]

    async def ask() -> str:
        if failures:
            raise failures.pop()
        return "registered"

    assert await when_allowed(ask) == "registered"


async def test_any_other_failure_is_told() -> None:
    async def ask() -> str:
        raise failure(409, "username_taken")

    with pytest.raises(ApiFailure):
        await when_allowed(ask)
