"""The conditions of a StatefulRoute: each one with its status, reason and message."""

from collections.abc import Container, Iterable, Mapping
from datetime import datetime

from statefulroute.api.limits import ROUTE_MESSAGE_MAX_BYTES
from statefulroute.api.model import Condition
from statefulroute.api.vocabulary import ConditionType, RouteReason, RoutingState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.pod_summary import MAX_NAMED_PODS, PodSummary
from statefulroute.domain.route import LossSuspension, PodView, RouteView
from statefulroute.domain.serving import not_serving_reason
from statefulroute.domain.truncation import truncate

#: Whether a condition is true, its reason and its message.
ConditionState = tuple[bool, str, str]


def route_conditions(  # noqa: PLR0913 - two kinds of conditions are made elsewhere
    view: RouteView,
    pods: PodSummary,
    now: datetime,
    planned: Mapping[ConditionType, ConditionState] = {},
    planned_generation: int = 0,
    *,
    further: Mapping[ConditionType, ConditionState] = {},
) -> Iterable[Condition]:
    """Yields the conditions of a route.

    Args:
        view: the route.
        pods: the summary of its pods.
        now: the current time.
        planned: the conditions of planned disruptions; empty if the route has none.
        planned_generation: the generation of the route that they are for.
        further: other conditions, for the present generation.
    """
    for kind, (holds, reason, message) in (
        (ConditionType.READY, _readiness(view, pods)),
        (ConditionType.WORKLOAD_FOUND, _workload_found(view)),
        (ConditionType.LOAD_FRESH, _load_freshness(view, pods)),
        (ConditionType.LINKS_SERVED, _links_served(view, pods)),
        (ConditionType.LOSS_SUSPENDED, _loss_suspended(view)),
        *planned.items(),
        *further.items(),
    ):
        yield condition(
            kind,
            is_true=holds,
            reason=reason,
            message=message,
            generation=planned_generation if kind in planned else view.route.generation,
            previous=view.route.status.conditions,
            now=now,
        )


def _readiness(view: RouteView, pods: PodSummary) -> ConditionState:
    """Ready: the route serves users."""
    found, reason, message = _workload_found(view)
    if not found:
        return False, reason, message
    if view.route.spec.routing_state is RoutingState.SHUTDOWN:
        return False, RouteReason.SHUTDOWN, "the route's routingState is Shutdown: it accepts no users"
    if not pods.routable:
        return False, RouteReason.NO_ROUTABLE_POD, "no pod of the workload is ready and takes users"
    pods_serve = "pod serves" if len(view.pods) == 1 else "pods serve"
    return True, RouteReason.ROUTABLE, f"{pods.routable} of {len(view.pods)} {pods_serve} users"


def _workload_found(view: RouteView) -> ConditionState:
    """WorkloadFound: the workload exists and is supported."""
    if view.missing_workload is not None:
        return False, view.missing_workload.reason, view.missing_workload.message
    route = view.route
    return True, RouteReason.WORKLOAD_FOUND, f"{route.spec.workload_ref.kind} {route.workload_name!r} exists"


def _load_freshness(view: RouteView, pods: PodSummary) -> ConditionState:
    """LoadFresh: all pods that serve users have fresh load."""
    serving, stale = pods.routable, pods.stale
    if not serving:
        return False, RouteReason.NO_ROUTABLE_POD, "no pod of the workload is ready and takes users"
    if not stale.number:
        fresh = "the pod that serves users has reported its load"
        if serving > 1:
            fresh = f"all of {serving} pods that serve users have reported their load"
        return True, RouteReason.LOAD_FRESH, fresh
    more = f" and {stale.number - MAX_NAMED_PODS} more" if stale.number > MAX_NAMED_PODS else ""
    if stale.number == serving:
        names = ", ".join(f"{pod.pod.name} {_stale_cause(view, pod)}" for pod in stale.first)
        message = "no pod has reported its load lately, so new users are placed by the links that pods carry"
        return False, RouteReason.NO_LOAD_REPORTED, f"{message}: {names}{more}"
    names = ", ".join(_stale_pod_message(view, pod, stale.silent) for pod in stale.first)
    message = f"no fresh load from {stale.number} of {serving} pods that serve users"
    return False, RouteReason.LOAD_STALE, f"{message}: {names}{more}"


def _links_served(view: RouteView, pods: PodSummary) -> ConditionState:
    """LinksServed: the pods of all links serve their users."""
    unserved, total = pods.unserved, pods.links
    if not unserved.pods:
        return True, RouteReason.LINKS_SERVED, _served_message(total)
    names = ", ".join(
        f"{links} on {view.pod_name(key)} ({not_serving_reason(view, key)})" for key, links in unserved.first.items()
    )
    unnamed = unserved.pods - len(unserved.first)
    more = f" and {unnamed} more {'pod' if unnamed == 1 else 'pods'}" if unnamed else ""
    links = f"{'link' if total == 1 else 'links'} {'is' if unserved.number == 1 else 'are'}"
    return False, RouteReason.PODS_NOT_SERVING, f"{unserved.number} of {total} {links} not served now: {names}{more}"


def _served_message(links: int) -> str:
    match links:
        case 0:
            return "the route has no links"
        case 1:
            return "the pod of the only link serves its user"
        case _:
            return f"the pods of all {links} links serve their users"


def _loss_suspended(view: RouteView) -> ConditionState:
    """LossSuspended: so many nodes or pods look lost at once that the operator does not act on it."""
    suspension = view.loss_suspension
    if suspension is None:
        return False, RouteReason.NO_LOSS_SUSPENDED, "the operator acts on lost pods"
    message = (
        f"{_lost_message(suspension)} lost, more than {suspension.percent} %: no link is moved, "
        "deleted or marked until fewer are lost, or the loss is confirmed (kubectl statefulroute confirm-loss "
        f"{view.route.name} -n {view.route.namespace})"
    )
    return True, suspension.reason, message


def _lost_message(suspension: LossSuspension) -> str:
    """Returns how many nodes or pods look lost, without the word `lost`."""
    lost, total = suspension.lost, suspension.total
    if suspension.reason is RouteReason.NODES_LOST:
        return f"{lost} of {total} {'node' if total == 1 else 'nodes'} with its pods {'is' if lost == 1 else 'are'}"
    return f"{lost} of {total} {'pod' if total == 1 else 'pods'} {'looks' if lost == 1 else 'look'}"


def _stale_pod_message(view: RouteView, pod: PodView, silent: Container[PodKey]) -> str:
    """Returns a pod without fresh load, what this means for new users, and the cause."""
    effect = ""
    if pod.is_available:
        effect = " (takes no new users)" if pod.key in silent else " (compared by its links)"
    return f"{pod.pod.name}{effect} {_stale_cause(view, pod)}"


def _stale_cause(view: RouteView, pod: PodView) -> str:
    """Returns why a pod has no fresh load. The text is stable, so an unchanged state causes no write."""
    seconds = view.route.spec.load.stale_after_seconds
    default = (
        "has not reported its load"
        if pod.key not in view.loads
        else f"last reported its load more than {seconds} s ago"
    )
    return view.load_errors.get(pod.key, default)


def condition(  # noqa: PLR0913 - the fields of a condition
    condition_type: ConditionType,
    *,
    is_true: bool,
    reason: str,
    message: str,
    generation: int,
    previous: Iterable[Condition],
    now: datetime,
) -> Condition:
    """Returns a condition. It keeps the transition time of the previous condition with the same type and status."""
    status = "True" if is_true else "False"
    unchanged = next((old for old in previous if old.type is condition_type and old.status == status), None)
    return Condition(
        type=condition_type,
        status=status,
        reason=reason,
        message=truncate(message, ROUTE_MESSAGE_MAX_BYTES),
        observed_generation=generation,
        last_transition_time=unchanged.last_transition_time if unchanged else now.replace(microsecond=0),
    )
