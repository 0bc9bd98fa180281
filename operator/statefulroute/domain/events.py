"""Kubernetes events of links and routes, as `kubectl describe` and `kubectl events` show them."""

from dataclasses import dataclass
from enum import StrEnum

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE, Kind
from statefulroute.api.vocabulary import LinkPhase, LossCause, MoveReason, RemoveReason, WorkloadState
from statefulroute.domain.annotations import format_milli
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.route import Route


class EventType(StrEnum):
    """The type of an event."""

    NORMAL = "Normal"
    WARNING = "Warning"


class EventAction(StrEnum):
    """The action of an event."""

    BIND = "Bind"
    """A link was bound."""
    MOVE = "Move"
    """A link was bound to another pod than before."""
    ACKNOWLEDGE = "Acknowledge"
    """A link was marked Lost or Rejected."""
    REMOVE = "Remove"
    """A link was deleted."""
    ASSESS = "Assess"
    """The workload state of a service changed."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a link or a route.

    Attributes:
        kind: the kind of the object.
        namespace: the namespace of the object.
        name: the name of the object.
        type: the type of the event.
        action: what the operator did.
        reason: the reason, as a CamelCase word.
        note: a message that describes the event.
    """

    kind: Kind
    namespace: str
    name: str
    type: EventType
    action: EventAction
    reason: str
    note: str


def link_status_event(link: Link, status: LinkStatus, cause: LossCause | None) -> Event | None:
    """Returns the event of a new status; None if it needs none. A pending link has no event, only its status.

    Args:
        link: the link with its previous status.
        status: the new status.
        cause: why the previous pod was lost; None if a client moved the link.
    """
    match status.phase:
        case LinkPhase.BOUND if link.status_pod is not None and link.status_pod != status.pod:
            note = f"moved from pod {_pod_label(link.status)} to pod {_pod_label(status)}"
            if cause is None:
                return _link_event(link, EventType.NORMAL, EventAction.MOVE, MoveReason.MOVED, note)
            return _link_event(link, EventType.WARNING, EventAction.MOVE, MoveReason.POD_LOST, f"{note}: {cause}")
        case LinkPhase.BOUND if link.status_pod is not None and link.status and link.status.phase is LinkPhase.UNKNOWN:
            return None  # the link is on the pod that another version has bound it to
        case LinkPhase.BOUND if link.status is None or not link.status.is_ready:
            return _link_event(link, EventType.NORMAL, EventAction.BIND, status.reason, status.message)
        case LinkPhase.LOST | LinkPhase.REJECTED if link.status != status:
            return _link_event(link, EventType.WARNING, EventAction.ACKNOWLEDGE, status.reason, status.message)
        case _:
            return None


def workload_state_event(route: Route, previous: WorkloadState | None, assessment: Assessment) -> Event | None:
    """Returns the event of a changed workload state; None if it is unchanged, or was or is unknown."""
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


def _pod_label(status: LinkStatus | None) -> str:
    """Returns the pod of a status: its name, or its index if an earlier version did not write the name."""
    return repr(status and (status.pod_name or status.pod))


def link_removed_event(link: Link, reason: RemoveReason, cause: LossCause | None = None) -> Event:
    """Returns the event of a link that the operator deleted.

    Args:
        link: the link as it was.
        reason: why it was deleted.
        cause: why its pod is lost, if that is the reason.
    """
    match reason:
        case RemoveReason.EXPIRED:
            return _link_event(link, EventType.NORMAL, EventAction.REMOVE, reason, "its time was over")
        case RemoveReason.POD_LOST:
            pod = _pod_label(link.status) if link.status_pod == link.pod else repr(link.pod)
            return _link_event(link, EventType.WARNING, EventAction.REMOVE, reason, f"pod {pod} is lost: {cause}")
