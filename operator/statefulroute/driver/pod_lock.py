"""Makes sure that one process of a pod reports its state: the reports of several would overwrite each other."""

import asyncio
import errno
import socket
import sys
from contextlib import suppress
from weakref import WeakSet

from statefulroute.cluster.forks import call_in_forked_child
from statefulroute.domain.errors import DriverAlreadyRunningError

#: The pause between tries to acquire the lock.
_POLL_SECONDS = 0.1


class PodLock:
    """Is held by at most one process in a pod, and released when that ends.

    It is an abstract Unix socket, which belongs to the network namespace of the pod; a second one tells others that
    the holder is about to release it. Only Linux has these: elsewhere the lock excludes nothing.
    """

    def __init__(self) -> None:
        self._name = ""
        self._socket: socket.socket | None = None
        self._release_notice: socket.socket | None = None
        _locks.add(self)

    def acquire(self, pod_uid: str) -> None:
        """Acquires the lock of a pod; a no-op if it is held here, or if the UID of the pod is empty.

        Raises:
            DriverAlreadyRunningError: another process, or another driver of this process, holds it.
        """
        if self._socket is not None or not pod_uid or sys.platform != "linux":
            return
        self._name = _lock_name(pod_uid)
        try:
            self._socket = _bind(self._name)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise DriverAlreadyRunningError(
                    " in another process of this pod: start it in one process; the others may use it without start()"
                ) from error

    async def wait(self, pod_uid: str, seconds: float) -> None:
        """Acquires the lock; waits for its holder if that is about to release it.

        Args:
            pod_uid: the UID of the pod.
            seconds: how long to wait for the notice of the holder. The release may take longer.

        Raises:
            DriverAlreadyRunningError: the holder does not release the lock.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        while True:
            may_wait = loop.time() < ends_at or self.is_about_to_be_released(pod_uid)  # before: it may be released now
            try:
                self.acquire(pod_uid)
            except DriverAlreadyRunningError:
                if not may_wait:
                    raise
            else:
                return
            await asyncio.sleep(_POLL_SECONDS)

    def is_about_to_be_released(self, pod_uid: str) -> bool:
        """Returns whether another process of the pod holds the lock and is about to release it."""
        if self._socket is not None or not pod_uid or sys.platform != "linux":
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            return probe.connect_ex(_notice_name(_lock_name(pod_uid))) == 0

    def announce_release(self) -> None:
        """Tells other processes of the pod that they may wait for the lock."""
        if self._socket is not None and self._release_notice is None:
            with suppress(OSError):
                self._release_notice = _bind(_notice_name(self._name))

    def release(self) -> None:
        """Releases the lock."""
        for held in (self._socket, self._release_notice):  # in this order: a waiting process may go on waiting
            if held is not None:
                held.close()
        self._release_notice = self._socket = None


def _lock_name(pod_uid: str) -> str:
    return f"\0statefulroute.io/{pod_uid}"


def _notice_name(lock_name: str) -> str:
    return f"{lock_name}/release"


def _bind(name: str) -> socket.socket:
    """Returns a socket with a name. Raises `OSError`."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        bound.bind(name)
    except OSError:
        bound.close()
        raise
    return bound


_locks: WeakSet[PodLock] = WeakSet()


def _release_in_child() -> None:
    """The parent holds the lock: a child that lives longer must not."""
    for lock in _locks:
        lock.release()


call_in_forked_child(_release_in_child)
