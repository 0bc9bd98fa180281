"""Lets the API server be reached from outside: `python -m localcluster.node.relay PID PORT`.

It listens on loopback outside of the machine's network, then enters that network, and passes each connection on to the
same port of the loopback there. A socket stays in the network that it was made in.
"""

import asyncio
import sys

from localcluster.node import kernel
from localcluster.ports import LOOPBACK

CHUNK = 1 << 16


async def relay(pid: int, port: int) -> None:
    """Pass connections on until the end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(LOOPBACK, port)
        except OSError:  # the API server is not there at the moment: whoever asked sees the same
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        finally:
            writer.close()
            there[1].close()

    # The port is reserved by a socket that does not listen: see `ports`.
    server = await asyncio.start_server(serve, LOOPBACK, port, reuse_port=True)
    kernel.enter(pid, ["net"])
    async with server:
        await server.serve_forever()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(CHUNK):
            sink.write(chunk)
            await sink.drain()
        sink.write_eof()
    except OSError:  # one side is gone: then so is the other
        sink.transport.abort()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), int(sys.argv[2])))
