"""HTTP calls from one deployable to another."""

import re
import time
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
from opentelemetry.trace import SpanKind

from libs.common.core.context import caller, remaining_s, request_id
from libs.common.core.dependency import Dependency
from libs.common.core.errors import NotFoundError, UnavailableError
from libs.common.core.policies import SERVICE_FILE, SERVICE_READ, Policy
from libs.common.core.settings import Settings
from libs.common.web.auth import ServiceTokens
from libs.common.web.problems import RelayedError
from libs.telemetry.metrics import exemplar, histogram
from libs.telemetry.tracing import Attributes, child_span, is_sampled, mark_failed, traceparent

CONNECT_S = 0.5
POOL_SIZE = 64
DEADLINE_HEADER = "X-Deadline-Ms"
CALLER_HEADER = "X-Caller"  # the caller of the original request; trusted only in calls of deployables
CALL_SECONDS = histogram("feedmill_call_seconds")
_ID = re.compile(r"/\d+")
_NOT_REACHED = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)


class ServiceClient:
    """Calls one service with JSON and a service token, under a policy."""

    def __init__(
        self, name: str, url: str, settings: Settings, tokens: ServiceTokens, policy: Policy = SERVICE_READ
    ) -> None:
        self.name = name
        self._tokens = tokens
        self._policy = policy
        label = f"{name}-files" if policy is SERVICE_FILE else name  # slow uploads get their own circuit breaker
        self._url = url
        parts = urlsplit(url)
        self._address, self._port = parts.hostname or "", parts.port or 80
        self._dependency = Dependency(label, settings, self._probe, (aiohttp.ClientError,), retried=_NOT_REACHED)
        self._http = aiohttp.ClientSession(
            self._url,
            connector=aiohttp.TCPConnector(limit=POOL_SIZE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S * settings.timeout_factor),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )

    async def get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        """The JSON answer. Raises NotFoundError for status 404, UnavailableError for other errors."""
        return await self._send("GET", path, params=params)

    async def query(self, path: str, body: Any) -> Any:
        """The JSON answer to a read whose parameters are too long for a URL: a POST that may be retried.

        Raises:
            NotFoundError: the status is 404.
            UnavailableError: there was no answer, or another error.
        """
        return await self._send("POST", path, data=orjson.dumps(body))

    async def send_bytes(self, path: str, body: bytes, content_type: str, params: dict[str, Any]) -> Any:
        """Upload a file; the JSON answer. Raises the service's own problem for 4xx, else UnavailableError."""
        status, answer = await self._request("POST", path, content_type, data=body, params=params)
        if 400 <= status < 500:
            raise RelayedError(orjson.loads(answer))
        return self._json(status, answer)

    async def _send(self, method: str, path: str, **request: Any) -> Any:
        status, answer = await self._request(method, path, "application/json", **request)
        if status == 404:
            raise NotFoundError
        return self._json(status, answer)

    def _json(self, status: int, answer: bytes) -> Any:
        if status >= 400:
            raise UnavailableError(f"The {self.name} service answered with status {status}.")
        return orjson.loads(answer)

    async def _request(self, method: str, path: str, content_type: str, **request: Any) -> tuple[int, bytes]:
        headers = {"Authorization": self._tokens.header(), "Content-Type": content_type}
        if rid := request_id():
            headers["X-Request-Id"] = rid
        if current := caller():
            headers[CALLER_HEADER] = current.header()
        template = _ID.sub("/{id}", path)  # most ids in paths are those of users
        name = f"{method} {template}"

        async def attempt() -> tuple[int, bytes]:
            wait_s = min(remaining_s(), self._dependency.timeout_s(self._policy))
            own = {**headers, DEADLINE_HEADER: str(int(wait_s * 1_000))}  # a hedged call runs at the same time
            with child_span(name, SpanKind.CLIENT, self._attributes(method, template) if is_sampled() else {}) as span:
                if trace := traceparent():
                    own["traceparent"] = trace
                async with self._http.request(method, path, headers=own, **request) as response:
                    answer = await response.read()
                if span.is_recording():
                    span.set_attribute("http.response.status_code", response.status)
                    if response.status >= 400:
                        mark_failed(span, str(response.status))
            return response.status, answer

        started, outcome = time.perf_counter(), "failed"
        try:
            status, answer = await self._dependency.call(self._policy, attempt)
            outcome = "answered" if status < 500 else "failed"
        finally:
            CALL_SECONDS.labels(self.name, outcome).observe(time.perf_counter() - started, exemplar())
        return status, answer

    def _attributes(self, method: str, template: str) -> Attributes:
        return {
            "http.request.method": method,
            "url.full": f"{self._url}{template}",
            "url.template": template,
            "server.address": self._address,
            "server.port": self._port,
            "service.peer.name": self.name,
        }

    async def _probe(self) -> None:
        # A new connection, because slow calls may hold all of the pool.
        async with aiohttp.ClientSession(self._url) as session, session.get("/health/live") as response:
            response.raise_for_status()

    async def close(self) -> None:
        await self._dependency.breaker.close()
        await self._http.close()
