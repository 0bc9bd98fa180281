"""Hand-overs of the blocking drivers: handlers that may block, each in a thread."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from statefulroute.domain.errors import HandOverError
from statefulroute.domain.keys import PodKey
from statefulroute.driver import arriving, leaving_user
from statefulroute.sync.loop_thread import loop_thread

U = TypeVar("U", "LeavingUser", "LeavingSlot", "ArrivingUser")

#: The state of a user: bytes, or parts of them.
State = bytes | bytearray | memoryview | Iterable[bytes]

_WITHDRAWN = "the hand-over was withdrawn, or the user has left"

#: As many as the driver hands over, or takes, at a time by default. Further users wait for a thread.
_MAX_THREADS = 64


class _Leaving:
    """A hand-over that may end while its handler runs in a thread.

    Attributes:
        is_withdrawn: whether it has ended.
    """

    def __init__(self) -> None:
        self.is_withdrawn = False
        self._sending: set[asyncio.Task[Any]] = set()

    def withdraw(self) -> None:
        """Lets the handler know that the hand-over has ended; the driver calls it, in the event loop."""
        self.is_withdrawn = True
        for task in self._sending:
            task.cancel()

    async def _send(self, send: Callable[[leaving_user.State], Awaitable[None]], data: State) -> None:
        """Sends a state, which is read in a thread if it is an iterator."""
        if self.is_withdrawn or (task := asyncio.current_task()) is None:
            raise HandOverError(_WITHDRAWN)
        self._sending.add(task)
        try:
            await send(data if isinstance(data, bytes | bytearray | memoryview) else _in_thread(data))
        except asyncio.CancelledError:
            if self.is_withdrawn:
                raise HandOverError(_WITHDRAWN) from None
            raise
        finally:
            self._sending.discard(task)


class LeavingUser(_Leaving):
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
        super().__init__()
        self.service: str = user.service
        self.uid: str = user.uid
        self.to: PodKey = user.to
        self.deadline: datetime = user.deadline
        self._user = user

    def send(self, data: State) -> None:
        """Sends the state of the user to the new pod, and waits until its application has taken it.

        Args:
            data: the bytes, or parts of them, which are read only as fast as the new pod takes them.

        Raises:
            HandOverError: the hand-over has ended; or as `statefulroute.LeavingUser.send`.
            StateTooLargeError: as there.
        """
        loop_thread.run(self._send(self._user.send, data))


class LeavingSlot(_Leaving):
    """A slot that the pod hands over to another one, with all its users that have no link of their own.

    Args:
        slot: the same for the asynchronous driver.

    Attributes:
        service: the service.
        slot: the number of the slot.
        to: the new pod: its index in a StatefulSet, otherwise its name.
        deadline: when the operator moves the slot to the new pod, whether the hand-over is done or not.
        is_withdrawn: as for `LeavingUser`.
    """

    def __init__(self, slot: leaving_user.LeavingSlot) -> None:
        super().__init__()
        self.service: str = slot.service
        self.slot: int = slot.slot
        self.to: PodKey = slot.to
        self.deadline: datetime = slot.deadline
        self._leaving = slot

    def has(self, uid: str) -> bool:
        """Returns whether a user belongs to the slot, as `statefulroute.LeavingSlot.has` does."""
        return self._leaving.has(uid)

    def send(self, uid: str, data: State) -> None:
        """Sends the state of one user of the slot to the new pod, and waits until its application has taken it.

        Args:
            uid: the user.
            data: as for `LeavingUser.send`.

        Raises:
            HandOverError: as `LeavingUser.send`.
            StateTooLargeError: as `LeavingUser.send`.
            InvalidParameterError: as `statefulroute.LeavingSlot.send`.
        """
        loop_thread.run(self._send(partial(self._leaving.send, uid), data))


class ArrivingUser:
    """A user whom another pod hands over to this one. Iterate over the parts of the state, or `read` it.

    Args:
        user: the same for the asynchronous driver.

    Attributes:
        service: the service.
        uid: the user.
        origin: the pod that hands the user over: its index in a StatefulSet, otherwise its name.
        deadline: when the user arrives at the latest, whether this pod has the state or not.
        number: as for `statefulroute.ArrivingUser`.
        is_withdrawn: whether the user has arrived while the handler runs, because the deadline is over, or the driver
            was closed: the state must not replace a newer one.
    """

    def __init__(self, user: arriving.ArrivingUser) -> None:
        self.service: str = user.service
        self.uid: str = user.uid
        self.origin: PodKey = user.origin
        self.deadline: datetime = user.deadline
        self.number: int = user.number
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

#: Prepares the leaving of a slot; may block.
SlotLeavingHandler = Callable[[LeavingSlot], None]

#: Takes a user from another pod; may block.
ArrivingHandler = Callable[[ArrivingUser], None]


def leaving_in_threads(handler: LeavingHandler) -> Callable[[leaving_user.LeavingUser], Awaitable[None]]:
    """Returns a handler for the asynchronous driver that runs a blocking one in threads of its own."""
    threads = _threads("leaving")

    async def call(user: leaving_user.LeavingUser) -> None:
        await _call(threads, handler, LeavingUser(user))

    return call


def slots_leaving_in_threads(handler: SlotLeavingHandler) -> Callable[[leaving_user.LeavingSlot], Awaitable[None]]:
    """Returns a handler for the asynchronous driver that runs a blocking one in threads of its own."""
    threads = _threads("leaving-slots")

    async def call(slot: leaving_user.LeavingSlot) -> None:
        await _call(threads, handler, LeavingSlot(slot))

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
