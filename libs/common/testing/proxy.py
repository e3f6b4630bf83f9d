"""A TCP proxy that injects faults: latency, low bandwidth, lost data, broken connections."""

import asyncio
import contextlib
import socket
import struct
from enum import StrEnum
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536
NARROW_BYTES = 256  # chunk size with limited bandwidth, so that data flow evenly
LATE_S = 0.5
NARROW_BYTES_PER_S = 2_000
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Fault(StrEnum):
    """A fault of the network."""

    LATENCY = "latency"
    """Each chunk to the server is delayed by `latency_s`."""
    BANDWIDTH = "bandwidth"
    """Each connection transfers `bytes_per_s` in each direction."""
    BLACK_HOLE = "black_hole"
    """Connections are accepted, but all data are lost."""
    HALF_OPEN = "half_open"
    """Existing connections lose their server without notice; new ones work."""
    RESET = "reset"
    """Existing and new connections are reset."""
    REFUSED = "refused"
    """Connections are refused."""


def address_of(url: str) -> str:
    """`host:port` of a store's URL, or of an address."""
    return url.split("//")[-1].split("@")[-1].split("/")[0]


class FaultProxy:
    """Forwards connections to `host:port`. `impose` starts a fault, `heal` ends it."""

    def __init__(self, address: str, listen_port: int = 0) -> None:
        self._host, port = address.rsplit(":", 1)
        self._port = int(port)
        self.latency_s = 0.0
        self.bytes_per_s: float | None = None
        self._swallow = self._reset = False
        self._listen_port = listen_port
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self._abandoned: list[asyncio.StreamWriter] = []

    @property
    def address(self) -> str:
        """The address on which the proxy listens; faults do not change it."""
        return f"127.0.0.1:{self._listen_port}"

    async def impose(self, fault: Fault) -> None:
        """Start a fault, and end the previous one."""
        await self.heal()
        match fault:
            case Fault.LATENCY:
                self.latency_s = LATE_S
            case Fault.BANDWIDTH:
                self.bytes_per_s = NARROW_BYTES_PER_S
            case Fault.BLACK_HOLE:
                self._swallow = True
            case Fault.HALF_OPEN:
                await self._abandon()
            case Fault.RESET:
                self._reset = True
                await self._cut()
            case Fault.REFUSED:
                await self._close()
                await self._cut()

    async def heal(self) -> None:
        """End the fault. Connections that lost data are reset."""
        lossy, self._swallow, self._reset = self._swallow, False, False
        self.latency_s, self.bytes_per_s = 0.0, None
        for writer in self._abandoned:
            _reset(writer)
        self._abandoned.clear()
        if lossy:
            await self._cut()
        if self._server is None:
            await self._open()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._close()
        await self._cut()
        for writer in self._abandoned:
            _reset(writer)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._listen_port)
        self._listen_port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut(self) -> None:
        """Reset both ends of every connection."""
        for writer in [writer for pair in self._pairs.values() for writer in pair]:
            _reset(writer)
        await self._stop()

    async def _abandon(self) -> None:
        """Reset the connections to the server; those to clients stay open without data."""
        for client, server in self._pairs.values():
            self._abandoned.append(client)
            _reset(server)
        await self._stop()

    async def _stop(self) -> None:
        tasks = list(self._pairs)
        self._pairs.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._reset:
            _reset(writer)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            _reset(writer)
            return

        async def forward() -> None:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, server_writer, delayed=True))
                pumps.create_task(self._pump(server_reader, writer, delayed=False))

        task = asyncio.create_task(forward())
        self._pairs[task] = writer, server_writer
        task.add_done_callback(lambda done: self._pairs.pop(done, None))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, delayed: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(NARROW_BYTES if self.bytes_per_s else CHUNK_BYTES):
                if self._swallow:
                    continue
                if delayed and self.latency_s:
                    await asyncio.sleep(self.latency_s)
                if self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                target.write(data)
                await target.drain()
        target.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection with a TCP reset."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
