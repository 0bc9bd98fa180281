"""Reserves free ports on loopback, without races between clusters that start at the same time.

To pick a free port and close it again for a program to bind is a race that another process can win. Here the port stays
bound, with SO_REUSEPORT, as long as the cluster runs: the kernel gives it to no process that requests "any free port",
while etcd and the API server may share it because they set the same option. The reservation never listens, so only the
part receives connections, and they are refused while the part is down. A restarted part finds its port free.
"""

import socket

LOOPBACK = "127.0.0.1"


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
