"""Sockets that notice when the other end is gone without a word: a machine that has died, a path that is cut.

A watch says nothing for up to a minute, and nobody can tell its silence from that of an API server that is no more. TCP
can: it asks, and a machine that knows nothing of the connection answers with a reset, a dead one with nothing.
"""

import socket

import aiohttp

#: After so many seconds of silence it is asked, and again after as many; so many questions may go unanswered.
_PROBE_SECONDS, _PROBES = 5, 4

#: What systems have, by the names in which they differ; `TCP_USER_TIMEOUT`, in milliseconds, is for what was sent.
_OPTIONS = {
    "TCP_KEEPIDLE": _PROBE_SECONDS,
    "TCP_KEEPALIVE": _PROBE_SECONDS,
    "TCP_KEEPINTVL": _PROBE_SECONDS,
    "TCP_KEEPCNT": _PROBES,
    "TCP_USER_TIMEOUT": _PROBE_SECONDS * (_PROBES + 1) * 1000,
}


def keepalive_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A new socket for an address, as `aiohttp.TCPConnector` asks for them."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
