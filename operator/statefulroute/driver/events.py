"""The events of a client driver: changes of routing states and links; and subscriptions to the events of any driver."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakSet

from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain import routing_states
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route
from statefulroute.domain.service import pod_key

#: The length of a subscription's queue. When it is full, the oldest event is dropped and counted in an `EventsLost`.
_MAX_QUEUED_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class RoutingStateChanged:
    """The routing state of a service, or of one of its pods, has changed.

    Attributes:
        service: the service.
        pod: the pod; None for the service as a whole.
        before: the routing state before; None if it was unknown.
        after: the routing state now; None if the service or pod is deleted.
    """

    service: str
    pod: PodKey | None
    before: RoutingState | None
    after: RoutingState | None


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """Another pod than before holds a uid.

    Attributes:
        service: the service.
        uid: the uid.
        before: the pod that held the uid; None if no pod did.
        after: the pod that holds the uid; None if no pod does.
    """

    service: str
    uid: str
    before: PodKey | None
    after: PodKey | None


@dataclass(frozen=True, slots=True)
class SlotChanged:
    """Another pod than before holds a slot, and all uids of the slot without a link of their own.

    Attributes:
        service: the service.
        slot: the number of the slot.
        before: the pod that held the slot; None if no pod did.
        after: the pod that holds the slot; None if no pod does.
    """

    service: str
    slot: int
    before: PodKey | None
    after: PodKey | None


@dataclass(frozen=True, slots=True)
class EventsLost:
    """Events before the next one were dropped, because the consumer was too slow.

    Attributes:
        number: the number of dropped events.
    """

    number: int


@dataclass(frozen=True, slots=True)
class LinksNotFollowed:
    """There are more links than the driver may cache: changes of links that it does not use are missing from now on."""


@dataclass(frozen=True, slots=True)
class LinksFollowed:
    """The driver caches all links again. Changes before this event may be missing."""


Change = RoutingStateChanged | LinkChanged | SlotChanged | LinksNotFollowed | LinksFollowed
Event = Change | EventsLost

#: The type of the events of a driver.
E = TypeVar("E")


def routing_state_changes(old: Route | None, new: Route | None) -> list[RoutingStateChanged]:
    """Returns the changes between two versions of a service."""
    route = new or old
    if route is None:
        return []
    return [
        RoutingStateChanged(route.name, None if pod is None else pod_key(pod), before, after)
        for pod, before, after in routing_states.routing_state_changes(old, new)
    ]


def link_changes(old: Link | None, new: Link | None) -> list[LinkChanged | SlotChanged]:
    """Returns the changes between two versions of a link."""
    link = new or old
    before, after = old.assigned_pod if old else None, new.assigned_pod if new else None
    if link is None or before == after:
        return []
    if (slot := link.slot) is not None:
        return [SlotChanged(link.route.name, slot, before, after)]
    return [] if link.uid is None else [LinkChanged(link.route.name, link.uid, before, after)]


def completeness_change(complete: bool) -> LinksFollowed | LinksNotFollowed:  # noqa: FBT001 - the only argument
    """Returns the change when a driver starts or stops to cache all links."""
    return LinksFollowed() if complete else LinksNotFollowed()


class Subscription(AsyncIterator[E | EventsLost], Generic[E]):
    """The events of one consumer, in order, queued from its creation until its end.

    Args:
        limit: the length of the queue.
        check: called before each wait; raises an error where no event would come.
    """

    def __init__(self, limit: int = _MAX_QUEUED_EVENTS, check: Callable[[], None] = lambda: None) -> None:
        self._limit = limit
        self._state_size = 0
        """By how many events the queue may be longer, because the present state was queued."""
        self._check = check
        self._events: asyncio.Queue[E | None] = asyncio.Queue()
        """None marks the end."""
        self._lost = 0
        self._error: Exception | None = None

    def put(self, event: E) -> None:
        """Queues an event."""
        self._put(event)

    def put_all(self, events: Sequence[E]) -> None:
        """Queues events that are no fault of a slow consumer, such as the present state: the queue grows by them.

        It shrinks again as they are taken. A consumer that takes nothing has the events of one such state at most.
        """
        self._state_size = max(self._state_size, len(events))
        for event in events:
            self._put(event)

    def end(self, error: Exception | None = None) -> None:
        """Ends the iterator after the queued events, by an error if one is given."""
        self._error = error
        self._put(None)

    def _put(self, event: E | None) -> None:
        if self._events.qsize() >= self._limit + self._state_size:
            self._events.get_nowait()
            self._lost += 1
        self._events.put_nowait(event)

    async def __anext__(self) -> E | EventsLost:
        self._check()
        if self._lost:
            lost, self._lost = self._lost, 0
            return EventsLost(lost)
        event = await self._events.get()
        self._state_size = min(self._state_size, self._events.qsize())
        if event is None:
            self.end(self._error)  # for the next call
            raise self._error or StopAsyncIteration
        return event


class EventBroadcaster(Generic[E]):
    """Publishes events to subscriptions. Holds them by weak references, so an abandoned one is removed.

    Args:
        check: raises an error where no event would come: in a forked process, or in another event loop.
    """

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._subscriptions: WeakSet[Subscription[E]] = WeakSet()
        self._has_ended = False

    def publish(self, events: Iterable[E]) -> None:
        """Queues events in every subscription."""
        if self._subscriptions:
            for event in events:
                for subscription in self._subscriptions:
                    subscription.put(event)

    def end(self, error: Exception | None = None) -> None:
        """Ends all subscriptions, by an error if one is given; a later subscription ends at once."""
        self._has_ended = True
        for subscription in tuple(self._subscriptions):
            subscription.end(error)
        self._subscriptions.clear()

    def publish_state(self, events: Sequence[E]) -> None:
        """Queues the events that lead to the present state in every subscription, however many they are."""
        for subscription in self._subscriptions:
            subscription.put_all(events)

    def subscribe(self, state: Sequence[E] = ()) -> Subscription[E]:
        """Returns a subscription to all events from now on.

        Args:
            state: the events that lead to the present state, which come first.
        """
        subscription: Subscription[E] = Subscription(_MAX_QUEUED_EVENTS, self._check)
        subscription.put_all(state)
        if self._has_ended:
            subscription.end()
        self._subscriptions.add(subscription)
        return subscription
