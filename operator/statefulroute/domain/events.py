"""What happens to a link or a route, as people read it in `kubectl describe` and `kubectl events`."""

from dataclasses import dataclass
from enum import StrEnum

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE, Kind
from statefulroute.api.vocabulary import LinkPhase, MoveReason, RemoveReason, WorkloadState
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.link import Acknowledgement, Link
from statefulroute.domain.notes import decimal
from statefulroute.domain.route import Route


class EventType(StrEnum):
    """Whether somebody should look at it."""

    NORMAL = "Normal"
    WARNING = "Warning"


class Action(StrEnum):
    """What the operator did."""

    BIND = "Bind"
    """A link is Bound that was bound nowhere."""
    MOVE = "Move"
    """A link is Bound to another pod than before."""
    ACKNOWLEDGE = "Acknowledge"
    """A link was lost or rejected, and its status says so."""
    REMOVE = "Remove"
    """A link was deleted."""
    ASSESS = "Assess"
    """A service was found to be busier or less busy than before."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened to a link or to a route.

    Attributes:
        kind: of which kind the object is.
        namespace: where it is.
        name: its name.
        type: whether somebody should look at it.
        action: what the operator did.
        reason: why, as one word.
        note: what happened, as a sentence.
    """

    kind: Kind
    namespace: str
    name: str
    type: EventType
    action: Action
    reason: str
    note: str


def acknowledged(link: Link, said: Acknowledgement, moved: MoveReason) -> Event | None:
    """The event of a new status; None where it is no news: a link that waits says so in its status."""
    came_from = link.was_bound_to
    match said.phase:
        case LinkPhase.BOUND if came_from is not None and came_from != said.pod:
            kind = EventType.WARNING if moved is MoveReason.POD_LOST else EventType.NORMAL
            return _of_link(link, kind, Action.MOVE, moved, f"moved from pod {came_from!r} to pod {said.pod_name!r}")
        case LinkPhase.BOUND if link.acknowledged is None or not link.acknowledged.is_ready:
            return _of_link(link, EventType.NORMAL, Action.BIND, said.reason, said.message)
        case LinkPhase.LOST | LinkPhase.REJECTED if link.acknowledged != said:
            return _of_link(link, EventType.WARNING, Action.ACKNOWLEDGE, said.reason, said.message)
        case _:
            return None


def workload_changed(route: Route, before: WorkloadState | None, found: Assessment) -> Event | None:
    """The event of a service that has become busier or less busy; None where nobody could say before, or can now."""
    if found.state is None or before is None or found.state is before:
        return None
    kind = EventType.WARNING if found.state is WorkloadState.OVERLOADED else EventType.NORMAL
    load = "" if found.load_milli is None else f": the mean weighted load of its pods is {decimal(found.load_milli)}"
    note = f"the service was {before} and is {found.state}{load}"
    return Event(STATEFUL_ROUTE, route.group, route.name, kind, Action.ASSESS, found.state, note)


def _of_link(link: Link, kind: EventType, action: Action, reason: str, note: str) -> Event:
    return Event(POD_LINK, link.group.namespace, link.name, kind, action, reason, note)


def removed(link: Link, reason: RemoveReason) -> Event:
    """The event of a link that the operator has deleted."""
    match reason:
        case RemoveReason.EXPIRED:
            return _of_link(link, EventType.NORMAL, Action.REMOVE, reason, "its time was over")
        case RemoveReason.POD_LOST:
            return _of_link(link, EventType.WARNING, Action.REMOVE, reason, f"pod {link.pod!r} is lost")
