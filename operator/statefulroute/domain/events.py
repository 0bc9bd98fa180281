"""What happens to a link or a route, as people read it in `kubectl describe` and `kubectl events`."""

from dataclasses import dataclass
from enum import StrEnum

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE, Kind
from statefulroute.api.vocabulary import LinkPhase, MoveReason, RemoveReason, WorkloadState
from statefulroute.domain.annotations import format_milli
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.route import Route


class EventType(StrEnum):
    """Whether somebody should look at it."""

    NORMAL = "Normal"
    WARNING = "Warning"


class EventAction(StrEnum):
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
    action: EventAction
    reason: str
    note: str


def link_status_event(link: Link, status: LinkStatus, move_reason: MoveReason) -> Event | None:
    """The event of a new status; None where it is no news: a link that waits says so in its status."""
    came_from = link.status_pod
    match status.phase:
        case LinkPhase.BOUND if came_from is not None and came_from != status.pod:
            kind = EventType.WARNING if move_reason is MoveReason.POD_LOST else EventType.NORMAL
            return _link_event(
                link, kind, EventAction.MOVE, move_reason, f"moved from pod {came_from!r} to pod {status.pod_name!r}"
            )
        case LinkPhase.BOUND if link.status is None or not link.status.is_ready:
            return _link_event(link, EventType.NORMAL, EventAction.BIND, status.reason, status.message)
        case LinkPhase.LOST | LinkPhase.REJECTED if link.status != status:
            return _link_event(link, EventType.WARNING, EventAction.ACKNOWLEDGE, status.reason, status.message)
        case _:
            return None


def workload_state_event(route: Route, previous: WorkloadState | None, assessment: Assessment) -> Event | None:
    """The event of a service that has become busier or less busy; None where nobody could say before, or can now."""
    if assessment.state is None or previous is None or assessment.state is previous:
        return None
    kind = EventType.WARNING if assessment.state is WorkloadState.OVERLOADED else EventType.NORMAL
    load = (
        ""
        if assessment.load_milli is None
        else f": the mean weighted load of its pods is {format_milli(assessment.load_milli)}"
    )
    note = f"the service was {previous} and is {assessment.state}{load}"
    return Event(STATEFUL_ROUTE, route.namespace, route.name, kind, EventAction.ASSESS, assessment.state, note)


def _link_event(link: Link, kind: EventType, action: EventAction, reason: str, note: str) -> Event:
    return Event(POD_LINK, link.route.namespace, link.name, kind, action, reason, note)


def link_removed_event(link: Link, reason: RemoveReason) -> Event:
    """The event of a link that the operator has deleted."""
    match reason:
        case RemoveReason.EXPIRED:
            return _link_event(link, EventType.NORMAL, EventAction.REMOVE, reason, "its time was over")
        case RemoveReason.POD_LOST:
            return _link_event(link, EventType.WARNING, EventAction.REMOVE, reason, f"pod {link.pod!r} is lost")
