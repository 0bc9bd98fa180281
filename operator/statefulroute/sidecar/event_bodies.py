"""The bodies of the events that streams get, from the events of the driver."""

import msgspec

from statefulroute.driver.user_events import (
    ArrivalCancelled,
    CutOff,
    Reconnected,
    ServerChange,
    SlotArrived,
    SlotChange,
    SlotLeaving,
    SlotLeft,
    SlotStaying,
    UserArrived,
    UserChange,
    UserLeaving,
    UserLeft,
    UserStaying,
)
from statefulroute.sidecar import answers
from statefulroute.sidecar.answers import optional_reference

#: The bodies of the events, by their name.
EVENTS: dict[str, type[msgspec.Struct]] = {
    "state": answers.StateEvent,
    "arrived": answers.ArrivedEvent,
    "leaving": answers.LeavingEvent,
    "hand-over": answers.HandOverEvent,
    "arriving": answers.ArrivingEvent,
    "arrival-cancelled": answers.ArrivalCancelledEvent,
    "staying": answers.StayingEvent,
    "left": answers.LeftEvent,
    "slot-arrived": answers.SlotArrivedEvent,
    "slot-leaving": answers.SlotLeavingEvent,
    "slot-hand-over": answers.SlotHandOverEvent,
    "slot-staying": answers.SlotStayingEvent,
    "slot-left": answers.SlotLeftEvent,
    "cut-off": answers.CutOffEvent,
    "reconnected": answers.ReconnectedEvent,
    "lost": answers.LostEvent,
}

#: The request of a hand-over.
Request = answers.HandOverEvent | answers.SlotHandOverEvent | answers.ArrivingEvent

_NAMES = {kind: name.encode() for name, kind in EVENTS.items()}


def event_name(body: msgspec.Struct) -> bytes:
    """Returns the name of an event by its body."""
    return _NAMES[type(body)]


def event_body(event: ServerChange) -> msgspec.Struct:
    """Returns the body of an event."""
    match event:
        case UserArrived() | UserLeaving() | UserStaying() | UserLeft():
            return _user_body(event)
        case SlotArrived() | SlotLeaving() | SlotStaying() | SlotLeft():
            return _slot_body(event)
        case ArrivalCancelled(service, uid):
            return answers.ArrivalCancelledEvent(service, uid)
        case CutOff(seconds):
            return answers.CutOffEvent(seconds)
        case Reconnected(seconds):
            return answers.ReconnectedEvent(seconds)


def _user_body(event: UserChange) -> msgspec.Struct:
    match event:
        case UserArrived(service, uid, previous):
            return answers.ArrivedEvent(service, uid, optional_reference(previous))
        case UserLeaving(service, uid, to, deadline):
            return answers.LeavingEvent(service, uid, optional_reference(to), deadline)
        case UserStaying(service, uid):
            return answers.StayingEvent(service, uid)
        case UserLeft(service, uid, reason):
            return answers.LeftEvent(service, uid, reason)


def _slot_body(event: SlotChange) -> msgspec.Struct:
    match event:
        case SlotArrived(service, slot, previous):
            return answers.SlotArrivedEvent(service, slot, optional_reference(previous))
        case SlotLeaving(service, slot, to, deadline):
            return answers.SlotLeavingEvent(service, slot, optional_reference(to), deadline)
        case SlotStaying(service, slot):
            return answers.SlotStayingEvent(service, slot)
        case SlotLeft(service, slot, reason):
            return answers.SlotLeftEvent(service, slot, reason)
