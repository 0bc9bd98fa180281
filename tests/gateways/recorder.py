"""Stands between the gateways and a resolver, and records what they send."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateways.protocols import LoopThread
from support.resolver_process import ResolverProcess


@dataclass(frozen=True, slots=True)
class RecordedResolver:
    """The addresses of a resolver behind recorders.

    Attributes:
        lookups: HOST:PORT for look-ups.
        picker: HOST:PORT for gRPC.
        received: all bytes that were sent to it.
    """

    lookups: str
    picker: str
    received: list[bytes]


@contextmanager
def record(loop: LoopThread, resolver: ResolverProcess) -> Iterator[RecordedResolver]:
    """Runs recorders in front of both ports of a resolver while the context lasts."""
    received: list[bytes] = []
    servers = [loop.run(_listen(address, received)) for address in (resolver.lookups, resolver.picker)]
    lookups, picker = (f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers)
    yield RecordedResolver(lookups, picker, received)
    for server in servers:
        loop.run(_close(server))


async def _listen(address: str, received: list[bytes]) -> asyncio.Server:
    host, _, port = address.rpartition(":")

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        resolver_reader, resolver_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_copy(reader, resolver_writer, received), _copy(resolver_reader, writer, []))

    return await asyncio.start_server(connect, "127.0.0.1", 0)


async def _close(server: asyncio.Server) -> None:
    server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, copies: list[bytes]) -> None:
    try:
        while data := await reader.read(2**16):
            copies.append(data)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # the connection is lost, and so is the other
    finally:
        writer.close()
