"""The users whom the pod hands over: they wait for the application, which takes part by a stream of events."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from statefulroute.driver.leaving_user import LeavingUser
from statefulroute.driver.server import ServerDriver
from statefulroute.rest.problems import ProblemError, ProblemKind
from statefulroute.sidecar.answers import HandOverEvent, pod_reference
from statefulroute.sidecar.event_log import EventLog


class HandOvers:
    """The hand-overs of the users of a pod.

    The driver has a handler only while the application takes part. Without one, the operator moves the users at their
    deadlines.

    Args:
        driver: the driver of the pod.
        log: the events of the users.
    """

    def __init__(self, driver: ServerDriver, log: EventLog) -> None:
        self._driver = driver
        self._log = log
        self._participants = 0
        self._numbers = count(1)
        self._leaving: dict[str, _Leaving] = {}

    @contextmanager
    def take_part(self) -> Iterator[None]:
        """Lets the application take part while the context lasts; several contexts may last at a time."""
        self._participants += 1
        if self._participants == 1:
            self._driver.on_leaving(self._leave)
        try:
            yield
        finally:
            self._participants -= 1
            if not self._participants:
                self._driver.on_leaving(None)

    async def confirm(self, hand_over_id: str) -> None:
        """Ends a hand-over: the driver moves the user.

        Raises:
            ProblemError: there is no such hand-over, or not any more.
        """
        leaving = self._leaving.get(hand_over_id)
        if leaving is None:
            raise _ended(hand_over_id)
        leaving.confirmed.set()

    async def _leave(self, user: LeavingUser) -> None:
        """Waits for the application. The driver calls it, and cancels it if the hand-over is withdrawn."""
        hand_over_id = f"{self._log.name}-h{next(self._numbers)}"
        leaving = self._leaving[hand_over_id] = _Leaving()
        to = pod_reference(user.to)
        event = HandOverEvent(hand_over_id, user.service, user.uid, to, user.deadline)
        self._log.ask(event)
        try:
            await leaving.confirmed.wait()
        finally:
            del self._leaving[hand_over_id]
            self._log.end_request(hand_over_id)


class _Leaving:
    """A hand-over that waits for the application.

    Attributes:
        confirmed: set when the user may be moved.
    """

    def __init__(self) -> None:
        self.confirmed = asyncio.Event()


def _ended(hand_over_id: str) -> ProblemError:
    return ProblemError(
        ProblemKind.NO_SUCH_HAND_OVER,
        f"there is no hand-over {hand_over_id!r}: it has ended, was withdrawn, or began again with another id",
    )
