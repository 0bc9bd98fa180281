"""Users whose states this pod has taken, and who have not arrived yet: notices when they do not arrive."""

import asyncio
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from statefulroute.cluster.errors import ClusterError
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.errors import StatefulRouteError
from statefulroute.domain.keys import UidOrSlot
from statefulroute.domain.leaving import hand_over_to
from statefulroute.domain.link import HandOver
from statefulroute.domain.slots.lookup import binding_slot
from statefulroute.driver.hand_over_timeouts import HandOverTimeouts
from statefulroute.driver.leaving import Publish
from statefulroute.driver.parts import Links, ServerInformation
from statefulroute.driver.refusals import Refusal, RefusedError
from statefulroute.driver.user_events import ArrivalCancelled, SlotArrived, UserArrived, key_of

#: A user who was to arrive is looked for so long after the deadline, and then again with growing pauses.
_MARGIN_SECONDS = 1.0
_BACKOFF = Backoff(initial_seconds=2.0, max_seconds=30.0, random=random.random)


class Announced(NamedTuple):
    """A hand-over to this pod, by which users are to arrive.

    Attributes:
        service: the service.
        bound: what the link binds that asks for it: a user, or a slot.
        origin: the name of the other pod.
        hand_over: what the link asks that pod for.
        revision: the resource version of the link, by which hand-overs are ordered.
    """

    service: str
    bound: UidOrSlot
    origin: str
    hand_over: HandOver
    revision: int

    @property
    def key(self) -> tuple[str, UidOrSlot]:
        """What is to arrive."""
        return self.service, self.bound


class _Expected:
    """A user or a slot that is to arrive.

    Args:
        announced: the hand-over.
        ends_at: when it ends, by the clock of the event loop.

    Attributes:
        task: waits for the end of the hand-over.
        uids: the users whose states were taken, in that order, with the numbers of the last ones.
        takes: how many states are being taken.
        may_be_withdrawn: set when the other pod says so.
    """

    task: asyncio.Task[None]

    def __init__(self, announced: Announced, ends_at: float) -> None:
        self.announced = announced
        self.ends_at = ends_at
        self.uids: dict[str, int] = {}
        self.takes = 0
        self.may_be_withdrawn = asyncio.Event()

    def is_by(self, announced: Announced) -> bool:
        """Returns whether it arrives by a hand-over; the link may have changed otherwise meanwhile."""
        return self.announced[:-1] == announced[:-1]


class ExpectedArrivals:
    """The users and slots that are to arrive, after states of theirs were taken.

    The users of a slot arrive together: they cost one task, and one request where the slot does not arrive.

    Args:
        links: reads links.
        server: the identity of the pod.
        timeouts: returns the numbers of slots.
        publish: takes events.
    """

    def __init__(self, links: Links, server: ServerInformation, timeouts: HandOverTimeouts, publish: Publish) -> None:
        self._links = links
        self._server = server
        self._timeouts = timeouts
        self._publish = publish
        self._expected: dict[tuple[str, UidOrSlot], _Expected] = {}
        """By service, and by uid or slot."""

    @property
    def are_any(self) -> bool:
        """Whether any users or slots are to arrive."""
        return bool(self._expected)

    def ends_at(self, announced: Announced) -> float | None:
        """Returns when a hand-over ends by which a state is or was taken already; None if none is."""
        expected = self._expected.get(announced.key)
        return expected.ends_at if expected is not None and expected.is_by(announced) else None

    @contextmanager
    def taking(self, announced: Announced, uid: str, number: int, ends_at: float) -> Iterator[None]:
        """Returns a context that takes the state of a user, who is expected afterwards if it has succeeded.

        The users of an earlier hand-over are cancelled before, also this one: its earlier state does not count if the
        newer one is not taken.

        Args:
            announced: the hand-over.
            uid: the user.
            number: the number of the state.
            ends_at: when the hand-over ends, by the clock of the event loop.

        Raises:
            RefusedError: a later hand-over has begun.
        """
        expected = self._begin(announced, ends_at)
        expected.takes += 1
        try:
            yield
        except BaseException:
            self._end_take(announced.key, expected)
            raise
        expected.uids[uid] = number
        self._end_take(announced.key, expected)
        if self._expected.get(announced.key) is not expected:  # its state is older than those of the users expected now
            self._cancel(announced.key, {uid: number})
            raise RefusedError(Refusal.NOT_HANDED_OVER)

    def _begin(self, announced: Announced, ends_at: float) -> _Expected:
        before = self._expected.get(announced.key)
        if before is not None and before.is_by(announced):
            return before
        if before is not None and before.announced.revision > announced.revision:
            raise RefusedError(Refusal.NOT_HANDED_OVER)
        expected = self._start(announced.key, _Expected(announced, ends_at))
        if before is not None:
            before.task.cancel()
            self._cancel(announced.key, before.uids)
        return expected

    def _end_take(self, key: tuple[str, UidOrSlot], expected: _Expected) -> None:
        expected.takes -= 1
        if not expected.uids and not expected.takes and self._expected.get(key) is expected:
            expected.task.cancel()
            del self._expected[key]

    def arrive(self, event: UserArrived | SlotArrived) -> None:
        """Expects a user or slot no more that has arrived."""
        if (expected := self._expected.pop(key_of(event), None)) is not None:
            expected.task.cancel()
        if isinstance(event, UserArrived) and (expected := self._of_slot(event.service, event.uid)) is not None:
            expected.uids.pop(event.uid, None)  # by a link of its own, and not with its slot

    def reconsider(self, service: str, uid: str) -> None:
        """Looks whether a user, or the user's slot, still is to arrive."""
        for expected in (self._expected.get((service, uid)), self._of_slot(service, uid)):
            if expected is not None:
                expected.may_be_withdrawn.set()

    async def close(self) -> None:
        """Expects nobody any more."""
        tasks = [expected.task for expected in self._expected.values()]
        self._expected.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: tuple[str, UidOrSlot], expected: _Expected) -> _Expected:
        self._expected[key] = expected
        expected.task = asyncio.create_task(self._await_arrival(key, expected))
        return expected

    def _of_slot(self, service: str, uid: str) -> _Expected | None:
        if not self._expected or (slot := binding_slot(uid, None, self._timeouts.slots(service))) is None:
            return None
        return self._expected.get((service, slot))

    async def _await_arrival(self, key: tuple[str, UidOrSlot], expected: _Expected) -> None:
        """Publishes that a user, or the users of a slot, do not arrive, unless they do."""
        failures, time = 0, asyncio.get_running_loop().time
        pause = expected.ends_at - time() + _MARGIN_SECONDS
        while True:
            try:
                async with asyncio.timeout(pause):
                    await expected.may_be_withdrawn.wait()
            except TimeoutError:
                pass
            expected.may_be_withdrawn.clear()
            try:
                link = await self._links.get_of(*key, fresh=True)
            except (StatefulRouteError, ClusterError):
                pass
            else:
                if link is not None and link.assigned_pod == self._server.pod:
                    break
                asked = hand_over_to(link, expected.announced.origin, self._server.pod_name, self._server.pod)
                if asked != expected.announced.hand_over:
                    self._cancel(key, expected.uids)
                    break
            pause = max(expected.ends_at - time() + _MARGIN_SECONDS, _BACKOFF.delay(failures))
            failures += 1
        if self._expected.get(key) is expected:
            del self._expected[key]

    def _cancel(self, key: tuple[str, UidOrSlot], uids: Mapping[str, int]) -> None:
        service, bound = key
        events = [ArrivalCancelled(service, uid, number) for uid, number in uids.items()]
        self._publish(events, is_state=isinstance(bound, int))  # a slot may have any number of users
