"""The connections of clients to a fault proxy."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress

#: <linux/tcp.h>: a socket that is closed in this state sends nothing to its peer.
_TCP_REPAIR = 19

#: SO_LINGER of zero seconds: closing the socket resets the connection.
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Connections:
    """All connections of clients, on a fixed loopback port.

    Args:
        protocol: creates the HTTP protocol of each connection.
    """

    def __init__(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._protocol = protocol
        self._tls: ssl.SSLContext
        self._open: dict[socket.socket, asyncio.BaseTransport | None] = {}
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: dict[socket.socket, asyncio.Task[None]] = {}
        self.is_silent = False
        """Whether new connections are accepted but get no responses."""
        self.port = 0

    def serve_with(self, certificate: str) -> None:
        """Uses the key and the certificate of a file for new connections."""
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate)

    def listen(self) -> None:
        """Accepts connections, if it does not yet."""
        if self._accepting is None:
            listener = socket.create_server(("127.0.0.1", self.port))
            listener.settimeout(0)
            self.port = listener.getsockname()[1]
            self._accepting = asyncio.create_task(self._accept(listener))

    async def refuse(self) -> None:
        """Refuses connections."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
            self._accepting = None

    async def cut(self) -> int:
        """Resets every connection, and returns their number."""
        return await self._end_all(_reset)

    async def forget(self) -> int:
        """Drops every connection without notice to its client, and returns their number."""
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
        """Starts TLS, and HTTP within it."""
        try:
            with suppress(OSError):  # includes SSLError: the client does not use TLS, or does not trust the proxy
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
            with suppress(OSError):  # it was closed already
                prepare(client)
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
            elif (greeting := self._handshakes.pop(client, None)) is not None:
                # The handshake owns the socket: if it were closed here, the next client could get its file descriptor.
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
    """Closes a connection silently; resets it where that needs missing privileges (CAP_NET_ADMIN)."""
    try:
        client.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
    except OSError:
        _reset(client)
