"""A TCP proxy that can slow down or swallow what passes."""

import asyncio
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536


class FaultProxy:
    """Forwards to `host:port`. `latency_s` delays each chunk towards the server; under `swallow` nothing passes."""

    def __init__(self, address: str) -> None:
        self._host, port = address.rsplit(":", 1)
        self._port = int(port)
        self.latency_s = 0.0
        self.swallow = False
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        for source, target, delayed in ((reader, server_writer, True), (server_reader, writer, False)):
            pump = asyncio.create_task(self._pump(source, target, delayed=delayed))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, delayed: bool) -> None:
        try:
            while data := await source.read(CHUNK_BYTES):
                if self.swallow:
                    continue
                if delayed and self.latency_s:
                    await asyncio.sleep(self.latency_s)
                target.write(data)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()
