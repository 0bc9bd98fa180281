"""Makes sure that one process of a pod reports its state: the reports of several would overwrite each other."""

import errno
import os
import socket
import sys
from weakref import WeakSet

from statefulroute.domain.errors import DriverAlreadyRunningError


class PodLock:
    """Is held by at most one process in a pod, and released when that ends.

    It is an abstract Unix socket, which belongs to the network namespace of the pod. Only Linux has these: elsewhere
    the lock excludes nothing.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        _locks.add(self)

    def acquire(self, pod_uid: str) -> None:
        """Acquires the lock of a pod; a no-op if it is held here, or if the UID of the pod is empty.

        Raises:
            DriverAlreadyRunningError: another process, or another driver of this process, holds it.
        """
        if self._socket is not None or not pod_uid or sys.platform != "linux":
            return
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0statefulroute.io/{pod_uid}")
        except OSError as error:
            lock.close()
            if error.errno != errno.EADDRINUSE:
                return
            raise DriverAlreadyRunningError(
                " in another process of this pod: start it in one process; the others may use it without start()"
            ) from error
        self._socket = lock

    def release(self) -> None:
        """Releases the lock."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


_locks: WeakSet[PodLock] = WeakSet()


def _release_in_child() -> None:
    """The parent holds the lock: a child that lives longer must not."""
    for lock in _locks:
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)
