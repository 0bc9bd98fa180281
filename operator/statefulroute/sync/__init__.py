"""The drivers for programs without asyncio: the same classes with blocking methods.

All drivers of a process share one event loop in a background thread, in which the asynchronous drivers run. A driver
that was made before a fork opens its own connections in the child.
"""

from statefulroute.domain.address import Address
from statefulroute.sync.client import ClientDriver
from statefulroute.sync.hand_over import ArrivingUser, LeavingSlot, LeavingUser
from statefulroute.sync.server import ServerDriver

__all__ = ["Address", "ArrivingUser", "ClientDriver", "LeavingSlot", "LeavingUser", "ServerDriver"]
