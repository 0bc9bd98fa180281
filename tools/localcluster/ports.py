"""Finds free ports and listeners, and reserves ports without races between clusters that start at the same time.

To pick a free port and close it again for a program to bind is a race that another process can win. A reserved port
stays bound, with SO_REUSEPORT, as long as the cluster runs: the kernel gives it to no process that requests "any free
port", while etcd and the API server may share it because they set the same option. The reservation never listens, so
only the part receives connections, and they are refused while the part is down. A restarted part finds its port free.
A reservation holds in one network namespace only: `node.machine` reserves the same ports in that of a real node.
"""

import secrets
import socket
from contextlib import suppress
from ipaddress import ip_address

LOOPBACK = "127.0.0.1"

#: Below the ports that systems give to processes that request any free one: on Linux, those from 32768.
_CHOSEN_PORTS = range(20_000, 30_000)

_MAX_TRIES = 100


def reserve() -> socket.socket:
    """Binds a free port on loopback without listening; it is reserved until the socket is closed."""
    reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reservation.bind((LOOPBACK, 0))
    return reservation


def number(reservation: socket.socket) -> int:
    """Returns the port of a reservation."""
    port: int = reservation.getsockname()[1]
    return port


def free_port() -> int:
    """Returns a port that no socket uses now, at any address of this machine.

    No process and no connection gets it as any free port before it is used.

    Raises:
        OSError: All ports that were tried are in use.
    """
    for _ in range(_MAX_TRIES):
        port = secrets.choice(_CHOSEN_PORTS)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            return port
    raise OSError(f"{_MAX_TRIES} ports from {_CHOSEN_PORTS.start} to {_CHOSEN_PORTS.stop - 1} are in use")


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Returns whether a process accepts connections at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def can_listen(ip: str) -> bool:
    """Returns whether an address is a loopback address of this machine: not every system has all of 127.0.0.0/8."""
    with socket.socket() as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return ip_address(ip).is_loopback
