"""Calls from one deployable to another."""

from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
import stamina

from libs.common.runtime.auth import ServiceTokens
from libs.common.runtime.context import request_id, traceparent
from libs.common.runtime.errors import NotFoundError, UnavailableError, relayed_problem

CONNECT_S = 0.5
DEADLINE_S = 3.0
POOL_SIZE = 64
_RETRIED = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)


class ServiceClient:
    """Speaks JSON to one service, signed with a service token. Idempotent calls are tried twice."""

    def __init__(self, name: str, base_url: str, tokens: ServiceTokens, deadline_s: float = DEADLINE_S) -> None:
        self.name = name
        self._tokens = tokens
        self._http = aiohttp.ClientSession(
            base_url,
            connector=aiohttp.TCPConnector(limit=POOL_SIZE),
            timeout=aiohttp.ClientTimeout(deadline_s, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )

    async def get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        """The answer's JSON. Raises NotFoundError for 404, UnavailableError for anything but success."""
        return await self._send("GET", path, params=params)

    async def query(self, path: str, body: Any) -> Any:
        """A read whose question is too long for a URL: POST, but safe to repeat."""
        return await self._send("POST", path, data=orjson.dumps(body))

    async def send_bytes(self, path: str, body: bytes, content_type: str, params: dict[str, Any]) -> Any:
        """Hand a file over. What the service has against it (4xx) is raised as the service's own problem."""
        status, answer = await self._request("POST", path, content_type, data=body, params=params)
        if 400 <= status < 500:
            raise relayed_problem(orjson.loads(answer))
        return self._json(status, answer)

    async def _send(self, method: str, path: str, **request: Any) -> Any:
        status, answer = await self._request(method, path, "application/json", **request)
        if status == 404:
            raise NotFoundError
        return self._json(status, answer)

    def _json(self, status: int, answer: bytes) -> Any:
        if status >= 400:
            raise UnavailableError(f"the {self.name} service answered {status}")
        return orjson.loads(answer)

    async def _request(self, method: str, path: str, content_type: str, **request: Any) -> tuple[int, bytes]:
        """Status and body."""
        headers = {"Authorization": self._tokens.header(), "Content-Type": content_type}
        if rid := request_id():
            headers["X-Request-Id"] = rid
        if trace := traceparent():
            headers["traceparent"] = trace
        try:
            async for attempt in stamina.retry_context(on=_RETRIED, attempts=2, wait_initial=0.02, wait_jitter=0.05):
                with attempt:
                    async with self._http.request(method, path, headers=headers, **request) as response:
                        return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnavailableError(f"the {self.name} service does not answer") from error
        raise AssertionError("unreachable: the loop returns or raises")

    async def close(self) -> None:
        """Close the pool."""
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()
