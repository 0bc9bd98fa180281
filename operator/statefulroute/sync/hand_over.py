"""Hand-overs of the blocking drivers: handlers that may block, each in a thread."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

from statefulroute.domain.errors import HandOverError
from statefulroute.domain.keys import PodKey
from statefulroute.driver import arriving, leaving_user
from statefulroute.sync.loop_thread import loop_thread

U = TypeVar("U", "LeavingUser", "ArrivingUser")

_WITHDRAWN = "the hand-over was withdrawn, or the user has left"

#: As many as the driver hands over, or takes, at a time by default. Further users wait for a thread.
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

    def __init__(self, user: leaving_user.LeavingUser) -> None:
        self.service: str = user.service
        self.uid: str = user.uid
        self.to: PodKey = user.to
        self.deadline: datetime = user.deadline
        self.is_withdrawn = False
        self._user = user
        self._sending: asyncio.Task[object] | None = None

    def withdraw(self) -> None:
        """Lets the handler know that the hand-over has ended; the driver calls it, in the event loop."""
        self.is_withdrawn = True
        if self._sending is not None:
            self._sending.cancel()

    def send(self, data: bytes | bytearray | memoryview | Iterable[bytes]) -> None:
        """Sends the state of the user to the new pod, and waits until its application has taken it.

        Args:
            data: the bytes, or parts of them, which are read only as fast as the new pod takes them.

        Raises:
            HandOverError: the hand-over has ended; or as `statefulroute.LeavingUser.send`.
            StateTooLargeError: as there.
        """
        loop_thread.run(self._send(data if isinstance(data, bytes | bytearray | memoryview) else _in_thread(data)))

    async def _send(self, data: leaving_user.State) -> None:
        if self.is_withdrawn:
            raise HandOverError(_WITHDRAWN)
        self._sending = asyncio.current_task()
        try:
            await self._user.send(data)
        except asyncio.CancelledError:
            if self.is_withdrawn:
                raise HandOverError(_WITHDRAWN) from None
            raise
        finally:
            self._sending = None


class ArrivingUser:
    """A user whom another pod hands over to this one. Iterate over the parts of the state, or `read` it.

    Args:
        user: the same for the asynchronous driver.

    Attributes:
        service: the service.
        uid: the user.
        origin: the pod that hands the user over: its index in a StatefulSet, otherwise its name.
        deadline: when the user arrives at the latest, whether this pod has the state or not.
        is_withdrawn: whether the user has arrived while the handler runs, because the deadline is over, or the driver
            was closed: the state must not replace a newer one.
    """

    def __init__(self, user: arriving.ArrivingUser) -> None:
        self.service: str = user.service
        self.uid: str = user.uid
        self.origin: PodKey = user.origin
        self.deadline: datetime = user.deadline
        self.is_withdrawn = False
        self._user = user

    def withdraw(self) -> None:
        """Lets the handler know that the state comes too late; the driver calls it."""
        self.is_withdrawn = True

    def read(self) -> bytes:
        """Returns the rest of the state, as `statefulroute.ArrivingUser.read` does."""
        return loop_thread.run(self._user.read())

    def __iter__(self) -> Iterator[bytes]:
        while (part := loop_thread.run(self._next())) is not None:
            yield part

    async def _next(self) -> bytes | None:
        return await anext(self._user, None)


#: Prepares the leaving of a user; may block.
LeavingHandler = Callable[[LeavingUser], None]

#: Takes a user from another pod; may block.
ArrivingHandler = Callable[[ArrivingUser], None]


def leaving_in_threads(handler: LeavingHandler) -> Callable[[leaving_user.LeavingUser], Awaitable[None]]:
    """Returns a handler for the asynchronous driver that runs a blocking one in threads of its own."""
    threads = _threads("leaving")

    async def call(user: leaving_user.LeavingUser) -> None:
        await _call(threads, handler, LeavingUser(user))

    return call


def arriving_in_threads(handler: ArrivingHandler) -> Callable[[arriving.ArrivingUser], Awaitable[None]]:
    """Returns a handler for the asynchronous driver that runs a blocking one in threads of its own."""
    threads = _threads("arriving")

    async def call(user: arriving.ArrivingUser) -> None:
        await _call(threads, handler, ArrivingUser(user))

    return call


def _threads(name: str) -> Executor:
    return ThreadPoolExecutor(max_workers=_MAX_THREADS, thread_name_prefix=f"statefulroute-{name}")


async def _call(threads: Executor, handler: Callable[[U], None], user: U) -> None:
    try:
        await asyncio.get_running_loop().run_in_executor(threads, handler, user)
    except asyncio.CancelledError:
        user.withdraw()
        raise


async def _in_thread(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yields what a blocking iterator yields, which runs in one thread."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="statefulroute-state") as thread:
        loop, iterator = asyncio.get_running_loop(), iter(parts)

        def take() -> bytes | None:
            return next(iterator, None)

        while (part := await loop.run_in_executor(thread, take)) is not None:
            yield part
