"""A bare HTTP/1.1 client on one connection. On two cores a full client would measure itself."""

import asyncio
import contextlib
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """Sends requests one after the other."""

    def __init__(self, base_url: str, token: str = "") -> None:
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

    async def _close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionResetError):
            await self._writer.wait_closed()

    async def get(self, path: str) -> Answer:
        """Return the whole answer. The server must send its length."""
        return await self._exchange(f"GET {path} HTTP/1.1\r\n{self._headers}\r\n".encode())

    async def post(self, path: str, document: bytes) -> Answer:
        """Post a JSON document and return the answer."""
        about = f"Content-Type: application/json\r\nContent-Length: {len(document)}\r\n"
        return await self._exchange(f"POST {path} HTTP/1.1\r\n{self._headers}{about}\r\n".encode() + document)

    async def _exchange(self, request: bytes) -> Answer:
        async with asyncio.timeout(ANSWER_S):
            self._writer.write(request)
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head.rstrip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await self._reader.readexactly(int(headers["content-length"]))
            if headers.get("connection") == "close":  # nginx, after a thousand requests
                await self._close()
                await self._open()
            return Answer(int(status.split()[1]), headers, body)
