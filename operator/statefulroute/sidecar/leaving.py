"""The requests to the application to hand users and slots over: they wait until it confirms them."""

import asyncio
from collections.abc import AsyncIterator

from statefulroute.domain.errors import HandOverError
from statefulroute.driver.leaving_user import LeavingSlot, LeavingUser
from statefulroute.rest.problems import ProblemError, ProblemKind


class LeavingRequest:
    """A request to hand over a user or a slot, which waits for the application to confirm it."""

    def __init__(self) -> None:
        self._confirmations: asyncio.Queue[_Confirmation] = asyncio.Queue()

    async def confirm(self) -> None:
        """Lets the driver move the user or slot.

        Raises:
            ProblemError: the hand-over has ended meanwhile.
            HandOverError: the state of a user of the slot was being sent, and was not taken; the slot is not moved.
        """
        await self._confirm(_Confirmation())

    async def run(self) -> None:
        """Waits for a confirmation. The driver moves the user or slot then, and cancels this if that is withdrawn."""
        current: _Confirmation | None = None
        try:
            while True:
                current = await self._confirmations.get()
                try:
                    await self._prepare(current)
                except Exception as error:  # noqa: BLE001 - the application may try again
                    current.fail(error)
                else:
                    current.succeed()
                    return
        finally:
            if current is not None:
                current.fail(has_ended())
            while not self._confirmations.empty():
                self._confirmations.get_nowait().fail(has_ended())

    async def _confirm(self, confirmation: "_Confirmation") -> None:
        self._confirmations.put_nowait(confirmation)
        await confirmation.done

    async def _prepare(self, confirmation: "_Confirmation") -> None:
        """Does what has to be done before the user or slot is moved."""


class UserRequest(LeavingRequest):
    """A request to hand a user over.

    Args:
        user: the user.
    """

    def __init__(self, user: LeavingUser) -> None:
        super().__init__()
        self._user = user

    async def send(self, state: AsyncIterator[bytes]) -> None:
        """Sends the state to the new pod, and then lets the driver move the user.

        Raises:
            HandOverError: the new pod has not taken the state; the user is not moved.
            ProblemError: the hand-over has ended meanwhile.
        """
        await self._confirm(_Confirmation(state))

    async def _prepare(self, confirmation: "_Confirmation") -> None:
        if confirmation.state is not None:
            await self._user.send(confirmation.state)


class SlotRequest(LeavingRequest):
    """A request to hand a slot over.

    Args:
        slot: the slot.
    """

    def __init__(self, slot: LeavingSlot) -> None:
        super().__init__()
        self._slot = slot
        self._sending: set[asyncio.Task[None]] = set()
        self._has_ended = False

    async def send(self, uid: str, state: AsyncIterator[bytes]) -> None:
        """Sends the state of one user of the slot to the new pod. Several may be sent at a time.

        Raises:
            HandOverError: the new pod has not taken the state.
            InvalidParameterError: the user does not belong to the slot.
            ProblemError: the hand-over has ended meanwhile.
        """
        if self._has_ended:
            raise has_ended()
        sending = asyncio.create_task(self._slot.send(uid, state))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        try:
            await sending
        except asyncio.CancelledError:
            if self._has_ended:
                raise has_ended() from None
            raise

    async def run(self) -> None:
        """Waits for a confirmation, and for the states that are being sent then."""
        try:
            await super().run()
        finally:
            self._has_ended = True
            for sending in self._sending:
                sending.cancel()

    async def _prepare(self, confirmation: "_Confirmation") -> None:
        """Waits for the states that are being sent: none of them may be lost."""
        del confirmation
        if not self._sending:
            return
        sent, _ = await asyncio.wait(self._sending)
        if any(each.cancelled() or each.exception() is not None for each in sent):
            raise HandOverError("a state that was being sent was not taken: send it again, or confirm without it")


class _Confirmation:
    """A request to let a user or a slot leave.

    Attributes:
        state: the state of a user; None sends none.
        done: the result.
    """

    def __init__(self, state: AsyncIterator[bytes] | None = None) -> None:
        self.state = state
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def succeed(self) -> None:
        """Ends the request."""
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """Ends the request by an error, unless it has ended."""
        if not self.done.done():
            self.done.set_exception(error)


def has_ended() -> ProblemError:
    """Returns the problem of a request about a hand-over that is not, or no longer, in progress."""
    return ProblemError(
        ProblemKind.NO_SUCH_HAND_OVER, "the hand-over has ended, was withdrawn, or began again with another id"
    )
