"""The proxy does what it says, and everything passes again afterwards."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from libs.common.testing.proxy import LATE_S, NARROW_BYTES_PER_S, Fault, FaultProxy

SOON_S = 10.0
SILENCE_S = 0.3  # far over what an echo takes
SECONDS_WORTH = b"x" * (NARROW_BYTES_PER_S // 2)  # there and back


class Line:
    """A client's connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def echo(self, data: bytes = b"hello", wait_s: float = SOON_S) -> bytes:
        """Send data and return what comes back. Raises TimeoutError, OSError, IncompleteReadError."""
        self._writer.write(data)
        async with asyncio.timeout(wait_s):
            return await self._reader.readexactly(len(data))

    def close(self) -> None:
        self._writer.transport.abort()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1024):
            writer.write(data)
    except ConnectionError:
        pass
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server, FaultProxy(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as proxy:
        yield proxy


async def dial(proxy: FaultProxy) -> Line:
    host, port = proxy.address.split(":")
    return Line(*await asyncio.open_connection(host, int(port)))


async def passes(proxy: FaultProxy) -> None:
    line = await dial(proxy)
    assert await line.echo() == b"hello"
    line.close()


@pytest.fixture
async def line(proxy: FaultProxy) -> AsyncIterator[Line]:
    """A connection that worked."""
    line = await dial(proxy)
    await line.echo()
    yield line
    line.close()


@pytest.mark.parametrize("fault", [Fault.LATENCY, Fault.BANDWIDTH])
async def test_slow(proxy: FaultProxy, line: Line, fault: Fault) -> None:
    await proxy.impose(fault)
    begun = time.monotonic()
    assert await line.echo(SECONDS_WORTH) == SECONDS_WORTH
    assert time.monotonic() - begun > LATE_S
    await proxy.heal()
    assert await line.echo() == b"hello"


@pytest.mark.parametrize("fault", [Fault.BLACK_HOLE, Fault.HALF_OPEN])
async def test_silent(proxy: FaultProxy, line: Line, fault: Fault) -> None:
    await proxy.impose(fault)
    with pytest.raises(TimeoutError):
        await line.echo(wait_s=SILENCE_S)
    if fault is Fault.HALF_OPEN:
        await passes(proxy)
    await proxy.heal()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await line.echo()
    await passes(proxy)


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.REFUSED])
async def test_cut(proxy: FaultProxy, line: Line, fault: Fault) -> None:
    await proxy.impose(fault)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await line.echo()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await passes(proxy)
    await proxy.heal()
    await passes(proxy)
