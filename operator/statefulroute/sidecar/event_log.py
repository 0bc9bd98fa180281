"""Numbers the events of the pod's users and slots, and keeps the latest ones and the state that they lead to."""

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice

import msgspec

from statefulroute.domain.keys import UidOrSlot
from statefulroute.driver.user_events import (
    CutOff,
    Reconnected,
    ServerChange,
    SlotArrived,
    SlotLeaving,
    SlotLeft,
    SlotStaying,
    UserArrived,
    UserLeaving,
    UserLeft,
    UserStaying,
    key_of,
)
from statefulroute.sidecar.answers import (
    ArrivingEvent,
    HandOverEvent,
    LostEvent,
    SlotHandOverEvent,
    SlotState,
    StateEvent,
    UserState,
)
from statefulroute.sidecar.event_bodies import Request, event_body, event_name

#: The most events that are written to a stream at once.
_BATCH = 500

_encode = msgspec.json.Encoder().encode


class EventLog:
    """The events of the users and slots of a pod.

    A client has seen all events up to a position. It may continue there as long as the events after it are kept;
    otherwise it gets the state. So a slow client costs no memory.

    Args:
        kept_events: the number of events that are kept.
        name: the start of the ids of the events; by default a random one, so that ids of another sidecar, or of this
            one before a restart, are not taken for own ones.

    Attributes:
        name: the start of the ids.
    """

    def __init__(self, kept_events: int, name: str | None = None) -> None:
        self.name = secrets.token_hex(4) if name is None else name
        self._events: deque[bytes] = deque(maxlen=kept_events)
        self._end = 0
        """The number of events so far."""
        self._held: dict[tuple[str, UidOrSlot], datetime | None] = {}
        """The users and slots of the pod, by route and uid or slot, with the deadline of a closing pod."""
        self._requests: dict[str, Request] = {}
        """The hand-overs that wait for the application, by id."""
        self._is_cut_off = False
        self._is_known = False
        self._has_ended = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def has_ended(self) -> bool:
        """Whether no further event will come."""
        return self._has_ended

    def replace(self, held: Iterable[tuple[str, UidOrSlot]], *, is_cut_off: bool, missed: int = 0) -> None:
        """Replaces the users and slots: at the start, or if events were missed.

        Args:
            held: the route, and the uid or the slot, of each.
            is_cut_off: whether the API server does not answer.
            missed: the number of missed events.
        """
        self._held = {key: self._held.get(key) for key in held}
        self._is_cut_off, self._is_known = is_cut_off, True
        self._end += missed
        if missed:
            self._events.clear()
        self._notify()

    def append(self, event: ServerChange) -> None:
        """Adds an event. The arrival of a known user or slot is none: it is part of the state."""
        match event:
            case UserArrived() | SlotArrived():
                if (key := key_of(event)) in self._held:
                    return
                self._held[key] = None
            case UserLeaving() | SlotLeaving():
                self._held[key_of(event)] = event.deadline
            case UserStaying() | SlotStaying():
                self._held[key_of(event)] = None
            case UserLeft() | SlotLeft():
                self._held.pop(key_of(event), None)
            case CutOff():
                self._is_cut_off = True
            case Reconnected():
                self._is_cut_off = False
        self._put(event_body(event))

    def ask(self, request: Request) -> None:
        """Adds the request of a hand-over; it is part of the state until its end."""
        self._requests[request.id] = request
        self._put(request)

    def end_request(self, hand_over_id: str) -> None:
        """Removes a request from the state: `left`, `staying` or another request tells the client."""
        self._requests.pop(hand_over_id, None)

    def end(self) -> None:
        """Ends all streams after the present events; a later stream ends at once."""
        self._has_ended = True
        self._notify()

    def position(self, event_id: str | None) -> int | None:
        """Returns the position after an event; None if the events after it are not kept, or the id is not one."""
        if event_id is None or not self._is_known:
            return None
        name, _, number = event_id.partition("-")
        if name != self.name or not (number.isascii() and number.isdigit()) or len(number) > len(str(self._end)):
            return None
        position = int(number)
        return position if self._start <= position <= self._end else None

    def read(self, position: int | None) -> tuple[bytes, int | None]:
        """Returns what a stream sends next, and the position after it; nothing if there is no event yet.

        Args:
            position: the position of the stream; None if it needs the state.
        """
        if position is None:
            return (self._state(), self._end) if self._is_known else (b"", None)
        if position < self._start:
            lost = _format(LostEvent(self._start - position))
            return lost + self._state(), self._end
        first = position - self._start
        last = min(first + _BATCH, len(self._events))
        return b"".join(islice(self._events, first, last)), self._start + last

    @contextmanager
    def listen(self, listener: Callable[[], None]) -> Iterator[None]:
        """Calls a function at each change while the context lasts: there is more to read, or the log has ended."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    @property
    def _start(self) -> int:
        """The position before the first event that is kept."""
        return self._end - len(self._events)

    def _put(self, body: msgspec.Struct) -> None:
        self._end += 1
        self._events.append(_format(body, self._id()))
        self._notify()

    def _id(self) -> str:
        """Returns the id of the last event."""
        return f"{self.name}-{self._end}"

    def _state(self) -> bytes:
        held, requests = self._held.items(), self._requests.values()
        state = StateEvent(
            self._is_cut_off,
            [UserState(route, uid, deadline) for (route, uid), deadline in held if isinstance(uid, str)],
            [SlotState(route, slot, deadline) for (route, slot), deadline in held if isinstance(slot, int)],
            [each for each in requests if isinstance(each, HandOverEvent)],
            [each for each in requests if isinstance(each, SlotHandOverEvent)],
            [each for each in requests if isinstance(each, ArrivingEvent)],
        )
        return _format(state, self._id())

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()


def _format(body: msgspec.Struct, event_id: str | None = None) -> bytes:
    """Returns an event of a stream. JSON has no line breaks."""
    head = b"" if event_id is None else b"id: " + event_id.encode() + b"\n"
    return head + b"event: " + event_name(body) + b"\ndata: " + _encode(body) + b"\n\n"
