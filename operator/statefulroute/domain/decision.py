"""What to do about a link: a list of questions, each with a name, a reason and one place to change it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from statefulroute.api.vocabulary import (
    FOREIGN_NAMESPACE_MESSAGE,
    LinkPhase,
    LinkReason,
    MoveReason,
    PodLostAction,
    RemoveReason,
    RoutingState,
)
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.loss import is_permanently_gone
from statefulroute.domain.placement import available_pods, best_pod
from statefulroute.domain.route import PodView, RouteView


@dataclass(frozen=True, slots=True)
class LinkView:
    """All that a decision about one link may depend on, frozen at one moment."""

    link: Link
    route: RouteView | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Bind:
    """Write the chosen pod into the spec of a link that leaves the choice."""

    pod: PodKey


@dataclass(frozen=True, slots=True)
class Move:
    """Write another pod into the link's spec."""

    pod: PodKey
    reason: MoveReason


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete the link."""

    reason: RemoveReason


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """Say this in the link's status, unless it says so already."""

    status: LinkStatus


Plan = Bind | Move | Remove | UpdateStatus
Check = Callable[[LinkView], Plan | None]


def decide(view: LinkView) -> Plan:
    """What to do about this link now. Pure and total: the first question that applies answers."""
    for question in CHECKS:
        if (plan := question(view)) is not None:
            return plan
    raise AssertionError("the last question answers for every link")


def is_status_current(link: Link, status: LinkStatus) -> bool:
    """Whether the link's status already says this of the link's present spec."""
    return (
        link.status == status
        and link.observed_generation == link.generation
        and link.status_expire_time == link.expire_time
    )


def move_reason(view: LinkView) -> MoveReason:
    """Why the link's spec names another pod than its status, as far as can be seen afterwards.

    An operator that was killed between the two writes of a move leaves nothing else to tell it by.
    """
    route, left = view.route, view.link.status_pod
    if route is None or left is None or route.route.spec.on_pod_lost.action is not PodLostAction.REBIND:
        return MoveReason.MOVED
    # A pod that carries nobody any more and is not there is judged by nobody either.
    return MoveReason.POD_LOST if is_permanently_gone(route, left) or left in route.lost else MoveReason.MOVED


def is_waiting_for_room(route: RouteView | None, status: LinkStatus) -> bool:
    """Whether a link of which this is said would take the room that another link leaves on a pod."""
    if status.reason is LinkReason.AT_CAPACITY:
        return True
    rebinds = route is not None and route.route.spec.on_pod_lost.action is PodLostAction.REBIND
    return status.reason is LinkReason.POD_LOST and rebinds


def check_expiry(view: LinkView) -> Plan | None:
    """A temporary link ends when its time is over, whatever else is the matter with it."""
    return Remove(RemoveReason.EXPIRED) if view.link.has_expired(view.now) else None


def check_namespace(view: LinkView) -> Plan | None:
    """A link may name only its own namespace, as the server driver demands."""
    if view.link.foreign_namespace is None:
        return None
    return UpdateStatus(LinkStatus(LinkPhase.REJECTED, LinkReason.NOT_LOCAL_NAMESPACE, FOREIGN_NAMESPACE_MESSAGE))


def check_rules(view: LinkView) -> Plan | None:
    """A link that was stored before its kind's rules were there is held to them all the same."""
    if view.link.violation is None:
        return None
    return UpdateStatus(LinkStatus(LinkPhase.REJECTED, LinkReason.INVALID, view.link.violation))


def check_route_exists(view: LinkView) -> Plan | None:
    """Without its route a link waits, whatever it was bound to; its spec keeps the pod."""
    if view.route is not None:
        return None
    namespace, name = view.link.route
    return _pending(LinkReason.ROUTE_NOT_FOUND, f"StatefulRoute {name!r} does not exist in namespace {namespace!r}")


def check_pod_lost(view: LinkView) -> Plan | None:
    """The links of a lost pod go where the route's `onPodLost` says.

    One that was never bound to it waits for it first: its pod may be about to be made.
    """
    route, left = _route(view), view.link.pod
    loss = None if left is None else route.lost.get(left)
    if left is None or loss is None or not (loss.is_grace_over or view.link.status_pod == left):
        return None
    match route.route.spec.on_pod_lost.action:
        case PodLostAction.RELEASE:
            return Remove(RemoveReason.POD_LOST)
        case PodLostAction.REBIND:
            pod = best_pod(route, view.now)
            return (
                Move(pod.key, MoveReason.POD_LOST)
                if pod
                else _lost_status(route, left, ", and no other takes new users")
            )
        case PodLostAction.KEEP:
            return _lost_status(route, left, "")


def check_already_bound(view: LinkView) -> Plan | None:
    """A bound link stays bound while its pod restarts: what was acknowledged once is not taken back."""
    link, acknowledged = view.link, view.link.status
    if acknowledged is None or acknowledged.phase is not LinkPhase.BOUND or acknowledged.pod != link.pod:
        return None
    pod = _pod_view(view)
    return UpdateStatus(acknowledged if pod is None else _bound_status(pod))


def check_workload_exists(view: LinkView) -> Plan | None:
    """Without a workload there is no pod to check."""
    missing = _route(view).missing_workload
    return None if missing is None else _pending(LinkReason.WORKLOAD_NOT_FOUND, missing.message)


def check_pod_chosen(view: LinkView) -> Plan | None:
    """A link that leaves the choice gets the best pod."""
    if view.link.pod is not None:
        return None
    route = _route(view)
    if (pod := best_pod(route, view.now)) is not None:
        return Bind(pod.key)
    name = route.route.name
    if available_pods(route):
        most = route.route.spec.placement.max_links_per_pod
        return _pending(LinkReason.AT_CAPACITY, f"every available pod of StatefulRoute {name!r} carries {most} links")
    return _pending(LinkReason.NO_AVAILABLE_POD, f"no pod of StatefulRoute {name!r} takes new users now")


def check_pod_exists(view: LinkView) -> Plan | None:
    """A link to a pod that does not exist waits for it, until it counts as lost."""
    if _pod_view(view) is not None:
        return None
    return _pending(LinkReason.POD_NOT_FOUND, _pod_not_found_message(_route(view), view.link.pod))


def check_pod_routable(view: LinkView) -> Plan | None:
    """A link is accepted while its pod is routable, DenyNewCall included: a server says whom it holds."""
    pod = _pod_view(view)
    if pod is None or pod.is_routable:
        return None
    # The message names no passing state of the pod: a pod on its way to Ready rewrites no waiting link.
    why = "is shut down" if pod.routing_state is RoutingState.SHUTDOWN else "is not ready"
    return _pending(LinkReason.POD_NOT_ROUTABLE, f"pod {pod.pod.name!r} {why}")


def accept(view: LinkView) -> Plan | None:
    """Nothing stands against it."""
    pod = _pod_view(view)
    return None if pod is None else UpdateStatus(_bound_status(pod))


CHECKS: tuple[Check, ...] = (
    check_expiry,  # -> Remove(Expired)
    check_namespace,  # -> Rejected(NotLocalNamespace)
    check_rules,  # -> Rejected(Invalid)
    check_route_exists,  # -> Pending(RouteNotFound)
    check_pod_lost,  # -> Move | Remove | Lost(PodLost), as the route's onPodLost says
    check_already_bound,  # -> Bound, as before
    check_workload_exists,  # -> Pending(WorkloadNotFound)
    check_pod_chosen,  # -> Bind(best pod) | Pending(NoAvailablePod | AtCapacity)
    check_pod_exists,  # -> Pending(PodNotFound)
    check_pod_routable,  # -> Pending(PodNotRoutable)
    accept,  # -> Bound
)


def _route(view: LinkView) -> RouteView:
    """The route, for the questions after `has_no_route`."""
    if view.route is None:
        raise AssertionError("has_no_route answers first")
    return view.route


def _pod_view(view: LinkView) -> PodView | None:
    named = view.link.pod
    return None if view.route is None or named is None else view.route.pods.get(named)


def _pending(reason: LinkReason, message: str) -> UpdateStatus:
    return UpdateStatus(LinkStatus(LinkPhase.PENDING, reason, message))


def _pod_not_found_message(route: RouteView, named: PodKey | None) -> str:
    name = route.route.name
    is_indexed = route.workload is not None and route.workload.is_indexed
    if isinstance(named, str):
        hint = ": its pods are named by podIndex" if is_indexed else ""
        return f"StatefulRoute {name!r} has no pod of name {named!r} now{hint}"
    hint = "" if is_indexed else ": its pods are named by podName"
    return f"StatefulRoute {name!r} has no pod of index {named} now{hint}"


def _lost_status(route: RouteView, pod: PodKey, suffix: str) -> UpdateStatus:
    """Lost, and still naming the pod: it is bound there again when the pod comes back."""
    message = f"pod {pod!r} of StatefulRoute {route.route.name!r} {route.lost[pod].message}{suffix}"
    index, name = (pod, None) if isinstance(pod, int) else (None, pod)
    return UpdateStatus(LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, message, index, name))


def _bound_status(pod: PodView) -> LinkStatus:
    return LinkStatus(
        LinkPhase.BOUND,
        LinkReason.BOUND,
        f"bound to pod {pod.pod.name!r}",
        pod_index=pod.index,
        pod_name=pod.pod.name,
        host=pod.host,
    )
