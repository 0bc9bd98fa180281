"""The users and slots that the pod hands over or takes: they wait for the application, which takes part by a stream."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count

from statefulroute.domain.errors import InvalidParameterError, StatefulRouteError
from statefulroute.driver.arriving import ArrivingUser
from statefulroute.driver.leaving_user import LeavingSlot, LeavingUser
from statefulroute.driver.server import ServerDriver
from statefulroute.rest.problems import ProblemError, ProblemKind
from statefulroute.sidecar.answers import ArrivingEvent, HandOverEvent, SlotHandOverEvent, pod_reference
from statefulroute.sidecar.event_log import EventLog
from statefulroute.sidecar.leaving import LeavingRequest, SlotRequest, UserRequest, has_ended


class HandOvers:
    """The hand-overs of the users and slots of a pod.

    The driver has handlers only while the application takes part. Without them, users and slots that leave are moved by
    the operator at their deadlines, and the states of users who arrive are refused.

    Args:
        driver: the driver of the pod.
        log: the events of the users and slots.
        receives_states: whether other pods may send the states of users.
    """

    def __init__(self, driver: ServerDriver, log: EventLog, *, receives_states: bool) -> None:
        self._driver = driver
        self._log = log
        self._receives_states = receives_states
        self._participants = 0
        self._numbers = count(1)
        self._leaving: dict[str, LeavingRequest] = {}
        self._arriving: dict[str, Arriving] = {}

    @contextmanager
    def take_part(self) -> Iterator[None]:
        """Lets the application take part while the context lasts; several contexts may last at a time."""
        self._participants += 1
        if self._participants == 1:
            self._driver.on_leaving(self._leave)
            self._driver.on_slot_leaving(self._leave_with_slot)
            if self._receives_states:
                self._driver.on_arriving(self._arrive)
        try:
            yield
        finally:
            self._participants -= 1
            if not self._participants:
                with suppress(StatefulRouteError):  # the driver is being closed
                    self._driver.on_leaving(None)
                    self._driver.on_slot_leaving(None)
                    if self._receives_states:
                        self._driver.on_arriving(None)

    def leaving(self, hand_over_id: str) -> LeavingRequest:
        """Returns the hand-over of a user or a slot that leaves.

        Raises:
            ProblemError: there is none, or not any more.
        """
        leaving = self._leaving.get(hand_over_id)
        if leaving is None:
            raise has_ended()
        return leaving

    def leaving_user(self, hand_over_id: str) -> UserRequest:
        """Returns the hand-over of a user who leaves.

        Raises:
            ProblemError: there is none, or not any more.
            InvalidParameterError: it is that of a slot.
        """
        leaving = self.leaving(hand_over_id)
        if not isinstance(leaving, UserRequest):
            raise InvalidParameterError("id", "is of a slot: send the state of each user to .../users/UID/state")
        return leaving

    def leaving_slot(self, hand_over_id: str) -> SlotRequest:
        """Returns the hand-over of a slot that leaves.

        Raises:
            ProblemError: there is none, or not any more.
            InvalidParameterError: it is that of a user.
        """
        leaving = self.leaving(hand_over_id)
        if not isinstance(leaving, SlotRequest):
            raise InvalidParameterError("id", "is of a user: send the state to .../state")
        return leaving

    def arriving(self, hand_over_id: str) -> "Arriving":
        """Returns a hand-over of a user who arrives. Raises as `leaving` does."""
        arriving = self._arriving.get(hand_over_id)
        if arriving is None:
            raise has_ended()
        return arriving

    async def _leave(self, user: LeavingUser) -> None:
        """Waits for the application. The driver calls it, and cancels it if the hand-over is withdrawn."""
        to = pod_reference(user.to)
        event = HandOverEvent(self._new_id(), user.service, user.uid, to, user.deadline)
        await self._await_confirmation(event, UserRequest(user))

    async def _leave_with_slot(self, slot: LeavingSlot) -> None:
        """Waits for the application, as `_leave` does."""
        to = pod_reference(slot.to)
        event = SlotHandOverEvent(self._new_id(), slot.service, slot.slot, to, slot.deadline)
        await self._await_confirmation(event, SlotRequest(slot))

    async def _await_confirmation(self, event: HandOverEvent | SlotHandOverEvent, request: LeavingRequest) -> None:
        self._leaving[event.id] = request
        self._log.ask(event)
        try:
            await request.run()
        finally:
            del self._leaving[event.id]
            self._log.end_request(event.id)

    async def _arrive(self, user: ArrivingUser) -> None:
        """Waits for the application. The driver calls it; its error refuses the state."""
        await asyncio.sleep(0)  # the log takes the events before: that an earlier state of the user is cancelled
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
