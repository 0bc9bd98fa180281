"""A DNS server that returns the addresses of a headless Service."""

import socketserver
import struct
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

_HEADER = struct.Struct("!6H")
_ANSWERS, _A, _IN = 0x8180, 1, 1


def dns_reply(query: bytes, addresses: Collection[str]) -> bytes:
    """Returns the response to a DNS query: the addresses for an A query, and none for any other."""
    number, *_ = _HEADER.unpack_from(query)
    end = query.index(b"\0", _HEADER.size) + 1
    question = query[_HEADER.size : end + 4]
    (kind,) = struct.unpack_from("!H", query, end)
    answers = addresses if kind == _A else ()
    # 0xC00C points to the name in the question; the TTL is 0.
    records = [struct.pack("!HHHIH", 0xC00C, _A, _IN, 0, 4) + IPv4Address(address).packed for address in answers]
    return _HEADER.pack(number, _ANSWERS, 1, len(records), 0, 0) + question + b"".join(records)


@contextmanager
def serve_dns(addresses: Callable[[], Collection[str]]) -> Iterator[int]:
    """Serves DNS with the current addresses while the context lasts; yields the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query, connection = self.request
            connection.sendto(dns_reply(query, addresses()), self.client_address)

    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
