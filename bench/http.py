"""A bare HTTP/1.1 client on one connection. On two cores a full client would measure itself."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

ANSWER_S = 10.0
IDLE_S = 2.0  # servers close idle connections (uvicorn after 5 s), perhaps while a request is on its way


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """Sends requests one after the other. It replaces a connection that is closed, or was idle for `idle_s`.

    `traceparent` is asked for that header before each request; without it there is no header.
    """

    def __init__(
        self, base_url: str, token: str = "", idle_s: float = IDLE_S, traceparent: Callable[[], str] | None = None
    ) -> None:
        self._idle_s = idle_s
        self._traceparent = traceparent
        parts = urlsplit(base_url)
        self._host, self._port = str(parts.hostname), parts.port or 80
        self._headers = f"Host: {parts.netloc}\r\n" + (f"Authorization: Bearer {token}\r\n" if token else "")

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._close()

    async def _open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._used_at = time.monotonic()

    async def _close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionResetError):
            await self._writer.wait_closed()

    @property
    def is_closed(self) -> bool:
        """True if the server closed the connection."""
        return self._reader.at_eof()

    async def _renew(self) -> None:
        await self._close()
        await self._open()

    async def get(self, path: str) -> Answer:
        """Return the whole answer. The server must send its length."""
        return await self._exchange(f"GET {path} HTTP/1.1\r\n{self._headers}{self._trace()}\r\n".encode())

    async def post(self, path: str, document: bytes) -> Answer:
        """Post a JSON document and return the answer."""
        about = f"Content-Type: application/json\r\nContent-Length: {len(document)}\r\n"
        return await self._exchange(
            f"POST {path} HTTP/1.1\r\n{self._headers}{self._trace()}{about}\r\n".encode() + document
        )

    def _trace(self) -> str:
        return f"traceparent: {self._traceparent()}\r\n" if self._traceparent else ""

    async def _exchange(self, request: bytes) -> Answer:
        async with asyncio.timeout(ANSWER_S):
            if self.is_closed or time.monotonic() - self._used_at >= self._idle_s:
                await self._renew()
            self._writer.write(request)
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head.rstrip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await self._reader.readexactly(int(headers["content-length"]))
            if headers.get("connection") == "close":  # nginx, after a thousand requests
                await self._renew()
            self._used_at = time.monotonic()
            return Answer(int(status.split()[1]), headers, body)
