import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.http import Connection
from libs.common.testing.eventually import eventually

NEVER_S = 3_600.0


class Server:
    """Closes each connection after `answers` answers, without announcing it."""

    def __init__(self, answers: int) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.url = ""
        self._answers = answers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for _ in range(self._answers):
            if not (line := await reader.readline()):
                break
            await reader.readuntil(b"\r\n\r\n")
            method = line.split()[0]
            self.requests.append(method + (await reader.readexactly(2) if method == b"POST" else b""))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()


@asynccontextmanager
async def serving(answers: int) -> AsyncIterator[Server]:
    server = Server(answers)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
        server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        yield server


async def test_a_connection_that_the_server_closed_is_replaced_before_the_next_request() -> None:
    async with serving(answers=1) as server, Connection(server.url, idle_s=NEVER_S) as connection:

        async def closed() -> bool:
            return connection.is_closed

        assert (await connection.get("/")).body == b"ok"
        await eventually(closed)
        assert (await connection.post("/", b"{}")).body == b"ok"
        await eventually(closed)
        assert (await connection.get("/")).body == b"ok"
    assert server.requests == [b"GET", b"POST{}", b"GET"]


async def test_an_idle_connection_is_replaced_before_the_server_may_close_it() -> None:
    async with serving(answers=2) as server, Connection(server.url, idle_s=0) as connection:
        for _ in range(3):
            assert (await connection.get("/")).body == b"ok"
    assert len(server.requests) == 3
    assert server.connections == 1 + 3


async def test_a_connection_in_use_is_used_again() -> None:
    async with serving(answers=9) as server, Connection(server.url, idle_s=NEVER_S) as connection:
        for _ in range(3):
            assert (await connection.get("/")).body == b"ok"
    assert (len(server.requests), server.connections) == (3, 1)
