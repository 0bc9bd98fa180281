"""Users whose states this pod has taken, and who have not arrived yet: notices when they do not arrive."""

import asyncio
import random

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
from statefulroute.driver.user_events import ArrivalCancelled, SlotArrived, UserArrived, key_of

#: A user who was to arrive is looked for so long after the deadline, and then again with growing pauses.
_MARGIN_SECONDS = 1.0
_BACKOFF = Backoff(initial_seconds=2.0, max_seconds=30.0, random=random.random)


class _Expected:
    """A user or a slot that is to arrive.

    Args:
        origin: the name of the other pod.
        hand_over: what the link asks it for.
        ends_at: when the hand-over ends, by the clock of the event loop.

    Attributes:
        task: waits for the end of the hand-over.
        uids: the users whose states were taken, in that order.
        may_be_withdrawn: set when the other pod says so.
    """

    task: asyncio.Task[None]

    def __init__(self, origin: str, hand_over: HandOver, ends_at: float) -> None:
        self.origin = origin
        self.hand_over = hand_over
        self.ends_at = ends_at
        self.uids: dict[str, None] = {}
        self.may_be_withdrawn = asyncio.Event()


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

    def ends_at(self, service: str, bound: UidOrSlot, origin: str, hand_over: HandOver) -> float | None:
        """Returns when a hand-over ends by which a state was taken already; None if none was."""
        expected = self._find(service, bound, origin, hand_over)
        return None if expected is None else expected.ends_at

    def add(  # noqa: PLR0913, PLR0917 - what identifies a hand-over, and its end
        self, service: str, bound: UidOrSlot, uid: str, origin: str, hand_over: HandOver, ends_at: float
    ) -> None:
        """Expects a user whose state was taken.

        Args:
            service: the service.
            bound: what the link binds that asks for the hand-over: the user, or the user's slot.
            uid: the user.
            origin: the name of the other pod.
            hand_over: what the link asks it for.
            ends_at: when the hand-over ends, by the clock of the event loop.
        """
        self.replace_earlier(service, bound, uid, origin, hand_over, ends_at)
        if (expected := self._find(service, bound, origin, hand_over)) is None:
            expected = self._start((service, bound), _Expected(origin, hand_over, ends_at))
        expected.uids[uid] = None

    def replace_earlier(  # noqa: PLR0913, PLR0917 - those of `add`
        self, service: str, bound: UidOrSlot, uid: str, origin: str, hand_over: HandOver, ends_at: float
    ) -> None:
        """Cancels the other users of an earlier hand-over before a state is taken by a newer one.

        Later, it might cancel a user whose newer state is just being taken. The user itself stays expected, because its
        earlier state does, if the newer one is not taken. Takes the arguments of `add`.
        """
        key = service, bound
        if (before := self._expected.get(key)) is None or self._find(service, bound, origin, hand_over) is not None:
            return
        before.task.cancel()
        del self._expected[key]
        if uid in before.uids:
            del before.uids[uid]
            self._start(key, _Expected(origin, hand_over, ends_at)).uids[uid] = None
        self._cancel(key, before)

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

    def _find(self, service: str, bound: UidOrSlot, origin: str, hand_over: HandOver) -> _Expected | None:
        expected = self._expected.get((service, bound))
        same = expected is not None and (expected.origin, expected.hand_over) == (origin, hand_over)
        return expected if same else None

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
                asked = hand_over_to(link, expected.origin, self._server.pod_name, self._server.pod)
                if asked != expected.hand_over:
                    self._cancel(key, expected)
                    break
            pause = max(expected.ends_at - time() + _MARGIN_SECONDS, _BACKOFF.delay(failures))
            failures += 1
        if self._expected.get(key) is expected:
            del self._expected[key]

    def _cancel(self, key: tuple[str, UidOrSlot], expected: _Expected) -> None:
        service, bound = key
        events = [ArrivalCancelled(service, uid) for uid in expected.uids]
        self._publish(events, is_state=isinstance(bound, int))  # a slot may have any number of users
