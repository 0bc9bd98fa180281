"""Users that another pod hands over to this one: passes their states to the application."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from statefulroute.cluster.errors import ClusterError
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.errors import HandOverError, StatefulRouteError, StateTooLargeError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.leaving import hand_over_to
from statefulroute.domain.link import HandOver, Link
from statefulroute.driver.operations import Operations
from statefulroute.driver.parts import ServerParts, Users
from statefulroute.driver.refusals import Refusal, RefusedError
from statefulroute.driver.user_events import ArrivalCancelled, ServerChange, UserArrived

#: The time-out of the route if it is unknown.
_TIMEOUT_SECONDS = 10.0

#: A user who was to arrive is looked for so long after the deadline, and then again with growing pauses.
_MARGIN_SECONDS = 1.0
_BACKOFF = Backoff(initial_seconds=2.0, max_seconds=30.0, random=random.random)

#: So many users may wait for each that is being taken.
_WAITING = 8


class ArrivingUser(AsyncIterator[bytes]):
    """A user whom another pod hands over to this one. Iterate over the parts of the state, or `read` it.

    Args:
        service: the service.
        uid: the user.
        origin: the pod that hands the user over: its index in a StatefulSet, otherwise its name.
        deadline: when the user arrives at the latest, whether this pod has the state or not.
        parts: the state.
        max_bytes: its maximal size.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the attributes, and the state
        self,
        service: str,
        uid: str,
        origin: PodKey,
        deadline: datetime,
        parts: AsyncIterator[bytes],
        max_bytes: int,
    ) -> None:
        self.service = service
        self.uid = uid
        self.origin = origin
        self.deadline = deadline
        self._parts = parts
        self._max_bytes = max_bytes
        self._size = 0
        self._error: HandOverError | None = None

    async def read(self) -> bytes:
        """Returns the rest of the state.

        Raises:
            HandOverError: the other pod has broken off.
            StateTooLargeError: the state has more than `max_state_bytes`.
        """
        return b"".join([part async for part in self])

    async def __anext__(self) -> bytes:
        if self._error is not None:
            raise self._error
        try:
            part = await anext(self._parts)
            self._size += len(part)
            if self._size > self._max_bytes:
                raise StateTooLargeError(f"the state has more than {self._max_bytes} bytes (max_state_bytes)")
        except HandOverError as error:
            self._error = error
            raise
        return part


#: Takes a user from another pod; the other pod moves the user when it returns.
ArrivingHandler = Callable[[ArrivingUser], Awaitable[None]]


class _Arrival(NamedTuple):
    """A user whose state another pod sends."""

    service: str
    uid: str
    origin: str
    parts: AsyncIterator[bytes]


class _Asked(NamedTuple):
    """The pod of a user, and the hand-over that the link asks it for."""

    pod: PodKey
    hand_over: HandOver


class _Expected:
    """A user whose state this pod has taken.

    Attributes:
        task: waits for the end of the hand-over.
        may_be_withdrawn: set when the other pod says so.
    """

    task: asyncio.Task[None]

    def __init__(self) -> None:
        self.may_be_withdrawn = asyncio.Event()


class Arrivals:
    """The users that arrive with their state.

    Args:
        parts: the parts of the driver.
        users: the users of the pod.
        handler: takes a user.
        operations: runs the operations.
        publish: takes events.
        read_timeout: returns the time-out of hand-overs of a service; None if its route has none.
        max_bytes: the maximal size of a state.
        max_concurrent: how many users are taken at a time.
        count: called with the number of bytes of each state that was taken.
    """

    def __init__(  # noqa: PLR0913 - the parts of the driver
        self,
        parts: ServerParts,
        users: Users,
        handler: Callable[[], ArrivingHandler | None],
        operations: Operations,
        publish: Callable[[ServerChange], None],
        *,
        read_timeout: Callable[[str], Awaitable[float | None]],
        max_bytes: int,
        max_concurrent: int,
        count: Callable[[int], None] | None,
    ) -> None:
        self._links = parts.links
        self._server = parts.server
        self._users = users
        self._handler = handler
        self._operations = operations
        self._publish = publish
        self._read_timeout = read_timeout
        self._max_bytes = max_bytes
        self._max_requests = _WAITING * max_concurrent
        self._slots = asyncio.Semaphore(max_concurrent)
        self._count = count
        self._requests = 0
        self._arriving: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._expected: dict[tuple[str, str], _Expected] = {}
        users.listen(self._user_changed)

    async def take(self, service: str, uid: str, origin: str, parts: AsyncIterator[bytes]) -> None:
        """Passes a user to the application, and returns when it has taken the state.

        Args:
            service: the service.
            uid: the user.
            origin: the name of the pod that has proved to send this.
            parts: the state.

        Raises:
            RefusedError: this pod does not take the user.
        """
        if self._handler() is None:
            raise RefusedError(Refusal.NO_RECEIVER)
        if self._requests >= self._max_requests:
            raise RefusedError(Refusal.BUSY)
        self._requests += 1
        try:
            # Nothing of a user is touched for a pod that does not hand the user over.
            asked = await self._check(service, uid, origin)
            if (service, uid) in self._arriving:
                raise RefusedError(Refusal.ALREADY_ARRIVING)
            await self._take_unless_arrived(_Arrival(service, uid, origin, parts), asked)
        finally:
            self._requests -= 1

    def reconsider(self, service: str, uid: str) -> None:
        """Looks whether a user still is to arrive."""
        if (expected := self._expected.get((service, uid))) is not None:
            expected.may_be_withdrawn.set()

    async def close(self) -> None:
        """Takes no user any more, and waits for none."""
        tasks = [*self._arriving.values(), *(expected.task for expected in self._expected.values())]
        self._expected.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _check(self, service: str, uid: str, origin: str) -> _Asked:
        """Reads the link of a user, and returns what it asks for.

        Raises:
            RefusedError: the link asks the sending pod for no hand-over to this pod.
        """
        if service not in self._users.services:
            raise RefusedError(Refusal.NOT_HANDED_OVER)
        try:
            link = await self._links.get(service, uid, fresh=True)
        except (StatefulRouteError, ClusterError):
            raise RefusedError(Refusal.UNAVAILABLE) from None
        hand_over = self._hand_over(link, origin)
        if link is None or link.pod is None or hand_over is None:
            raise RefusedError(Refusal.NOT_HANDED_OVER)
        return _Asked(link.pod, hand_over)

    async def _take_unless_arrived(self, arrival: _Arrival, asked: _Asked) -> None:
        """Takes a user; the arrival of the user cancels this, so that no late state replaces a newer one."""
        key = arrival.service, arrival.uid
        taking = self._arriving[key] = asyncio.create_task(self._take_in_turn(arrival, asked))
        try:
            await taking
        except asyncio.CancelledError:
            if taking.cancelled() and (caller := asyncio.current_task()) is not None and not caller.cancelling():
                raise RefusedError(Refusal.NOT_HANDED_OVER) from None
            raise
        finally:
            del self._arriving[key]

    async def _take_in_turn(self, arrival: _Arrival, asked: _Asked) -> None:
        has_to_wait = self._slots.locked()
        async with self._slots:
            if has_to_wait:
                asked = await self._check(arrival.service, arrival.uid, arrival.origin)
            await self._take(arrival, asked)

    async def _take(self, arrival: _Arrival, asked: _Asked) -> None:
        service, uid, origin, parts = arrival
        pod, hand_over = asked
        handler = self._handler()
        if handler is None:
            raise RefusedError(Refusal.NO_RECEIVER)
        seconds = await self._read_timeout(service) or _TIMEOUT_SECONDS
        ends_at = asyncio.get_running_loop().time() + seconds
        deadline = datetime.now(UTC) + timedelta(seconds=seconds)
        user = ArrivingUser(service, uid, pod, deadline, parts, self._max_bytes)
        if self._users.get(service, uid) is not None:  # since the link was read
            raise RefusedError(Refusal.NOT_HANDED_OVER)
        try:
            await self._call(handler, user)
        except StateTooLargeError:
            raise RefusedError(Refusal.TOO_LARGE) from None
        except HandOverError:
            raise RefusedError(Refusal.FAILED) from None
        self._expect(service, uid, origin, hand_over, ends_at)

    async def _call(self, handler: ArrivingHandler, user: ArrivingUser) -> None:
        """Calls the application.

        Raises:
            HandOverError: it has failed, or it has not received the whole state although it may have returned.
        """
        with self._operations.run("receive_state", service=user.service, uid=user.uid, origin=user.origin) as outcome:
            try:
                await handler(user)
            except Exception as error:
                if user._error is not None:  # noqa: SLF001 - of this module
                    raise user._error from None  # noqa: SLF001
                context = {"message": "a handler of a server driver has failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
                raise HandOverError(f"the handler of arriving users has failed: {type(error).__name__}") from error
            if user._error is not None:  # noqa: SLF001
                raise user._error  # noqa: SLF001
            outcome.add(bytes=user._size)  # noqa: SLF001
            if self._count is not None:
                self._count(user._size)  # noqa: SLF001

    def _hand_over(self, link: Link | None, origin: str) -> HandOver | None:
        return hand_over_to(link, origin, self._server.pod_name, self._server.pod)

    # Users that do not arrive.

    def _user_changed(self, event: ServerChange) -> None:
        if not isinstance(event, UserArrived):
            return
        key = event.service, event.uid
        if (expected := self._expected.pop(key, None)) is not None:
            expected.task.cancel()
        if (taking := self._arriving.get(key)) is not None:
            taking.cancel()

    def _expect(self, service: str, uid: str, origin: str, hand_over: HandOver, ends_at: float) -> None:
        key = service, uid
        if (before := self._expected.pop(key, None)) is not None:
            before.task.cancel()
        expected = self._expected[key] = _Expected()
        expected.task = asyncio.create_task(self._await_arrival(key, origin, hand_over, ends_at, expected))

    async def _await_arrival(
        self, key: tuple[str, str], origin: str, hand_over: HandOver, ends_at: float, expected: _Expected
    ) -> None:
        """Publishes that a user does not arrive, unless the user does."""
        failures, time = 0, asyncio.get_running_loop().time
        pause = ends_at - time() + _MARGIN_SECONDS
        while True:
            try:
                async with asyncio.timeout(pause):
                    await expected.may_be_withdrawn.wait()
            except TimeoutError:
                pass
            expected.may_be_withdrawn.clear()
            try:
                link = await self._links.get(*key, fresh=True)
            except (StatefulRouteError, ClusterError):
                pass
            else:
                if link is not None and link.assigned_pod == self._server.pod:
                    break
                if self._hand_over(link, origin) != hand_over:
                    self._publish(ArrivalCancelled(*key))
                    break
            pause = max(ends_at - time() + _MARGIN_SECONDS, _BACKOFF.delay(failures))
            failures += 1
        if self._expected.get(key) is expected:
            del self._expected[key]
