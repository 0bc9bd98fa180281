"""A proxy for CONNECT requests on loopback, which forwards every host to one address and records what was asked for."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_BUFFER_BYTES = 65_536


@dataclass
class ConnectProxy:
    """A running proxy.

    Attributes:
        url: its URL.
        targets: the `host:port` of each CONNECT request so far.
    """

    url: str
    targets: list[str] = field(default_factory=list)


@contextmanager
def run_connect_proxy(backend: tuple[str, int] | None) -> Iterator[ConnectProxy]:
    """Runs a proxy.

    Args:
        backend: the address that every connection is forwarded to; None refuses each.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = ConnectProxy(f"http://127.0.0.1:{listener.getsockname()[1]}")
        acceptor = threading.Thread(target=_accept, args=(listener, proxy, backend))
        acceptor.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()


def _accept(listener: socket.socket, proxy: ConnectProxy, backend: tuple[str, int] | None) -> None:
    with suppress(OSError):  # the listener is closed
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, proxy, backend), daemon=True).start()


def _serve(client: socket.socket, proxy: ConnectProxy, backend: tuple[str, int] | None) -> None:
    with client, suppress(OSError):
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := client.recv(_BUFFER_BYTES)):
                return
            head += data
        proxy.targets.append(head.split()[1].decode())
        if backend is None:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return
        with socket.create_connection(backend) as server:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            threading.Thread(target=_copy, args=(server, client), daemon=True).start()
            _copy(client, server)


def _copy(source: socket.socket, destination: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_BUFFER_BYTES):
            destination.sendall(data)
        destination.shutdown(socket.SHUT_WR)
