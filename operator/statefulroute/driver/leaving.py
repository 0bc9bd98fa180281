"""Adds to the events of a pod's users and slots that they are about to leave: the pod closes, or hands them over."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from statefulroute.cluster.clock import IntervalClock, utc_interval
from statefulroute.domain.keys import UidOrSlot
from statefulroute.domain.leaving import hand_over_from
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.service import pod_key
from statefulroute.driver.hand_over_timeouts import HandOverTimeouts
from statefulroute.driver.parts import ServerParts, Users
from statefulroute.driver.user_events import (
    ServerChange,
    SlotArrived,
    SlotChange,
    SlotLeft,
    UserArrived,
    UserChange,
    UserLeft,
    key_of,
    leaving,
    staying,
)

#: Tuples, because that of a union takes longer, and each event is compared.
_ARRIVED = (UserArrived, SlotArrived)
_LEFT = (UserLeft, SlotLeft)


class Publish(Protocol):
    """Takes events, in order."""

    def __call__(self, events: Sequence[ServerChange], *, is_state: bool = False) -> None:
        """Takes events; with `is_state`, they are of all users at once, and no consumer is too slow for them."""


@dataclass(eq=False, slots=True)
class Departure:
    """A user or a slot that the pod has to hand over to another pod.

    Attributes:
        service: the service.
        bound: the uid of the user, or the number of the slot.
        hand_over: what the link asks for.
        deadline: until when the pod keeps the user or slot, by the time of day.
        ends_at: the same by the clock of the event loop.
        has_left: whether the user or slot is no longer at the pod.
        is_withdrawn: whether the link no longer asks for this hand-over.
        sent_uid: a user whose state the new pod may have; None if it has none.
    """

    service: str
    bound: UidOrSlot
    hand_over: HandOver
    deadline: datetime
    ends_at: float
    has_left: bool = False
    is_withdrawn: bool = False
    sent_uid: str | None = None

    @property
    def key(self) -> tuple[str, UidOrSlot]:
        """The service, and the uid or the slot."""
        return self.service, self.bound

    @property
    def fields(self) -> dict[str, UidOrSlot]:
        """The uid or the slot, as a log field."""
        return {"uid" if isinstance(self.bound, str) else "slot": self.bound}

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.has_left or self.is_withdrawn


class DepartureListener(Protocol):
    """Learns of hand-overs. It must not raise."""

    def begin(self, departure: Departure) -> None:
        """Learns that the pod has to hand a user or a slot over."""

    def end(self, departure: Departure) -> None:
        """Learns that a hand-over has ended; the departure says how."""


class LeavingUsers:
    """The events of the users and slots of a pod, with those of its closing and of hand-overs.

    Args:
        parts: the parts of the driver. The status of the route of the pod's own service says whether it is closing.
        users: the users of the pod.
        publish: takes the events from now on.
        clock: the time of day by both clocks.

    Attributes:
        departures: the users and slots to hand over, by service, and by uid or slot.
        timeouts: how long the pods may take for it.
    """

    def __init__(self, parts: ServerParts, users: Users, publish: Publish, clock: IntervalClock = utc_interval) -> None:
        self._users = users
        self._routes = parts.routes
        self._server = parts.server
        self._publish = publish
        self._clock = clock
        self._listener: DepartureListener | None = None
        self.departures: dict[tuple[str, UidOrSlot], Departure] = {}
        self.timeouts = HandOverTimeouts(parts.routes, parts.services, parts.server, self._find_departures)
        self._deadline: datetime | None = None
        """Until when the closing pod keeps its users; None if it is not closing."""
        self._deadline = self._read_deadline()
        users.listen(lambda event: publish(self._with_leaving(event)))
        users.listen_links(self._link_changed)
        parts.routes.listen(parts.server.service, self._route_changed)
        for service in users.services:
            self._find_departures(service)

    def listen(self, listener: DepartureListener) -> None:
        """Notifies a listener of all hand-overs, also of the present ones."""
        self._listener = listener
        for departure in self.departures.values():
            listener.begin(departure)

    def close(self) -> None:
        """Stops reading routes."""
        self.timeouts.close()

    def present(self) -> list[ServerChange]:
        """Returns the events that lead to the present state."""
        events: list[ServerChange] = []
        for event in self._users.present():
            events += self._with_leaving(event)
            if isinstance(event, _ARRIVED) and (departure := self.departures.get(key_of(event))):
                events.append(_leaving(departure))
        return events

    def _with_leaving(self, event: ServerChange) -> list[ServerChange]:
        """Returns an event; of an arrival at a closing pod also that the user or slot leaves."""
        if isinstance(event, _LEFT):
            self._end(key_of(event), has_left=True)
        elif isinstance(event, SlotArrived):
            self.timeouts.expect_slots(event.service, is_new=event.previous is None)
        if self._deadline is not None and isinstance(event, _ARRIVED):
            return [event, leaving(*key_of(event), None, self._deadline)]
        return [event]

    # Hand-overs.

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        if (new is not None and new.hand_over is not None) or (old is not None and old.hand_over is not None):
            self._update_departure(new or old, hand_over_from(new, self._server.pod))

    def _find_departures(self, service: str) -> None:
        """Finds the hand-overs of a service that the pod does not know yet, or which its route no longer allows."""
        for link in self._users.links(service):
            if link.is_of_slot:
                self.timeouts.slots(service)  # reads it, so that it is known when it is needed
            if link.hand_over is not None or (service, link.bound) in self.departures:
                self._update_departure(link, hand_over_from(link, self._server.pod))

    def _update_departure(self, link: Link | None, hand_over: HandOver | None) -> None:
        if link is None:
            return
        service, bound = link.route.name, link.bound
        key = service, bound
        timeout = None if hand_over is None else self._timeout(service, bound)
        present = self.departures.get(key)
        if hand_over is None or timeout is None:  # the operator moves the users of a route without hand-overs at once
            if present is not None:
                self._end(key, has_left=False)
                self._publish([self._change(service, bound)])
            return
        if present is not None and present.hand_over == hand_over:
            return
        if present is not None:
            self._end(key, has_left=False)
        deadline = self._clock().earliest + timedelta(seconds=timeout)
        ends_at = asyncio.get_running_loop().time() + timeout
        departure = self.departures[key] = Departure(service, bound, hand_over, deadline, ends_at)
        self._publish([_leaving(departure)])
        if self._listener is not None:
            self._listener.begin(departure)

    def _timeout(self, service: str, bound: UidOrSlot) -> float | None:
        """Returns the time-out of a hand-over; None if there is none, or until the route is read.

        A slot is not handed over before the number of slots is known: its users could not be found.
        """
        if isinstance(bound, int) and self.timeouts.slots(service) is None:
            self.timeouts.expect_slots(service)
            return None
        return self.timeouts.get(service)

    def _end(self, key: tuple[str, UidOrSlot], *, has_left: bool) -> None:
        departure = self.departures.pop(key, None)
        if departure is not None:
            departure.has_left, departure.is_withdrawn = has_left, not has_left
            if self._listener is not None:
                self._listener.end(departure)

    # The closing of the pod.

    def _route_changed(self) -> None:
        deadline = self._read_deadline()
        if deadline != self._deadline:
            self._deadline = deadline
            self._publish([self._change(*key) for key in self._keys()], is_state=True)

    def _change(self, service: str, bound: UidOrSlot) -> UserChange | SlotChange:
        """Returns the event of a user or a slot that the pod does not hand over."""
        if self._deadline is None:
            return staying(service, bound)
        return leaving(service, bound, None, self._deadline)

    def _keys(self) -> list[tuple[str, UidOrSlot]]:
        """Returns the users and slots that the pod does not hand over."""
        keys = [(service, link.bound) for service in self._users.services for link in self._users.links(service)]
        return [key for key in keys if key not in self.departures]

    def _read_deadline(self) -> datetime | None:
        """Returns the deadline by the status of the route; the last one if the status does not list the pod."""
        route = self._routes.get(self._server.service)
        pods = route.status.pods if route is not None else ()
        pod = next((pod for pod in pods if pod_key(pod) == self._server.pod), None)
        if pod is None:
            return self._deadline
        return None if pod.closing is None else pod.closing.deadline


def _leaving(departure: Departure) -> UserChange | SlotChange:
    return leaving(*departure.key, departure.hand_over.pod, departure.deadline)
