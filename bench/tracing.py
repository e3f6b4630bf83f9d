"""Measures what tracing costs: CPU of a feed page and of a post, with no, some and all requests sampled."""

import random
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

from bench.create import creates, handled, small_authors
from bench.crowd import crowd
from bench.figures import Latency, Row
from bench.http import Connection
from bench.rounds import Act, Round, Rounds, drive
from bench.world import make_world
from libs.common.core.settings import Settings
from libs.common.kafka.lag import LagMeter
from libs.deployables import BY_NAME, service_urls
from ops.client import Api

NONE, ALL = 0.0, 1.0


@dataclass(frozen=True, slots=True)
class Size:
    """The shares of sampled requests take turns, so that a change of the machine affects all of them.

    The first turn is not counted: connections, caches and compiled statements are made in it.
    """

    authors: int = 20
    page: int = 20
    connections: int = 4
    followers: int = 2
    seconds: float = 4.0  # of a round
    commit_s: float = 1.0
    turns: int = 9
    rounds: Rounds = field(default_factory=lambda: Rounds(count=1, names=BY_NAME.keys()))  # stores don't trace


async def measure(settings: Settings, size: Size = Size()) -> list[Row]:
    """Return rows of the table, with the CPU of our own processes.

    The services get the decision of the caller, as they get it from the gateway.
    """
    if not settings.otlp_endpoint:
        return [Row("tracing: no FEEDMILL_OTLP_ENDPOINT", None)]
    shares = (NONE, settings.trace_ratio, ALL)
    with collecting(settings.otlp_endpoint):
        return [*await _pages(settings, size, shares), *await _posts(settings, size, shares)]


async def _pages(settings: Settings, size: Size, shares: Sequence[float]) -> list[Row]:
    async with Api(settings.public_url) as api, AsyncExitStack() as stack:
        made = await make_world(api, size.authors, size.page, size.page)
        path = f"/v1/feed?limit={size.page}&cursor={made.cursor}"  # the second page is never cached

        async def reading(share: float) -> list[Act]:
            token, traceparent = made.reader.access_token, sampling(share)
            feed = service_urls()["feed"]
            connections = [Connection(feed, token, traceparent=traceparent) for _ in range(size.connections)]
            return [_read(await stack.enter_async_context(connection), path) for connection in connections]

        return await _rows("feed page, assembled", size, {share: await reading(share) for share in shares}, _nothing)


async def _posts(settings: Settings, size: Size, shares: Sequence[float]) -> list[Row]:
    async with crowd(settings) as people, LagMeter(settings) as meter, AsyncExitStack() as stack:
        authors = await small_authors(people, size.connections, size.followers)
        post = service_urls()["post"]

        async def creating(share: float) -> list[Act]:
            return [await creates(stack, post, author, sampling(share)) for author in authors]

        async def settle() -> None:
            await handled(meter, size.commit_s)

        return await _rows("create post", size, {share: await creating(share) for share in shares}, settle)


async def _rows(
    what: str, size: Size, acts: dict[float, list[Act]], settle: Callable[[], Awaitable[None]]
) -> list[Row]:
    taken = defaultdict[float, list[Latency]](list)
    for turn in range(1 + size.turns):
        for share, own in random.sample(list(acts.items()), len(acts)):

            async def one(own: Sequence[Act] = own) -> Round:
                measured = await drive(own, size.seconds)
                await settle()
                return measured

            measured = (await size.rounds.of(one)).rounds
            if turn:
                taken[share] += measured
    found = {share: Latency.over(taken[share]) for share in acts}
    return [
        Row(
            f"{what}, CPU a request with {share:.0%} sampled, beside 0%",
            latency.figure("cpu_ms"),
            found[NONE].figure("cpu_ms"),
            str(latency),
        )
        for share, latency in found.items()
        if share != NONE
    ]


def sampling(share: float) -> Callable[[], str]:
    """Return the headers of a caller that samples this share of its requests."""
    return lambda: f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{random.random() < share:02x}"


def _read(connection: Connection, path: str) -> Act:
    async def read() -> None:
        answer = await connection.get(path)
        if answer.status != 200:
            raise RuntimeError(f"a page was answered {answer.status}: {answer.body[:200]!r}")

    return read


async def _nothing() -> None:
    pass


@contextmanager
def collecting(endpoint: str) -> Iterator[None]:
    """Receive spans, and forget them.

    Raises:
        RuntimeError: no span has arrived.
        OSError: another collector is there.
    """
    received: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(len(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    parts = urlsplit(endpoint)
    with ThreadingHTTPServer((parts.hostname or "", parts.port or 80), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
    if not received:
        raise RuntimeError("no span has arrived: was FEEDMILL_OTLP_ENDPOINT set before make up?")
