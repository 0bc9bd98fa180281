"""What to do about a link: a list of questions, each with a name, a reason and one place to change it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from statefulroute.api.vocabulary import (
    ONLY_LOCAL_NAMESPACE,
    LinkPhase,
    LinkReason,
    MoveReason,
    PodLostAction,
    RemoveReason,
    RoutingState,
)
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Acknowledgement, Link
from statefulroute.domain.loss import never_returns
from statefulroute.domain.placement import available_pods, best_pod
from statefulroute.domain.route import PodView, RouteView


@dataclass(frozen=True, slots=True)
class View:
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
class Acknowledge:
    """Say this in the link's status, unless it says so already."""

    acknowledgement: Acknowledgement


Plan = Bind | Move | Remove | Acknowledge
Question = Callable[[View], Plan | None]


def decide(view: View) -> Plan:
    """What to do about this link now. Pure and total: the first question that applies answers."""
    for question in QUESTIONS:
        if (plan := question(view)) is not None:
            return plan
    raise AssertionError("the last question answers for every link")


def is_settled(link: Link, acknowledgement: Acknowledgement) -> bool:
    """Whether the link's status already says this of the link's present spec."""
    return (
        link.acknowledged == acknowledgement
        and link.observed_generation == link.generation
        and link.acknowledged_expire_time == link.expire_time
    )


def why_it_moved(view: View) -> MoveReason:
    """Why the link's spec names another pod than its status, as far as can be seen afterwards.

    An operator that was killed between the two writes of a move leaves nothing else to tell it by.
    """
    route, left = view.route, view.link.was_bound_to
    if route is None or left is None or route.route.spec.on_pod_lost.action is not PodLostAction.REBIND:
        return MoveReason.MOVED
    # A pod that carries nobody any more and is not there is judged by nobody either.
    return MoveReason.POD_LOST if never_returns(route, left) or left in route.lost else MoveReason.MOVED


def takes_room(route: RouteView | None, said: Acknowledgement) -> bool:
    """Whether a link of which this is said would take the room that another link leaves on a pod."""
    if said.reason is LinkReason.AT_CAPACITY:
        return True
    rebinds = route is not None and route.route.spec.on_pod_lost.action is PodLostAction.REBIND
    return said.reason is LinkReason.POD_LOST and rebinds


def has_expired(view: View) -> Plan | None:
    """A temporary link ends when its time is over, whatever else is the matter with it."""
    return Remove(RemoveReason.EXPIRED) if view.link.has_expired(view.now) else None


def names_another_namespace(view: View) -> Plan | None:
    """A link may name only its own namespace, as the server driver demands."""
    if view.link.foreign_namespace is None:
        return None
    return Acknowledge(Acknowledgement(LinkPhase.REJECTED, LinkReason.NOT_LOCAL_NAMESPACE, ONLY_LOCAL_NAMESPACE))


def breaks_a_rule(view: View) -> Plan | None:
    """A link that was stored before its kind's rules were there is held to them all the same."""
    if view.link.invalid is None:
        return None
    return Acknowledge(Acknowledgement(LinkPhase.REJECTED, LinkReason.INVALID, view.link.invalid))


def has_no_route(view: View) -> Plan | None:
    """Without its route a link waits, whatever it was bound to; its spec keeps the pod."""
    if view.route is not None:
        return None
    namespace, name = view.link.group
    return _wait(LinkReason.ROUTE_NOT_FOUND, f"StatefulRoute {name!r} does not exist in namespace {namespace!r}")


def has_lost_its_pod(view: View) -> Plan | None:
    """The links of a lost pod go where the route's `onPodLost` says.

    One that was never bound to it waits for it first: its pod may be about to be made.
    """
    route, left = _route(view), view.link.pod
    loss = None if left is None else route.lost.get(left)
    if left is None or loss is None or not (loss.is_over or view.link.was_bound_to == left):
        return None
    match route.route.spec.on_pod_lost.action:
        case PodLostAction.RELEASE:
            return Remove(RemoveReason.POD_LOST)
        case PodLostAction.REBIND:
            pod = best_pod(route, view.now)
            return Move(pod.key, MoveReason.POD_LOST) if pod else _lost(route, left, ", and no other takes new users")
        case PodLostAction.KEEP:
            return _lost(route, left, "")


def keeps_its_pod(view: View) -> Plan | None:
    """A bound link stays bound while its pod restarts: what was acknowledged once is not taken back."""
    link, acknowledged = view.link, view.link.acknowledged
    if acknowledged is None or acknowledged.phase is not LinkPhase.BOUND or acknowledged.pod != link.pod:
        return None
    pod = _pod_of(view)
    return Acknowledge(acknowledged if pod is None else _bound(pod))


def has_no_workload(view: View) -> Plan | None:
    """Without a workload there is no pod to check."""
    missing = _route(view).missing
    return None if missing is None else _wait(LinkReason.WORKLOAD_NOT_FOUND, missing.why)


def has_no_pod_yet(view: View) -> Plan | None:
    """A link that leaves the choice gets the best pod."""
    if view.link.pod is not None:
        return None
    route = _route(view)
    if (pod := best_pod(route, view.now)) is not None:
        return Bind(pod.key)
    name = route.route.name
    if available_pods(route):
        most = route.route.spec.placement.max_links_per_pod
        return _wait(LinkReason.AT_CAPACITY, f"every available pod of StatefulRoute {name!r} carries {most} links")
    return _wait(LinkReason.NO_AVAILABLE_POD, f"no pod of StatefulRoute {name!r} takes new users now")


def names_a_missing_pod(view: View) -> Plan | None:
    """A link to a pod that does not exist waits for it, until it counts as lost."""
    if _pod_of(view) is not None:
        return None
    return _wait(LinkReason.POD_NOT_FOUND, _no_such_pod(_route(view), view.link.pod))


def names_an_unroutable_pod(view: View) -> Plan | None:
    """A link is accepted while its pod is routable, DenyNewCall included: a server says whom it holds."""
    pod = _pod_of(view)
    if pod is None or pod.is_routable:
        return None
    # The message names no passing state of the pod: a pod on its way to Ready rewrites no waiting link.
    why = "is shut down" if pod.routing_state is RoutingState.SHUTDOWN else "is not ready"
    return _wait(LinkReason.POD_NOT_ROUTABLE, f"pod {pod.pod.name!r} {why}")


def is_bound(view: View) -> Plan | None:
    """Nothing stands against it."""
    pod = _pod_of(view)
    return None if pod is None else Acknowledge(_bound(pod))


QUESTIONS: tuple[Question, ...] = (
    has_expired,  # -> Remove(Expired)
    names_another_namespace,  # -> Rejected(NotLocalNamespace)
    breaks_a_rule,  # -> Rejected(Invalid)
    has_no_route,  # -> Pending(RouteNotFound)
    has_lost_its_pod,  # -> Move | Remove | Lost(PodLost), as the route's onPodLost says
    keeps_its_pod,  # -> Bound, as before
    has_no_workload,  # -> Pending(WorkloadNotFound)
    has_no_pod_yet,  # -> Bind(best pod) | Pending(NoAvailablePod | AtCapacity)
    names_a_missing_pod,  # -> Pending(PodNotFound)
    names_an_unroutable_pod,  # -> Pending(PodNotRoutable)
    is_bound,  # -> Bound
)


def _route(view: View) -> RouteView:
    """The route, for the questions after `has_no_route`."""
    if view.route is None:
        raise AssertionError("has_no_route answers first")
    return view.route


def _pod_of(view: View) -> PodView | None:
    named = view.link.pod
    return None if view.route is None or named is None else view.route.pods.get(named)


def _wait(reason: LinkReason, message: str) -> Acknowledge:
    return Acknowledge(Acknowledgement(LinkPhase.PENDING, reason, message))


def _no_such_pod(route: RouteView, named: PodKey | None) -> str:
    name = route.route.name
    is_indexed = route.workload is not None and route.workload.is_indexed
    if isinstance(named, str):
        hint = ": its pods are named by podIndex" if is_indexed else ""
        return f"StatefulRoute {name!r} has no pod of name {named!r} now{hint}"
    hint = "" if is_indexed else ": its pods are named by podName"
    return f"StatefulRoute {name!r} has no pod of index {named} now{hint}"


def _lost(route: RouteView, left: PodKey, further: str) -> Acknowledge:
    """Lost, and still naming the pod: it is bound there again when the pod comes back."""
    message = f"pod {left!r} of StatefulRoute {route.route.name!r} {route.lost[left].why}{further}"
    index, name = (left, None) if isinstance(left, int) else (None, left)
    return Acknowledge(Acknowledgement(LinkPhase.LOST, LinkReason.POD_LOST, message, index, name))


def _bound(pod: PodView) -> Acknowledgement:
    return Acknowledgement(
        LinkPhase.BOUND,
        LinkReason.BOUND,
        f"bound to pod {pod.pod.name!r}",
        pod_index=pod.index,
        pod_name=pod.pod.name,
        host=pod.host,
    )
