"""Users that another pod hands over to this one, also with their slot: passes their states to the application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

from statefulroute.cluster.errors import ClusterError
from statefulroute.domain.errors import HandOverError, StatefulRouteError, StateTooLargeError
from statefulroute.domain.keys import PodKey, UidOrSlot
from statefulroute.domain.leaving import hand_over_to
from statefulroute.domain.link import HandOver, Link
from statefulroute.driver.expected_arrivals import Announced, ExpectedArrivals
from statefulroute.driver.hand_over_timeouts import HandOverTimeouts
from statefulroute.driver.leaving import Publish
from statefulroute.driver.operations import Operations
from statefulroute.driver.parts import ServerParts, Users
from statefulroute.driver.refusals import Refusal, RefusedError
from statefulroute.driver.user_events import ServerChange, SlotArrived, UserArrived

#: The time-out of the route if it is unknown.
_TIMEOUT_SECONDS = 10.0

#: So many users may wait for each that is being taken.
_WAITING = 8

#: The numbers of the states, in all drivers of the process.
_numbers = count(1)


class ArrivingUser(AsyncIterator[bytes]):
    """A user whom another pod hands over to this one. Iterate over the parts of the state, or `read` it.

    Args:
        service: the service.
        uid: the user.
        origin: the pod that hands the user over: its index in a StatefulSet, otherwise its name.
        deadline: when the user arrives at the latest, whether this pod has the state or not.
        parts: the state.
        max_bytes: its maximal size.

    Attributes:
        number: the number of the state, which no other one in this process has. `ArrivalCancelled` has it, too.
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
        self.number = next(_numbers)
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
    """What the link that binds a user asks for.

    Attributes:
        bound: the user or slot that the link binds.
        pod: its pod.
        hand_over: the hand-over that it asks the pod for.
        revision: its resource version.
    """

    bound: UidOrSlot
    pod: PodKey
    hand_over: HandOver
    revision: int


@dataclass(eq=False, slots=True)
class _Taking:
    """A user whose state is being taken.

    Attributes:
        bound: what the link binds that asks for it: the user, or the user's slot.
        task: takes it.
    """

    bound: UidOrSlot
    task: asyncio.Task[None]


class Arrivals:
    """The users that arrive with their state.

    Args:
        parts: the parts of the driver.
        users: the users of the pod.
        handler: takes a user.
        operations: runs the operations.
        publish: takes events.
        timeouts: returns the time-outs of hand-overs, and the numbers of slots.
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
        publish: Publish,
        *,
        timeouts: HandOverTimeouts,
        max_bytes: int,
        max_concurrent: int,
        count: Callable[[int], None] | None,
    ) -> None:
        self._links = parts.links
        self._server = parts.server
        self._users = users
        self._handler = handler
        self._operations = operations
        self._timeouts = timeouts
        self._max_bytes = max_bytes
        self._max_requests = _WAITING * max_concurrent
        self._turns = asyncio.Semaphore(max_concurrent)
        self._count = count
        self._requests = 0
        self._arriving: dict[tuple[str, str], _Taking] = {}
        """By service and uid."""
        self._expected = ExpectedArrivals(parts.links, parts.server, timeouts, publish)
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

    @property
    def are_expected(self) -> bool:
        """Whether users or slots are to arrive of whom states were taken, or are being taken."""
        return self._expected.are_any

    def reconsider(self, service: str, uid: str) -> None:
        """Looks whether a user, or the user's slot, still is to arrive."""
        self._expected.reconsider(service, uid)

    async def close(self) -> None:
        """Takes no user any more, and waits for none."""
        tasks = [taking.task for taking in self._arriving.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self._expected.close(), return_exceptions=True)

    async def _check(self, service: str, uid: str, origin: str) -> _Asked:
        """Reads the link that binds a user: its own, otherwise that of its slot; returns what it asks for.

        Raises:
            RefusedError: the link asks the sending pod for no hand-over to this pod.
        """
        if service not in self._users.services:
            raise RefusedError(Refusal.NOT_HANDED_OVER)
        try:
            link, _ = await self._links.find_bound(service, uid, fresh=True)
        except (StatefulRouteError, ClusterError):
            raise RefusedError(Refusal.UNAVAILABLE) from None
        hand_over = self._hand_over(link, origin)
        if link is None or link.pod is None or hand_over is None:
            raise RefusedError(Refusal.NOT_HANDED_OVER)
        return _Asked(link.bound, link.pod, hand_over, link.resource_version)

    async def _take_unless_arrived(self, arrival: _Arrival, asked: _Asked) -> None:
        """Takes a user; the arrival of the user or slot cancels this, so that no late state replaces a newer one."""
        key = arrival.service, arrival.uid
        taking = asyncio.create_task(self._take_in_turn(arrival, asked))
        self._arriving[key] = _Taking(asked.bound, taking)
        try:
            await taking
        except asyncio.CancelledError:
            if taking.cancelled() and (caller := asyncio.current_task()) is not None and not caller.cancelling():
                raise RefusedError(Refusal.NOT_HANDED_OVER) from None
            raise
        finally:
            del self._arriving[key]

    async def _take_in_turn(self, arrival: _Arrival, asked: _Asked) -> None:
        has_to_wait = self._turns.locked()
        async with self._turns:
            if has_to_wait:
                asked = await self._check(arrival.service, arrival.uid, arrival.origin)
                self._arriving[arrival.service, arrival.uid].bound = asked.bound
            await self._take(arrival, asked)

    async def _take(self, arrival: _Arrival, asked: _Asked) -> None:
        service, uid, origin, parts = arrival
        handler = self._handler()
        if handler is None:
            raise RefusedError(Refusal.NO_RECEIVER)
        announced = Announced(service, asked.bound, origin, asked.hand_over, asked.revision)
        ends_at = await self._ends_at(announced)
        deadline = datetime.now(UTC) + timedelta(seconds=ends_at - asyncio.get_running_loop().time())
        user = ArrivingUser(service, uid, asked.pod, deadline, parts, self._max_bytes)
        if self._users.get(service, asked.bound) is not None:  # since the link was read
            raise RefusedError(Refusal.NOT_HANDED_OVER)
        try:
            with self._expected.taking(announced, uid, user.number, ends_at):
                await self._call(handler, user)
        except StateTooLargeError:
            raise RefusedError(Refusal.TOO_LARGE) from None
        except HandOverError:
            raise RefusedError(Refusal.FAILED) from None

    async def _ends_at(self, announced: Announced) -> float:
        """Returns when a hand-over ends: that of a slot has begun before the state of each user arrives."""
        if (known := self._expected.ends_at(announced)) is not None:
            return known
        seconds = await self._timeouts.read(announced.service) or _TIMEOUT_SECONDS
        return asyncio.get_running_loop().time() + seconds

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
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError  # the user has arrived, and the handler has gone on nevertheless
            if user._error is not None:  # noqa: SLF001
                raise user._error  # noqa: SLF001
            outcome.add(bytes=user._size)  # noqa: SLF001
            if self._count is not None:
                self._count(user._size)  # noqa: SLF001

    def _hand_over(self, link: Link | None, origin: str) -> HandOver | None:
        return hand_over_to(link, origin, self._server.pod_name, self._server.pod)

    def _user_changed(self, event: ServerChange) -> None:
        """Takes no late state of a user who has arrived, or of a user of a slot that has."""
        if not isinstance(event, UserArrived | SlotArrived):
            return
        self._expected.arrive(event)
        if isinstance(event, SlotArrived):
            key = event.service, event.slot
            taken = [each for (service, _), each in self._arriving.items() if (service, each.bound) == key]
        else:
            taken = [each for each in (self._arriving.get((event.service, event.uid)),) if each is not None]
        for taking in taken:
            taking.task.cancel()
