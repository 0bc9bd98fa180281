"""The users whom the pod hands over or takes: they wait for the application, which takes part by a stream of events."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count

from statefulroute.domain.errors import StatefulRouteError
from statefulroute.driver.arriving import ArrivingUser
from statefulroute.driver.leaving_user import LeavingUser
from statefulroute.driver.server import ServerDriver
from statefulroute.rest.problems import ProblemError, ProblemKind
from statefulroute.sidecar.answers import ArrivingEvent, HandOverEvent, pod_reference
from statefulroute.sidecar.event_log import EventLog


class HandOvers:
    """The hand-overs of the users of a pod.

    The driver has handlers only while the application takes part. Without them, users who leave are moved by the
    operator at their deadlines, and the states of those who arrive are refused.

    Args:
        driver: the driver of the pod.
        log: the events of the users.
        receives_states: whether other pods may send the states of users.
    """

    def __init__(self, driver: ServerDriver, log: EventLog, *, receives_states: bool) -> None:
        self._driver = driver
        self._log = log
        self._receives_states = receives_states
        self._participants = 0
        self._numbers = count(1)
        self._leaving: dict[str, Leaving] = {}
        self._arriving: dict[str, Arriving] = {}

    @contextmanager
    def take_part(self) -> Iterator[None]:
        """Lets the application take part while the context lasts; several contexts may last at a time."""
        self._participants += 1
        if self._participants == 1:
            self._driver.on_leaving(self._leave)
            if self._receives_states:
                self._driver.on_arriving(self._arrive)
        try:
            yield
        finally:
            self._participants -= 1
            if not self._participants:
                with suppress(StatefulRouteError):  # the driver is being closed
                    self._driver.on_leaving(None)
                    if self._receives_states:
                        self._driver.on_arriving(None)

    def leaving(self, hand_over_id: str) -> "Leaving":
        """Returns a hand-over of a user who leaves.

        Raises:
            ProblemError: there is none, or not any more.
        """
        leaving = self._leaving.get(hand_over_id)
        if leaving is None:
            raise _has_ended()
        return leaving

    def arriving(self, hand_over_id: str) -> "Arriving":
        """Returns a hand-over of a user who arrives. Raises as `leaving` does."""
        arriving = self._arriving.get(hand_over_id)
        if arriving is None:
            raise _has_ended()
        return arriving

    async def _leave(self, user: LeavingUser) -> None:
        """Waits for the application. The driver calls it, and cancels it if the hand-over is withdrawn."""
        key, leaving = self._new_id(), Leaving(user)
        self._leaving[key] = leaving
        self._log.ask(HandOverEvent(key, user.service, user.uid, pod_reference(user.to), user.deadline))
        try:
            await leaving.run()
        finally:
            del self._leaving[key]
            self._log.end_request(key)

    async def _arrive(self, user: ArrivingUser) -> None:
        """Waits for the application. The driver calls it; its error refuses the state."""
        key, arriving = self._new_id(), Arriving(user)
        self._arriving[key] = arriving
        self._log.ask(ArrivingEvent(key, user.service, user.uid, pod_reference(user.origin), user.deadline))
        try:
            await arriving.run()
        finally:
            del self._arriving[key]
            self._log.end_request(key)

    def _new_id(self) -> str:
        return f"{self._log.name}-h{next(self._numbers)}"


class Leaving:
    """A user who leaves, and waits for the application to confirm it, with the state or without.

    Args:
        user: the user.
    """

    def __init__(self, user: LeavingUser) -> None:
        self._user = user
        self._confirmations: asyncio.Queue[_Confirmation] = asyncio.Queue()

    async def confirm(self, state: AsyncIterator[bytes] | None = None) -> None:
        """Sends the state to the new pod, if there is one, and then lets the driver move the user.

        Raises:
            HandOverError: the new pod has not taken the state; the user is not moved.
            ProblemError: the hand-over has ended meanwhile.
        """
        confirmation = _Confirmation(state)
        self._confirmations.put_nowait(confirmation)
        await confirmation.done

    async def run(self) -> None:
        """Waits for a confirmation, and sends its state. It is cancelled if the hand-over is withdrawn."""
        current: _Confirmation | None = None
        try:
            while True:
                current = await self._confirmations.get()
                try:
                    if current.state is not None:
                        await self._user.send(current.state)
                except Exception as error:  # noqa: BLE001 - the application may try again
                    current.fail(error)
                else:
                    current.succeed()
                    return
        finally:
            if current is not None:
                current.fail(_has_ended())
            while not self._confirmations.empty():
                self._confirmations.get_nowait().fail(_has_ended())


class Arriving:
    """A user who arrives with a state, and waits for the application to take or refuse it.

    Args:
        user: the user.
    """

    def __init__(self, user: ArrivingUser) -> None:
        self._user = user
        self._decision: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_read = self._is_being_read = False

    async def run(self) -> None:
        """Waits for the decision of the application, until the deadline.

        Raises:
            RefusedStateError: it has refused the state, has broken off, or has not answered.
        """
        seconds = (self._user.deadline - datetime.now(UTC)).total_seconds()
        try:
            async with asyncio.timeout(seconds):
                await self._decision
        except TimeoutError:
            raise RefusedStateError("the application has not answered until the deadline") from None

    async def read(self) -> AsyncIterator[bytes]:
        """Yields the state, once. If it is not read to its end, it is refused.

        Raises:
            HandOverError: the other pod has broken off.
            ProblemError: it was read before.
        """
        if self._is_read:
            raise ProblemError(ProblemKind.STATE_WAS_READ, "a state can be read once: confirm or refuse it")
        self._is_read = self._is_being_read = True
        try:
            async for part in self._user:
                yield part
            self._is_being_read = False
        finally:
            if self._is_being_read:
                self.refuse()

    def confirm(self) -> None:
        """Tells the other pod that the application has the state.

        Raises:
            ProblemError: it is still being read.
        """
        if self._is_being_read:
            raise ProblemError(ProblemKind.STATE_WAS_READ, "the state is still being read: confirm it afterwards")
        if not self._decision.done():
            self._decision.set_result(None)

    def refuse(self) -> None:
        """Tells the other pod that the application does not take the state."""
        if not self._decision.done():
            self._decision.set_exception(RefusedStateError("the application has refused the state of the user"))


class RefusedStateError(Exception):
    """The application does not take the state of a user."""


class _Confirmation:
    """A request to let a user leave.

    Attributes:
        state: the state; None sends none.
        done: the result.
    """

    def __init__(self, state: AsyncIterator[bytes] | None) -> None:
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


def _has_ended() -> ProblemError:
    return ProblemError(
        ProblemKind.NO_SUCH_HAND_OVER, "the hand-over has ended, was withdrawn, or began again with another id"
    )
