"""A TCP proxy that can slow down, swallow or cut what passes."""

import asyncio
import contextlib
import socket
import struct
from enum import StrEnum
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536
NARROW_BYTES = 256  # read at once under a bandwidth, so that it is held evenly
LATE_S = 0.5
NARROW_BYTES_PER_S = 2_000
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Fault(StrEnum):
    """What can be wrong with a way through the network."""

    LATENCY = "latency"
    """Each chunk towards the server is `latency_s` late."""
    BANDWIDTH = "bandwidth"
    """`bytes_per_s` pass, each way of each connection."""
    BLACK_HOLE = "black_hole"
    """Connections are taken, and nothing passes."""
    HALF_OPEN = "half_open"
    """The connections there are lose their server and are never told; new ones work."""
    RESET = "reset"
    """Connections are reset, new ones as soon as they are made."""
    REFUSED = "refused"
    """Nobody listens."""


def address_of(url: str) -> str:
    """`host:port` of a store's URL, or of an address."""
    return url.split("//")[-1].split("@")[-1].split("/")[0]


class FaultProxy:
    """Forwards to `host:port` until `impose`; `heal` ends any fault."""

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
        """Where it listens; the same before and after a fault."""
        return f"127.0.0.1:{self._listen_port}"

    async def impose(self, fault: Fault) -> None:
        """From now on, in place of the fault before."""
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
        """Pass everything. Connections that lost bytes are cut: they are of no use any more."""
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
        """Close the servers' ends; the clients' stay open, and silent."""
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
    """Close without a farewell."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
