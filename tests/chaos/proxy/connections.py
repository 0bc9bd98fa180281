"""The connections of clients to a fault proxy: accepted, cut, held, forgotten."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress

#: <linux/tcp.h>: a socket that is closed in this state is forgotten, and its other end not told.
_TCP_REPAIR = 19

#: SO_LINGER, for no second: who closes the socket resets the connection.
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Connections:
    """All connections of clients, on a loopback port that stays the same.

    Args:
        protocol: makes what speaks HTTP on each.
    """

    def __init__(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._protocol = protocol
        self._tls: ssl.SSLContext
        self._open: dict[socket.socket, asyncio.BaseTransport | None] = {}
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: dict[socket.socket, asyncio.Task[None]] = {}
        self.is_silent = False
        """Whether new connections are accepted, and left without an answer."""
        self.port = 0

    def serve_with(self, certificate: str) -> None:
        """Serve new connections with the key and the certificate of a file."""
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate)

    def listen(self) -> None:
        """Accept connections, unless they are accepted already."""
        if self._accepting is None:
            listener = socket.create_server(("127.0.0.1", self.port))
            listener.settimeout(0)
            self.port = listener.getsockname()[1]
            self._accepting = asyncio.create_task(self._accept(listener))

    async def refuse(self) -> None:
        """Refuse connections."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
            self._accepting = None

    async def cut(self) -> int:
        """End every connection by a reset; gives how many there were."""
        return await self._end_all(_reset)

    async def forget(self) -> int:
        """End every connection so that its client learns nothing of it; gives how many there were."""
        return await self._end_all(_forget)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                client, _ = await loop.sock_accept(listener)
                self._open = {each: transport for each, transport in self._open.items() if each.fileno() >= 0}
                self._open[client] = None
                if not self.is_silent:
                    self._handshakes[client] = asyncio.create_task(self._handshake(client))

    async def _handshake(self, client: socket.socket) -> None:
        """Begin to speak TLS, and HTTP within it."""
        try:
            with suppress(OSError):  # an SSLError is one: whoever comes without TLS, or does not trust us
                self._open[client], _ = await asyncio.get_running_loop().connect_accepted_socket(
                    self._protocol, client, ssl=self._tls
                )
        finally:
            self._handshakes.pop(client, None)

    async def _end_all(self, prepare: Callable[[socket.socket], None]) -> int:
        ended, self._open = self._open, {}
        for client, transport in ended.items():
            if client.fileno() < 0:
                continue
            with suppress(OSError):  # it has ended by itself
                prepare(client)
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
            elif (greeting := self._handshakes.pop(client, None)) is not None:
                # The socket is the greeting's: closed under it, its number would be the next client's, and get none.
                greeting.add_done_callback(lambda _, client=client: client.close())
                greeting.cancel()
            else:
                client.close()
        while any(client.fileno() >= 0 for client in ended):  # noqa: ASYNC110 - asyncio closes them at its next turns
            await asyncio.sleep(0)
        return len(ended)


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)


def _forget(client: socket.socket) -> None:
    """Have a connection forgotten, or reset where that is not allowed: it takes the right to administer the network."""
    try:
        client.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
    except OSError:
        _reset(client)
