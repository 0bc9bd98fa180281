"""Makes the API server reachable from outside: `python -m localcluster.node.relay PID PORT`.

It listens on loopback outside of the machine's network namespace, then enters that namespace, and forwards each
connection to the same port on loopback there. A socket stays in the namespace in which it was created.
"""

import asyncio
import sys

from localcluster.node import kernel
from localcluster.ports import LOOPBACK

CHUNK = 1 << 16


async def relay(pid: int, port: int) -> None:
    """Forwards connections until it is stopped."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection(LOOPBACK, port)
        except OSError:  # the API server is down: the client sees the same
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_pump(reader, upstream[1]), _pump(upstream[0], writer))
        finally:
            writer.close()
            upstream[1].close()

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
    except OSError:  # one side is closed: close the other
        sink.transport.abort()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), int(sys.argv[2])))
