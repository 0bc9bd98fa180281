"""Free ports on loopback that stay ours, however many clusters start at once.

Picking a free port and freeing it again for a program to bind is a race that another process can win. Here the
port stays bound, with SO_REUSEPORT, for as long as the cluster lives: the kernel gives it to nobody who asks for
"any free port", while etcd and the API server may share it because they are told to set the same option. It is
never listened on, so connections reach the part alone, and are refused while the part is down. A part that is
restarted finds its port as it left it.
"""

import socket

LOOPBACK = "127.0.0.1"


def reserve() -> socket.socket:
    """Bind a free port on loopback without listening; it is reserved until the socket is closed."""
    reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reservation.bind((LOOPBACK, 0))
    return reservation


def number(reservation: socket.socket) -> int:
    """The port that a reservation holds."""
    port: int = reservation.getsockname()[1]
    return port
