"""What a client driver tells of: routing states and links that have changed."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from weakref import WeakSet

from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route
from statefulroute.domain.service import pod_key

#: How many events wait for one listener; to one that is slower the oldest are lost, and it is told so.
_MAX_QUEUED_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class RoutingStateChanged:
    """A service, or one of its pods, takes others than before.

    Attributes:
        service: the service.
        pod: its pod; None where it is the service as a whole.
        before: whom it took; None where it was not known.
        after: whom it takes; None where it is gone.
    """

    service: str
    pod: PodKey | None
    before: RoutingState | None
    after: RoutingState | None


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """A uid is held by another pod than before.

    Attributes:
        service: the service.
        uid: the uid.
        before: the pod that held it; None where none did.
        after: the pod that holds it; None where none does.
    """

    service: str
    uid: str
    before: PodKey | None
    after: PodKey | None


@dataclass(frozen=True, slots=True)
class EventsLost:
    """The listener was too slow: so many events before the next one are not told.

    Attributes:
        number: how many.
    """

    number: int


@dataclass(frozen=True, slots=True)
class LinksNotFollowed:
    """There are more links than the driver may hold: from now on it tells of routing states only."""


Change = RoutingStateChanged | LinkChanged | LinksNotFollowed
Event = Change | EventsLost


def routing_state_changes(old: Route | None, new: Route | None) -> list[RoutingStateChanged]:
    """What has changed between two versions of a service."""
    route = new or old
    if route is None:
        return []
    before, after = _routing_states(old), _routing_states(new)
    return [
        RoutingStateChanged(route.name, pod, before.get(pod), after.get(pod))
        for pod in dict.fromkeys((*before, *after))
        if before.get(pod) is not after.get(pod)
    ]


def link_changes(old: Link | None, new: Link | None) -> list[LinkChanged]:
    """What has changed between two versions of a link."""
    link = new or old
    before, after = old.assigned_pod if old else None, new.assigned_pod if new else None
    if link is None or before == after:
        return []
    return [LinkChanged(link.route.name, link.uid, before, after)]


def _routing_states(route: Route | None) -> dict[PodKey | None, RoutingState]:
    if route is None or route.status.routing_state is None:
        return {}
    states: dict[PodKey | None, RoutingState] = {None: route.status.routing_state}
    states.update((pod_key(pod), pod.routing_state) for pod in route.status.pods)
    return states


class Subscription(AsyncIterator[Event]):
    """The events of one listener, in their order; they wait from the moment that it was made, until it is ended."""

    def __init__(self, limit: int = _MAX_QUEUED_EVENTS) -> None:
        self._events: asyncio.Queue[Change | None] = asyncio.Queue(limit)
        """None is the end."""
        self._lost = 0

    def put(self, event: Change) -> None:
        """Have an event wait."""
        if self._events.full():
            self._events.get_nowait()
            self._lost += 1
        self._events.put_nowait(event)

    def end(self) -> None:
        """Have it end after the events that wait."""
        if self._events.full():
            self._events.get_nowait()
            self._lost += 1
        self._events.put_nowait(None)

    async def __anext__(self) -> Event:
        if self._lost:
            lost, self._lost = self._lost, 0
            return EventsLost(lost)
        event = await self._events.get()
        if event is None:
            self.end()  # for whoever asks again
            raise StopAsyncIteration
        return event


class EventBroadcaster:
    """Events for any number of listeners; one that is no longer held by anybody is forgotten."""

    def __init__(self) -> None:
        self._subscriptions: WeakSet[Subscription] = WeakSet()
        self._has_ended = False

    def publish(self, events: Iterable[Change]) -> None:
        """Tell every listener."""
        if self._subscriptions:
            for event in events:
                for subscription in self._subscriptions:
                    subscription.put(event)

    def end(self) -> None:
        """End what everybody listens to; what is listened to later ends at once."""
        self._has_ended = True
        for subscription in tuple(self._subscriptions):
            subscription.end()
        self._subscriptions.clear()

    def subscribe(self) -> Subscription:
        """Every event from now on."""
        subscription = Subscription()
        if self._has_ended:
            subscription.end()
        self._subscriptions.add(subscription)
        return subscription
