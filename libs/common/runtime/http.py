"""Calls from one deployable to another."""

from types import TracebackType
from typing import Any, Self

import httpx2
import orjson
import stamina

from libs.common.runtime.auth import ServiceTokens
from libs.common.runtime.context import request_id, traceparent
from libs.common.runtime.errors import NotFoundError, UnavailableError, relayed_problem

CONNECT_S = 0.5
DEADLINE_S = 3.0
POOL_SIZE = 64
_RETRIED = (httpx2.ConnectError, httpx2.RemoteProtocolError, httpx2.ReadError)


class ServiceClient:
    """Speaks JSON to one service, signed with a service token. Idempotent calls are tried twice."""

    def __init__(self, name: str, base_url: str, tokens: ServiceTokens, deadline_s: float = DEADLINE_S) -> None:
        self.name = name
        self._tokens = tokens
        self._http = httpx2.AsyncClient(
            base_url=base_url,
            timeout=httpx2.Timeout(deadline_s, connect=CONNECT_S),
            limits=httpx2.Limits(max_connections=POOL_SIZE, max_keepalive_connections=POOL_SIZE),
        )

    async def get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        """The answer's JSON. Raises NotFoundError for 404, UnavailableError for anything but success."""
        return await self._send("GET", path, params=params)

    async def query(self, path: str, body: Any) -> Any:
        """A read whose question is too long for a URL: POST, but safe to repeat."""
        return await self._send("POST", path, content=orjson.dumps(body))

    async def send_bytes(self, path: str, body: bytes, content_type: str, params: dict[str, Any]) -> Any:
        """Hand a file over. What the service has against it (4xx) is raised as the service's own problem."""
        response = await self._request("POST", path, content_type, content=body, params=params)
        if 400 <= response.status_code < 500:
            problem = orjson.loads(response.content)
            raise relayed_problem(problem)
        return self._json(response)

    async def _send(self, method: str, path: str, **request: Any) -> Any:
        response = await self._request(method, path, "application/json", **request)
        if response.status_code == 404:
            raise NotFoundError
        return self._json(response)

    def _json(self, response: httpx2.Response) -> Any:
        if response.status_code >= 400:
            raise UnavailableError(f"the {self.name} service answered {response.status_code}")
        return orjson.loads(response.content)

    async def _request(self, method: str, path: str, content_type: str, **request: Any) -> httpx2.Response:
        headers = {"Authorization": self._tokens.header(), "Content-Type": content_type}
        if rid := request_id():
            headers["X-Request-Id"] = rid
        if trace := traceparent():
            headers["traceparent"] = trace
        try:
            async for attempt in stamina.retry_context(on=_RETRIED, attempts=2, wait_initial=0.02, wait_jitter=0.05):
                with attempt:
                    return await self._http.request(method, path, headers=headers, **request)
        except httpx2.HTTPError as error:
            raise UnavailableError(f"the {self.name} service does not answer") from error
        raise AssertionError("unreachable: the loop returns or raises")

    async def close(self) -> None:
        """Close the pool."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()
