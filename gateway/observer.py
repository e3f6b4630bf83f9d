"""The deployable `gateway-metrics`: metrics and spans of the gateway, from what nginx reports.

nginx sends a line about each request by UDP, so it never waits for this process and serves without it, too.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from socket import SO_RCVBUF, SOL_SOCKET
from struct import Struct
from typing import Any

import httpx2
from opentelemetry import trace
from pydantic import Field

from gateway.lines import CacheStatus, Line, parse
from gateway.spans import Spans
from libs.common.core.logging import get_logger
from libs.common.core.settings import Settings
from libs.common.web.runtime import Runtime
from libs.deployables.application import Application
from libs.telemetry.metrics import counter, gauge, histogram

SECONDS = histogram("feedmill_gateway_request_seconds")
WAITED = histogram("feedmill_gateway_upstream_seconds")
CACHE = counter("feedmill_gateway_cache_total")
UNREAD = counter("feedmill_gateway_lines_unread_total")
CONNECTIONS = gauge("feedmill_gateway_connections")
ACCEPTED = counter("feedmill_gateway_accepted_connections_total")
UP = gauge("feedmill_gateway_up")

COUNT_EVERY_S = 5.0
COUNT_TIMEOUT_S = 2.0
BUFFER_BYTES = 4 * 1024 * 1024  # lines that arrive while /metrics is written; the kernel gives what it allows
SO_MEMINFO, MEMINFO = 55, Struct("9I")  # linux/sock_diag.h; the last number counts datagrams that were dropped
# A revalidated file comes from the cache: the media service only confirmed it. An expired one was fetched again.
OUTCOMES: Mapping[CacheStatus, str] = {
    "HIT": "hit",
    "REVALIDATED": "hit",
    "STALE": "stale",
    "UPDATING": "stale",
    "MISS": "miss",
    "EXPIRED": "miss",
    "BYPASS": "miss",
}
STATUSES = frozenset(("499", *(str(status.value) for status in HTTPStatus)))  # 499: the client did not wait
_STATUS_PAGE = re.compile(r"accepts.*?\n (\d+) (\d+) \d+ \nReading: (\d+) Writing: (\d+) Waiting: (\d+)", re.DOTALL)
log = get_logger(__name__)


class ObserverSettings(Settings):
    """Settings of gateway-metrics. Lines arrive at the port of its HTTP server, by UDP."""

    gateway_status_url: str = Field(default="http://127.0.0.1:8081", description="where nginx counts its connections")


class LineReceiver(asyncio.DatagramProtocol):
    """Counts requests and exports spans."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = transport.get_extra_info("socket")
        self._socket.setsockopt(SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES)
        self._dropped = 0

    def count_dropped(self) -> None:
        """Count the lines that the kernel dropped since the last call."""
        counts = self._socket.getsockopt(SOL_SOCKET, SO_MEMINFO, MEMINFO.size)
        now = MEMINFO.unpack(counts)[-1]
        UNREAD.labels("dropped").inc(now - self._dropped)
        self._dropped = now

    async def count_repeatedly(self) -> None:
        """Count dropped lines every 5 s, without end."""
        while True:
            self.count_dropped()
            await asyncio.sleep(COUNT_EVERY_S)

    def datagram_received(self, data: bytes, _: tuple[str | Any, int]) -> None:
        try:
            line = parse(data)
        except ValueError:
            UNREAD.labels("unparsed").inc()
            return
        record(line)
        if line.is_sampled:
            self._spans.export(line)


def record(line: Line) -> None:
    """Count a request."""
    exemplar = {"trace_id": line.trace_id} if line.is_sampled else None
    status = line.status if line.status in STATUSES else "other"
    SECONDS.labels(line.method, line.route, status).observe(line.seconds, exemplar)
    if (waited_s := line.waited_s) is not None:
        WAITED.labels(line.method, line.route).observe(waited_s, exemplar)
    if line.cache:
        CACHE.labels(line.media_kind, OUTCOMES[line.cache]).inc()


@asynccontextmanager
async def receive_lines(host: str, port: int, spans: Spans) -> AsyncIterator[LineReceiver]:
    """Receive lines until the block ends."""
    loop = asyncio.get_running_loop()
    transport, receiver = await loop.create_datagram_endpoint(lambda: LineReceiver(spans), local_addr=(host, port))
    try:
        yield receiver
    finally:
        transport.close()


class Connections:
    """Counts the connections of clients to nginx.

    Args:
        url: of nginx's page `stub_status`.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._before: tuple[int, int] | None = None
        self._is_up = True

    async def count_repeatedly(self) -> None:
        """Count every 5 s, without end."""
        async with httpx2.AsyncClient(timeout=COUNT_TIMEOUT_S, trust_env=False) as client:
            while True:
                await self.count(client)
                await asyncio.sleep(COUNT_EVERY_S)

    async def count(self, client: httpx2.AsyncClient) -> None:
        """Count once. If nginx does not answer, only `feedmill_gateway_up` changes."""
        try:
            # A new connection each time: nginx closes idle ones when it reloads.
            page = (await client.get(self._url, headers={"Connection": "close"})).text
        except httpx2.HTTPError as error:
            page = repr(error)
        found = _STATUS_PAGE.search(page)
        if found:
            self._record(*map(int, found.groups()))
        elif self._is_up:
            log.warning("nginx_not_counted", answer=page[:100])
        self._is_up = found is not None
        UP.set(self._is_up)

    def _record(self, accepted: int, handled: int, reading: int, writing: int, waiting: int) -> None:
        """Record without the connection that asked. nginx counts from 0 when it starts."""
        before = self._before or (accepted - 1, handled - 1)
        self._before = (accepted, handled)
        if accepted < before[0]:
            before = (0, 0)
        for outcome, now, then in zip(("accepted", "handled"), self._before, before, strict=True):
            ACCEPTED.labels(outcome).inc(max(0, now - then - 1))
        for state, count in (("reading", reading), ("writing", writing - 1), ("waiting", waiting)):
            CONNECTIONS.labels(state).set(max(0, count))


async def compose(runtime: Runtime[ObserverSettings]) -> None:
    """Receive lines, and count connections in the background."""
    settings = runtime.settings
    receiver = await runtime.stack.enter_async_context(
        receive_lines(settings.host, settings.port, Spans(trace.get_tracer_provider()))
    )
    runtime.start("dropped-lines", receiver.count_repeatedly())
    runtime.start("connections", Connections(settings.gateway_status_url).count_repeatedly())


APPLICATION = Application(name="gateway-metrics", settings=ObserverSettings, compose=compose)

if __name__ == "__main__":
    APPLICATION.main()
