"""Sockets with TCP keepalive, which detect a dead peer or a broken network path, and which a fork does not share.

A healthy watch may be idle for a minute, so silence alone does not show that the API server is gone. TCP keepalive
does: it sends probes; a restarted machine answers with a reset, a dead one not at all.
"""

import os
import socket
from weakref import WeakSet

import aiohttp

from statefulroute.cluster.forks import call_in_forked_child

#: The idle time before the first probe and between probes, and the number of probes without an answer.
_PROBE_SECONDS, _PROBES = 5, 4

#: The options of all operating systems; the names differ. `TCP_USER_TIMEOUT`, in milliseconds, applies to sent data.
_OPTIONS = {
    "TCP_KEEPIDLE": _PROBE_SECONDS,
    "TCP_KEEPALIVE": _PROBE_SECONDS,
    "TCP_KEEPINTVL": _PROBE_SECONDS,
    "TCP_KEEPCNT": _PROBES,
    "TCP_USER_TIMEOUT": _PROBE_SECONDS * (_PROBES + 1) * 1000,
}


def keepalive_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Returns a new socket for an address; a socket factory for `aiohttp.TCPConnector`."""
    family, kind, protocol, *_ = address
    new_socket = socket.socket(family, kind, protocol)
    _sockets.add(new_socket)
    new_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if (option := getattr(socket, name, None)) is not None:
            new_socket.setsockopt(socket.IPPROTO_TCP, option, value)
    return new_socket


_sockets: WeakSet[socket.socket] = WeakSet()


def _detach_in_child() -> None:
    """Replaces the sockets of a forked process by the null device.

    The connections belong to the parent. When the child ends, the destructors of its copies of them would write the end
    of TLS into the connections of the parent, and remove these from its event loop.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for each in _sockets:
        if each.fileno() >= 0:
            os.dup2(null, each.fileno(), inheritable=False)
    os.close(null)


call_in_forked_child(_detach_in_child)
