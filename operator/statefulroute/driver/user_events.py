"""The events of a server driver: users and slots that arrive at its pod and leave it, and losses of the API server."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from statefulroute.domain.keys import PodKey, UidOrSlot
from statefulroute.domain.link import Link
from statefulroute.driver.events import EventsLost


class LeaveReason(StrEnum):
    """Why a user or a slot is no longer at a pod."""

    UNBOUND = "Unbound"
    """The link was deleted, or names another pod: `get_linked_pod` returns which."""
    EXPIRED = "Expired"
    """The time of the temporary link was over."""
    MISSED = "Missed"
    """The driver has missed changes of the link, so the user or slot may have been at another pod. A `UserArrived` or
    `SlotArrived` follows."""


@dataclass(frozen=True, slots=True)
class UserArrived:
    """A user is bound to the pod.

    Attributes:
        service: the service.
        uid: the user.
        previous: the pod that held the user before, by the status of the link; None if none did, or if it is unknown.
    """

    service: str
    uid: str
    previous: PodKey | None


@dataclass(frozen=True, slots=True)
class UserLeaving:
    """The user will be moved: the pod is closing, or was asked to hand the user over. Repeated if that changes.

    Attributes:
        service: the service.
        uid: the user.
        to: the pod to hand the user over to; None if the pod is closing, and the other pod is not known yet.
        deadline: until when the pod keeps the user.
    """

    service: str
    uid: str
    to: PodKey | None
    deadline: datetime


@dataclass(frozen=True, slots=True)
class UserStaying:
    """A user for whom there was a `UserLeaving` stays: the pod is no longer closing, or the hand-over was withdrawn.

    Attributes:
        service: the service.
        uid: the user.
    """

    service: str
    uid: str


@dataclass(frozen=True, slots=True)
class UserLeft:
    """A user is no longer bound to the pod.

    Attributes:
        service: the service.
        uid: the user.
        reason: why.
    """

    service: str
    uid: str
    reason: LeaveReason


@dataclass(frozen=True, slots=True)
class SlotArrived:
    """A slot is bound to the pod, with all its users that have no link of their own.

    Attributes:
        service: the service.
        slot: the number of the slot.
        previous: the pod that held the slot before, by the status of the link; None if none did, or if it is unknown.
    """

    service: str
    slot: int
    previous: PodKey | None


@dataclass(frozen=True, slots=True)
class SlotLeaving:
    """The slot will be moved: the pod is closing, or was asked to hand the slot over. Repeated if that changes.

    Attributes:
        service: the service.
        slot: the number of the slot.
        to: the pod to hand the slot over to; None if the pod is closing, and the other pod is not known yet.
        deadline: until when the pod keeps the slot.
    """

    service: str
    slot: int
    to: PodKey | None
    deadline: datetime


@dataclass(frozen=True, slots=True)
class SlotStaying:
    """A slot for which there was a `SlotLeaving` stays: the pod is no longer closing, or the hand-over was withdrawn.

    Attributes:
        service: the service.
        slot: the number of the slot.
    """

    service: str
    slot: int


@dataclass(frozen=True, slots=True)
class SlotLeft:
    """A slot is no longer bound to the pod.

    Attributes:
        service: the service.
        slot: the number of the slot.
        reason: why.
    """

    service: str
    slot: int
    reason: LeaveReason


@dataclass(frozen=True, slots=True)
class ArrivalCancelled:
    """A state that the pod has taken does not count: the hand-over was withdrawn, or another one has begun.

    A consumer that is slow may get it when the pod has already taken a newer state of the user, by another hand-over.
    So drop the state only if it is that of an `ArrivingUser` with this number.

    Attributes:
        service: the service.
        uid: the user.
        number: the number of the last state of the user that the pod has taken by then. Comparisons ignore it.
    """

    service: str
    uid: str
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class CutOff:
    """The API server has not answered for longer than `fence_after_seconds`: users may have been moved meanwhile.

    Attributes:
        seconds: the time since the last request that it has answered.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The API server answers again, and the users of the pod were read. Events of those that left precede this one.

    Attributes:
        seconds: the time since the last request that it has answered before.
    """

    seconds: float


UserChange = UserArrived | UserLeaving | UserStaying | UserLeft
SlotChange = SlotArrived | SlotLeaving | SlotStaying | SlotLeft
_USER_CHANGES = (UserArrived, UserLeft, UserLeaving, UserStaying)
ServerChange = UserChange | SlotChange | ArrivalCancelled | CutOff | Reconnected
ServerEvent = ServerChange | EventsLost


def arrived(service: str, bound: UidOrSlot, previous: PodKey | None) -> UserArrived | SlotArrived:
    """Returns the event of a user or a slot that has arrived."""
    if isinstance(bound, str):
        return UserArrived(service, bound, previous)
    return SlotArrived(service, bound, previous)


def leaving(service: str, bound: UidOrSlot, to: PodKey | None, deadline: datetime) -> UserLeaving | SlotLeaving:
    """Returns the event of a user or a slot that will be moved."""
    if isinstance(bound, str):
        return UserLeaving(service, bound, to, deadline)
    return SlotLeaving(service, bound, to, deadline)


def staying(service: str, bound: UidOrSlot) -> UserStaying | SlotStaying:
    """Returns the event of a user or a slot that stays."""
    return UserStaying(service, bound) if isinstance(bound, str) else SlotStaying(service, bound)


def left(service: str, bound: UidOrSlot, reason: LeaveReason) -> UserLeft | SlotLeft:
    """Returns the event of a user or a slot that has left."""
    return UserLeft(service, bound, reason) if isinstance(bound, str) else SlotLeft(service, bound, reason)


def key_of(event: UserChange | SlotChange) -> tuple[str, UidOrSlot]:
    """Returns the service, and the uid or the slot, that an event is about."""
    if isinstance(event, _USER_CHANGES):
        return event.service, event.uid
    return event.service, event.slot


def user_changes(
    old: Link | None, new: Link | None, pod: PodKey, now: datetime
) -> list[UserArrived | UserLeft | SlotArrived | SlotLeft]:
    """Returns the changes for a pod between two versions of a link that follow each other in a cache.

    Args:
        old: the version before; None if the link was not known.
        new: the version after; None if the link is unknown from now on.
        pod: the pod.
        now: the time, which tells whether the link has expired.
    """
    changes: list[UserArrived | UserLeft | SlotArrived | SlotLeft] = []
    was_here, is_here = _holds(old, pod), _holds(new, pod)
    has_missed = was_here and is_here and _may_have_been_elsewhere(old, new)
    if old is not None and was_here and (has_missed or not is_here):
        changes.append(left(old.route.name, old.bound, _reason(old, now, has_missed=has_missed)))
    if new is not None and is_here and (has_missed or not was_here):
        changes.append(arrived(new.route.name, new.bound, None if new.status_pod == pod else new.status_pod))
    return changes


def _holds(link: Link | None, pod: PodKey) -> bool:
    return link is not None and link.assigned_pod == pod


def _may_have_been_elsewhere(old: Link | None, new: Link | None) -> bool:
    """Returns whether the link may have named another pod between two versions that name the same one.

    Each write of the spec increments the generation: two writes can move a link away and back, one cannot. A renewal is
    a write of the spec, too, so two missed renewals look the same.
    """
    if old is None or new is None:
        return False
    return old.creation_timestamp != new.creation_timestamp or not 0 <= new.generation - old.generation <= 1


def _reason(old: Link | None, now: datetime, *, has_missed: bool) -> LeaveReason:
    if has_missed:
        return LeaveReason.MISSED
    return LeaveReason.EXPIRED if old is not None and old.has_expired(now) else LeaveReason.UNBOUND
