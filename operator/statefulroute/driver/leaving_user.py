"""A user or a slot that a pod hands over, and the transfer of the states of users to the new pod."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from statefulroute.domain.errors import HandOverError, InvalidParameterError, StateTooLargeError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.slots.hashing import slot_of
from statefulroute.domain.validation import validate_uid
from statefulroute.driver.leaving import Departure
from statefulroute.driver.operations import Operations
from statefulroute.driver.parts import StateTransfer

#: The state of a user: bytes, or parts of them.
State = bytes | bytearray | memoryview | AsyncIterable[bytes]

_NOT_CONFIGURED = "the state was not sent: Configuration.hand_over must be set in both pods"

#: The size of the parts of bytes.
_PART_BYTES = 64 * 2**10

#: A state may be sent for so long even if the deadline is over: the operator may be late.
_MIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LeavingUser:
    """A user whom the pod hands over to another one.

    Attributes:
        service: the service.
        uid: the user.
        to: the new pod: its index in a StatefulSet, otherwise its name.
        deadline: when the operator moves the user to the new pod, whether the hand-over is done or not.
    """

    service: str
    uid: str
    to: PodKey
    deadline: datetime
    _send: Callable[[State], Awaitable[None]] | None = field(default=None, compare=False, repr=False)

    async def send(self, data: State) -> None:
        """Sends the state of the user to the new pod, and waits until its application has taken it.

        It may be called again: the last state that the new pod has taken counts. Parts of a state are read only as fast
        as the new pod takes them.

        Args:
            data: the bytes, or an async iterator of them.

        Raises:
            StateTooLargeError: there are more than `max_state_bytes` of this pod or of the new one.
            HandOverError: the state was not sent, the new pod did not take it, or it is not known whether it did.
            InvalidParameterError: the data is of another type.
        """
        if self._send is None:
            raise HandOverError(_NOT_CONFIGURED)
        await self._send(data)


@dataclass(frozen=True, slots=True)
class LeavingSlot:
    """A slot that the pod hands over to another one, with all its users that have no link of their own.

    Attributes:
        service: the service.
        slot: the number of the slot.
        to: the new pod: its index in a StatefulSet, otherwise its name.
        deadline: when the operator moves the slot to the new pod, whether the hand-over is done or not.
    """

    service: str
    slot: int
    to: PodKey
    deadline: datetime
    _slots: int | None = field(default=None, compare=False, repr=False)
    _send: Callable[[str, State], Awaitable[None]] | None = field(default=None, compare=False, repr=False)

    def has(self, uid: str) -> bool:
        """Returns whether a user belongs to the slot, also if a link of its own binds the user to some pod.

        Raises:
            InvalidParameterError: the uid is invalid.
        """
        uid = validate_uid(uid)
        return self._slots is not None and slot_of(uid, self._slots) == self.slot

    async def send(self, uid: str, data: State) -> None:
        """Sends the state of one user of the slot to the new pod, and waits until its application has taken it.

        It may be called for any number of users, some of them at a time, and again for the same one: the last state
        that the new pod has taken counts. The new pod refuses users whom a link of their own binds to another pod.

        Args:
            uid: the user.
            data: as for `LeavingUser.send`.

        Raises:
            StateTooLargeError: as `LeavingUser.send`.
            HandOverError: as `LeavingUser.send`.
            InvalidParameterError: the user does not belong to the slot, or the data is of another type.
        """
        if not self.has(uid):
            raise InvalidParameterError("uid", f"must be of a user of the slot {self.slot}")
        if self._send is None:
            raise HandOverError(_NOT_CONFIGURED)
        await self._send(uid, data)


class StateSender:
    """Sends the states of leaving users.

    Args:
        transfer: sends the bytes.
        operations: runs the operations.
        max_bytes: the maximal size of a state.
        count: called with the number of bytes of each state that was sent.
    """

    def __init__(
        self, transfer: StateTransfer, operations: Operations, max_bytes: int, count: Callable[[int], None] | None
    ) -> None:
        self._transfer = transfer
        self._operations = operations
        self._max_bytes = max_bytes
        self._count = count

    async def send(self, departure: Departure, uid: str, data: State) -> None:
        """Sends the state of the user, or of one of the slot. Has the errors of `LeavingUser.send`."""
        service, to = departure.service, departure.hand_over.pod
        with self._operations.run("send_state", service=service, uid=uid, to=to) as outcome:
            if not isinstance(data, bytes | bytearray | memoryview | AsyncIterable):
                raise InvalidParameterError("data", "must be bytes, or an async iterator of bytes")
            if departure.has_ended:
                raise HandOverError("the hand-over was withdrawn, or the user has left")
            counted = _Counted(data, self._max_bytes)
            ends_at = max(departure.ends_at, asyncio.get_running_loop().time() + _MIN_SECONDS)
            departure.sent_uid = uid  # also if the answer is lost
            try:
                async with asyncio.timeout_at(ends_at):
                    await self._transfer.send(service, uid, to, counted.parts())
            except HandOverError:
                if counted.error is not None:  # the reason why the request has failed
                    raise counted.error from None
                raise
            except TimeoutError as error:
                raise HandOverError("the new pod has not taken the state within the deadline") from error
            outcome.add(bytes=counted.size)
            if self._count is not None:
                self._count(counted.size)

    async def withdraw(self, departure: Departure) -> None:
        """Tells the new pod that a user whose state it may have, or the user's slot, will perhaps not arrive."""
        if departure.sent_uid is not None:
            await self._transfer.withdraw(departure.service, departure.sent_uid, departure.hand_over.pod)


class _Counted:
    """Counts the bytes of a state.

    Args:
        data: the state.
        max_bytes: the maximal size.

    Attributes:
        size: the number of bytes so far.
        error: the error that has ended the state.
    """

    def __init__(self, data: State, max_bytes: int) -> None:
        self._data = data
        self._max_bytes = max_bytes
        self.size = 0
        self.error: Exception | None = None

    async def parts(self) -> AsyncIterator[bytes]:
        """Yields the parts of the state."""
        try:
            if isinstance(self._data, AsyncIterable):
                async for part in self._data:
                    yield self._checked(part)
                return
            whole = memoryview(self._data).cast("B")
            self._check(len(whole))
            for start in range(0, len(whole), _PART_BYTES):
                yield self._checked(bytes(whole[start : start + _PART_BYTES]))
        except Exception as error:
            self.error = error
            raise

    def _checked(self, part: bytes) -> bytes:
        if not isinstance(part, bytes | bytearray | memoryview):
            raise InvalidParameterError("data", f"must yield bytes, not {type(part).__name__}")
        self.size += len(part)
        self._check(self.size)
        return bytes(part)

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise StateTooLargeError(
                f"the state has more than {self._max_bytes} bytes, the max_state_bytes of this pod"
            )
