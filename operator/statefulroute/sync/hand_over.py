"""Hand-overs of the blocking drivers: handlers that may block, each in a thread."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from statefulroute.domain.keys import PodKey
from statefulroute.driver import hand_over as asynchronous

#: As many as the driver hands over at a time.
_MAX_THREADS = 64


class LeavingUser:
    """A user whom the pod hands over to another one.

    Args:
        user: the same for the asynchronous driver.

    Attributes:
        service: the service.
        uid: the user.
        to: the new pod: its index in a StatefulSet, otherwise its name.
        deadline: when the operator moves the user to the new pod, whether the hand-over is done or not.
        is_withdrawn: whether the hand-over has ended while the handler runs, because it was withdrawn or replaced, or
            because the user has left: nothing stops a thread, but what it does has no effect.
    """

    def __init__(self, user: asynchronous.LeavingUser) -> None:
        self.service: str = user.service
        self.uid: str = user.uid
        self.to: PodKey = user.to
        self.deadline: datetime = user.deadline
        self.is_withdrawn = False


#: Prepares the leaving of a user; may block.
LeavingHandler = Callable[[LeavingUser], None]


def in_threads(handler: LeavingHandler) -> Callable[[asynchronous.LeavingUser], Awaitable[None]]:
    """Returns a handler for the asynchronous driver that runs a blocking one in threads of its own."""
    threads = ThreadPoolExecutor(max_workers=_MAX_THREADS, thread_name_prefix="statefulroute-hand-over")

    async def call(user: asynchronous.LeavingUser) -> None:
        leaving = LeavingUser(user)
        try:
            await asyncio.get_running_loop().run_in_executor(threads, handler, leaving)
        except asyncio.CancelledError:
            leaving.is_withdrawn = True
            raise

    return call
