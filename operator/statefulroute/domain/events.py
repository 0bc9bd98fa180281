"""Kubernetes events of links and routes, as `kubectl describe` and `kubectl events` show them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE, Kind
from statefulroute.api.model import Condition
from statefulroute.api.route_status import LostPodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import (
    ConditionType,
    LinkPhase,
    LossCause,
    MoveReason,
    RemoveReason,
    RouteEventReason,
    RouteReason,
    RoutingState,
    WorkloadState,
)
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.hand_over import HandOverResult, Outcome
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.lost_pods import LostPods
from statefulroute.domain.milli import format_milli
from statefulroute.domain.route import Route, RouteView

#: The reason of the event of a hand-over that the operator withdrew.
HAND_OVER_WITHDRAWN = "HandOverWithdrawn"


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
    HAND_OVER = "HandOver"
    """The hand-over of a link was withdrawn."""
    ACKNOWLEDGE = "Acknowledge"
    """A link was marked Lost or Rejected."""
    REMOVE = "Remove"
    """A link was deleted."""
    ASSESS = "Assess"
    """The workload state of a service changed."""
    OBSERVE = "Observe"
    """The routing state or the readiness of a route changed, the loss of pods began or ended, or two operators lead."""


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


def link_status_event(
    link: Link,
    status: LinkStatus,
    cause: LossCause | None,
    outcome: Outcome | None = None,
    reason: MoveReason | None = None,
) -> Event | None:
    """Returns the event of a new status; None if it needs none. A pending link has no event, only its status.

    Args:
        link: the link with its previous status.
        status: the new status.
        cause: why the previous pod was lost or had to be emptied; None if a client moved the link.
        outcome: how the hand-over ended by which the link has moved; None if there was none.
        reason: why the slot has left its previous pod; None if it has not, or the other arguments tell it.
    """
    match status.phase:
        case LinkPhase.BOUND if link.status_pod is not None and link.status_pod != status.pod:
            pods = f"from pod {_pod_label(link.status)} to pod {_pod_label(status)}"
            return _moved_event(link, pods, cause, outcome, reason)
        case LinkPhase.BOUND if link.status_pod is not None and link.status and link.status.phase is LinkPhase.UNKNOWN:
            return None  # the link is on the pod that another version has bound it to
        case LinkPhase.BOUND if link.status is None or not link.status.is_ready:
            return _link_event(link, EventType.NORMAL, EventAction.BIND, status.reason, status.message)
        case LinkPhase.LOST | LinkPhase.REJECTED if _verdict(status) != _verdict(link.status):
            return _link_event(link, EventType.WARNING, EventAction.ACKNOWLEDGE, status.reason, status.message)
        case _:
            return None


def _moved_event(
    link: Link, pods: str, cause: LossCause | None, outcome: Outcome | None, slot_reason: MoveReason | None
) -> Event:
    suffix = "" if cause is None else f": {cause}"
    if outcome is None:
        kind, reason = (
            (EventType.NORMAL, MoveReason.MOVED) if cause is None else (EventType.WARNING, MoveReason.POD_LOST)
        )
        return _link_event(link, kind, EventAction.MOVE, slot_reason or reason, f"moved {pods}{suffix}")
    reason = slot_reason or MoveReason.HANDED_OVER
    if outcome.result is HandOverResult.COMMITTED:
        note = f"handed over {pods}{suffix}"
        return _link_event(link, EventType.NORMAL, EventAction.MOVE, reason, note)
    note = f"moved {pods} without a hand-over: {outcome.explanation}"
    return _link_event(link, EventType.WARNING, EventAction.MOVE, reason, note)


def hand_over_withdrawn_event(link: Link, explanation: str) -> Event:
    """Returns the event of a hand-over that the operator withdrew.

    Args:
        link: the link as it was.
        explanation: why.
    """
    new_pod = None if link.hand_over is None else link.hand_over.pod
    note = f"the hand-over to pod {new_pod!r} is withdrawn: {explanation}"
    return _link_event(link, EventType.NORMAL, EventAction.HAND_OVER, HAND_OVER_WITHDRAWN, note)


def workload_state_event(route: Route, previous: WorkloadState | None, assessment: Assessment) -> Event | None:
    """Returns the event of a changed workload state; None if it is unchanged, or was or is unknown."""
    if assessment.state is None or previous in {None, WorkloadState.UNKNOWN, assessment.state}:
        return None
    kind = EventType.WARNING if assessment.state is WorkloadState.OVERLOADED else EventType.NORMAL
    load = (
        ""
        if assessment.load_milli is None
        else f": the mean weighted load of its pods is {format_milli(assessment.load_milli)}"
    )
    note = f"the service was {previous} and is {assessment.state}{load}"
    return Event(STATEFUL_ROUTE, route.namespace, route.name, kind, EventAction.ASSESS, assessment.state, note)


def route_status_events(route: Route, status: StatefulRouteStatus) -> Iterator[Event]:
    """Yields the events of a new status: a drain, a suspension of losses, or a change of the Ready condition.

    The first status of a route has none, except for a suspension.

    Args:
        route: the route with its previous status.
        status: the new status.
    """
    before, after = route.status.routing_state, status.routing_state
    if before is not None and after is not None and before is not after and {before, after} & _DRAINED.keys():
        reason = RouteEventReason.DRAIN_STARTED if after in _DRAINED else RouteEventReason.DRAIN_ENDED
        effect = _DRAINED.get(after, "the pods take new users")
        note = f"routingState changed from {before} to {after} (generation {route.generation}): {effect}"
        yield route_event(route, EventType.NORMAL, reason, note)
    was_suspended, suspension = (_condition(each, ConditionType.LOSS_SUSPENDED) for each in (route.status, status))
    if suspension is not None and _is_true(was_suspended) != _is_true(suspension):
        if _is_true(suspension):
            yield route_event(route, EventType.WARNING, RouteEventReason.LOSS_SUSPENDED, suspension.message)
        else:
            yield route_event(route, EventType.NORMAL, RouteEventReason.LOSS_RESUMED, suspension.message)
    was_ready, ready = (_condition(each, ConditionType.READY) for each in (route.status, status))
    if was_ready is not None and ready is not None and was_ready.status != ready.status:
        is_expected = ready.status == "True" or ready.reason == RouteReason.SHUTDOWN
        kind = EventType.NORMAL if is_expected else EventType.WARNING
        yield route_event(route, kind, ready.reason, ready.message)


#: The routing states of a route that is drained, with their effect.
_DRAINED = {
    RoutingState.DENY_NEW_CALL: "the pods keep their users and take no new ones",
    RoutingState.SHUTDOWN: "the pods serve no users",
}


def _condition(status: StatefulRouteStatus, condition_type: ConditionType) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type is condition_type), None)


def _is_true(condition: Condition | None) -> bool:
    return condition is not None and condition.status == "True"


def lost_pods_events(view: RouteView, before: LostPods, after: LostPods) -> Iterator[Event]:
    """Yields the events of changed lost pods of a route: at most one for each cause, and two for losses that are over.

    Args:
        view: the route.
        before: the lost pods that have links, as before.
        after: the same, as they are now.
    """
    started = [pod for key, pod in after.items() if key not in before]
    for cause in sorted({pod.cause for pod in started}):
        pods = [pod for pod in started if pod.cause == cause]
        links = sum(pod.links for pod in pods)
        note = f"{_named(pods)} lost with {links} link{'' if links == 1 else 's'}: {cause}"
        yield route_event(view.route, EventType.WARNING, RouteEventReason.LOSS_STARTED, note)
    ended = {key: pod for key, pod in before.items() if key not in after}
    if back := [pod for key, pod in ended.items() if view.link_count(key)]:
        note = f"{_named(back)} back, and users are served again"
        yield route_event(view.route, EventType.NORMAL, RouteEventReason.LOSS_ENDED, note)
    if left := [pod for key, pod in ended.items() if not view.link_count(key)]:
        note = f"{_named(left)} without links: all have moved or were deleted"
        yield route_event(view.route, EventType.NORMAL, RouteEventReason.LOSS_ENDED, note)


#: The number of pods that an event names.
_MAX_NAMED_PODS = 3


def _named(pods: Sequence[LostPodStatus]) -> str:
    """Returns the start of a sentence about pods: their names and the verb."""
    names = ", ".join(repr(pod.name) for pod in pods[:_MAX_NAMED_PODS])
    more = f" and {len(pods) - _MAX_NAMED_PODS} more" if len(pods) > _MAX_NAMED_PODS else ""
    return f"pod {names} is" if len(pods) == 1 else f"pods {names}{more} are"


def route_event(route: Route, kind: EventType, reason: str, note: str) -> Event:
    """Returns an event of what was observed of a route."""
    return Event(STATEFUL_ROUTE, route.namespace, route.name, kind, EventAction.OBSERVE, reason, note)


def foreign_writer_event(route: Route, writer: str) -> Event:
    """Returns the event of a route whose status another operator has written while this one leads."""
    note = (
        f"operator {writer!r} writes the status of this route, too: two operators lead, and undo each other's choices"
    )
    return route_event(route, EventType.WARNING, RouteEventReason.ANOTHER_OPERATOR_WRITES, note)


def _link_event(link: Link, kind: EventType, action: EventAction, reason: str, note: str) -> Event:
    return Event(POD_LINK, link.route.namespace, link.name, kind, action, reason, note)


def _verdict(status: LinkStatus | None) -> tuple[object, ...]:
    """Returns what an event of a lost or rejected link depends on: not the message, which changes with the version."""
    return () if status is None else (status.phase, status.reason, status.pod)


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
        case RemoveReason.NO_SUCH_SLOT:
            return _link_event(link, EventType.NORMAL, EventAction.REMOVE, reason, "the route does not have this slot")
        case RemoveReason.POD_LOST:
            pod = _pod_label(link.status) if link.status_pod == link.pod else repr(link.pod)
            return _link_event(link, EventType.WARNING, EventAction.REMOVE, reason, f"pod {pod} is lost: {cause}")
