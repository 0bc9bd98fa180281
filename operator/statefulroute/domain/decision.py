"""Decides what to do with a link: an ordered list of small checks, the first of which that applies returns the plan."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from statefulroute.api.vocabulary import (
    FOREIGN_NAMESPACE_MESSAGE,
    LinkPhase,
    LinkReason,
    LossCause,
    PodLostAction,
    RemoveReason,
    RoutingState,
)
from statefulroute.domain.explanation import Explanation, Facts, hash_facts
from statefulroute.domain.hand_over import (
    HandOverWrite,
    emptying_cause,
    has_moved_as_asked,
    plan_hand_over,
)
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.loss import current_cause, is_permanently_gone
from statefulroute.domain.no_pod import explain_no_pod
from statefulroute.domain.placement import has_available_pod
from statefulroute.domain.pod import ordinal
from statefulroute.domain.route import PodView, RouteView
from statefulroute.domain.slots.moves import MoveSlot, plan_slot_move
from statefulroute.domain.slots.placement import choose_pod


@dataclass(frozen=True, slots=True)
class LinkView:
    """All that a decision about one link may depend on, at one moment."""

    link: Link
    route: RouteView | None
    now: datetime
    is_hand_over_due: bool = False
    """Whether the time-out of the link's hand-over is over."""
    slot_target: PodKey | None = None
    """The pod that takes the slot of the link to balance the pods; None if the slot need not move for that."""
    expiry_now: datetime | None = None
    """The time by which the link ends; None is `now`."""


@dataclass(frozen=True, slots=True)
class Bind:
    """Write the chosen pod to the spec of a link that names none."""

    pod: PodKey


@dataclass(frozen=True, slots=True)
class Move:
    """Write another pod to the spec of the link, because its pod is lost."""

    pod: PodKey
    cause: LossCause


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete the link.

    Attributes:
        reason: why.
        cause: why the pod of the link is lost, if that is the reason.
    """

    reason: RemoveReason
    cause: LossCause | None = None


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """Write the status of the link, unless it is current."""

    status: LinkStatus


Plan = Bind | Move | MoveSlot | Remove | UpdateStatus | HandOverWrite
Check = Callable[[LinkView], Plan | None]


def decide(view: LinkView) -> Plan:
    """Returns the plan for a link: that of the first check that applies."""
    for check in CHECKS:
        if (plan := check(view)) is not None:
            return plan
    raise AssertionError("the last check applies to every link")


def is_status_current(link: Link, status: LinkStatus) -> bool:
    """Returns whether the link already has this status for the current generation and expiry of its spec.

    The wording of its message does not count: otherwise an upgrade that changes a message would write every link.
    """
    return (
        status.states_the_same(link.status)
        and link.observed_generation == link.generation
        and link.status_expire_time == link.expire_time
    )


def move_cause(view: LinkView, *, is_handed_over: bool = False) -> LossCause | None:
    """Returns the loss that made the spec of the link name another pod than its status; None if a client changed it.

    For a user who was handed over, it may also be why the old pod has to be emptied.

    The result depends on the current state only: if an operator stops between the two writes of a move, the next one
    has no other information.

    Args:
        view: the link.
        is_handed_over: whether its previous pod was asked to hand the user over to the present one.
    """
    route, old_pod = view.route, view.link.status_pod
    if route is None or old_pod is None or route.route.spec.on_pod_lost.action is not PodLostAction.REBIND:
        return None
    if is_handed_over and (cause := emptying_cause(route, old_pod)) is not None:
        return cause
    if (loss := route.lost.get(old_pod) or route.withheld_losses.get(old_pod)) is not None:
        return loss.cause
    # `route.lost` has no entry for a missing pod without links.
    return current_cause(route, old_pod) if is_permanently_gone(route, old_pod) else None


def is_waiting_for_room(route: RouteView | None, status: LinkStatus) -> bool:
    """Returns whether a link with this status waits for a pod with room for another link."""
    if status.reason in {LinkReason.AT_CAPACITY, LinkReason.NO_AVAILABLE_POD}:
        return True
    if status.phase is LinkPhase.BOUND:
        return has_to_be_handed_over(route, status)
    pod = status.pod if status.phase is LinkPhase.LOST else None
    if route is None or pod is None or pod not in route.lost:
        return False  # a lost link that cannot move now would keep the room from the others
    return route.route.spec.on_pod_lost.action is PodLostAction.REBIND


def has_to_be_handed_over(route: RouteView | None, status: LinkStatus) -> bool:
    """Returns whether a link is bound to a pod that hands its users over, and no hand-over of the link has started."""
    if route is None or route.route.spec.hand_over is None or status.phase is not LinkPhase.BOUND or status.pod is None:
        return False
    return emptying_cause(route, status.pod) is not None


def no_pod_status(route: RouteView, now: datetime) -> LinkStatus:
    """Returns the status of links that name no pod while no pod takes new users."""
    # If a pod is available and none is chosen, at least one is full; the others may be silent.
    reason = LinkReason.AT_CAPACITY if has_available_pod(route, now) else LinkReason.NO_AVAILABLE_POD
    return _pending(reason, *explain_no_pod(route, now)).status


def check_expiry(view: LinkView) -> Plan | None:
    """Removes an expired link, whatever its other state."""
    return Remove(RemoveReason.EXPIRED) if view.link.has_expired(view.expiry_now or view.now) else None


def check_namespace(view: LinkView) -> Plan | None:
    """Rejects a link that names a namespace other than its own."""
    if view.link.foreign_namespace is None:
        return None
    return UpdateStatus(LinkStatus(LinkPhase.REJECTED, LinkReason.NOT_LOCAL_NAMESPACE, FOREIGN_NAMESPACE_MESSAGE))


def check_rules(view: LinkView) -> Plan | None:
    """Rejects a link that violates a validation rule: it was stored before the rule existed."""
    if view.link.violation is None:
        return None
    return UpdateStatus(LinkStatus(LinkPhase.REJECTED, LinkReason.INVALID, view.link.violation))


def check_route_exists(view: LinkView) -> Plan | None:
    """Keeps a link pending while its route does not exist. Its spec keeps the pod."""
    if view.route is not None:
        return None
    namespace, name = view.link.route
    return _pending(LinkReason.ROUTE_NOT_FOUND, f"StatefulRoute {name!r} does not exist in namespace {namespace!r}")


def check_slot_exists(view: LinkView) -> Plan | None:
    """Removes the link of a slot that its route does not have, and rejects it if the route has no slots at all."""
    slot, route = view.link.slot, _route(view).route
    if slot is None or (route.spec.slots is not None and slot < route.spec.slots):
        return None
    if route.spec.slots is not None:
        return Remove(RemoveReason.NO_SUCH_SLOT)
    # It may have lost its slots to a definition of an earlier version, which drops the field.
    message = f"StatefulRoute {route.name!r} has no slots"
    return UpdateStatus(LinkStatus(LinkPhase.REJECTED, LinkReason.NO_SUCH_SLOT, message))


def check_loss_withheld(view: LinkView) -> Plan | None:
    """Keeps the status of a link whose pod looks lost while the loss does not count, also that of a lost link."""
    status, pod = view.link.status, view.link.pod
    if pod is None or pod not in _route(view).withheld_losses or status is None or status.pod != pod:
        return None
    return UpdateStatus(_kept_status(view.link, status))


def check_hand_over(view: LinkView) -> Plan | None:
    """Starts the hand-over of a link, waits for its end, or ends it."""
    link, route = view.link, view.route
    if route is None or (link.hand_over is None and route.route.spec.hand_over is None):
        return None
    plan = plan_hand_over(link, route, view.now, is_due=view.is_hand_over_due)
    return UpdateStatus(plan) if isinstance(plan, LinkStatus) else plan


def check_pod_lost(view: LinkView) -> Plan | None:
    """Applies the route's `onPodLost` to a link whose pod is lost.

    A link that was never bound to the pod waits until the grace period is over, because the pod may be about to start;
    but not one that was handed over to the pod: that took users.
    """
    route, pod = _route(view), view.link.pod
    loss = None if pod is None else route.lost.get(pod)
    if pod is None or loss is None:
        return None
    if not (loss.is_grace_over or view.link.status_pod == pod or has_moved_as_asked(view.link)):
        return None
    match route.route.spec.on_pod_lost.action:
        case PodLostAction.RELEASE:
            return Remove(RemoveReason.POD_LOST, loss.cause)
        case PodLostAction.REBIND:
            if (new_pod := choose_pod(view.link, route, view.now)) is not None:
                return Move(new_pod.key, loss.cause)
            return _lost_status(route, pod, is_stuck=True)
        case PodLostAction.KEEP | PodLostAction.UNKNOWN:
            return _lost_status(route, pod, is_stuck=False)


def check_slot_leaves(view: LinkView) -> Plan | None:
    """Moves a slot from a pod that takes no new users, or to balance the pods; by a hand-over if the route has it."""
    route = _route(view)
    if route.route.spec.slots is None or not view.link.is_of_slot:
        return None
    return plan_slot_move(view.link, route, view.now, view.slot_target)


def check_already_bound(view: LinkView) -> Plan | None:
    """Keeps a bound link bound while its pod restarts, also one with a phase of another version."""
    status, pod = view.link.status, _pod_view(view)
    if status is None or status.phase not in {LinkPhase.BOUND, LinkPhase.HANDING_OVER, LinkPhase.UNKNOWN}:
        return None
    if status.pod is None or status.pod != view.link.pod:
        return None
    return UpdateStatus(_kept_status(view.link, status) if pod is None else _bound_status(pod))


def check_still_lost(view: LinkView) -> Plan | None:
    """Keeps a lost link lost until its pod is back, also while the period of the pod runs again, as after a restart."""
    status, pod = view.link.status, _pod_view(view)
    if status is None or status.phase is not LinkPhase.LOST or status.pod is None or status.pod != view.link.pod:
        return None
    return None if pod is not None and pod.is_present and pod.is_routable else UpdateStatus(status)


def check_workload_exists(view: LinkView) -> Plan | None:
    """Keeps a link pending while the workload of its route does not exist."""
    missing = _route(view).missing_workload
    if missing is None:
        return None
    reference, name = _route(view).route.spec.workload_ref, _route(view).route.workload_name
    facts = (missing.reason, reference.api_version, reference.kind, name)
    return _pending(LinkReason.WORKLOAD_NOT_FOUND, missing.message, facts)


def check_pod_chosen(view: LinkView) -> Plan | None:
    """Binds a link that names no pod to the best pod."""
    if view.link.pod is not None:
        return None
    route = _route(view)
    if (pod := choose_pod(view.link, route, view.now)) is not None:
        return Bind(pod.key)
    return UpdateStatus(no_pod_status(route, view.now))


def check_pod_exists(view: LinkView) -> Plan | None:
    """Keeps a link pending while its pod does not exist and is not lost."""
    if _pod_view(view) is not None:
        return None
    return _pending(LinkReason.POD_NOT_FOUND, *_explain_pod_not_found(_route(view), view.link.pod))


def check_pod_routable(view: LinkView) -> Plan | None:
    """Keeps a link pending while its pod is not routable. DenyNewCall is routable: servers report their own users."""
    pod = _pod_view(view)
    if pod is None or pod.is_routable:
        return None
    # The message omits transient states of the pod, so a starting pod causes no writes of pending links.
    is_shut_down = pod.routing_state is RoutingState.SHUTDOWN
    message = f"pod {pod.pod.name!r} {'is shut down' if is_shut_down else 'is not ready'}"
    return _pending(LinkReason.POD_NOT_ROUTABLE, message, (pod.pod.name, is_shut_down))


def accept(view: LinkView) -> Plan | None:
    """Binds the link: no other check applies."""
    pod = _pod_view(view)
    return None if pod is None else UpdateStatus(_bound_status(pod))


CHECKS: tuple[Check, ...] = (
    check_expiry,  # -> Remove(Expired)
    check_namespace,  # -> Rejected(NotLocalNamespace)
    check_rules,  # -> Rejected(Invalid)
    check_route_exists,  # -> Pending(RouteNotFound)
    check_slot_exists,  # -> Remove(NoSuchSlot) | Rejected(NoSuchSlot)
    check_loss_withheld,  # -> as before, while losses are suspended or not verified
    check_hand_over,  # -> StartHandOver | CommitHandOver | EndHandOver | HandingOver, by spec.handOver and its time-out
    check_pod_lost,  # -> Move | Remove | Lost(PodLost | PodNotReady), by the route's onPodLost
    check_slot_leaves,  # -> MoveSlot | StartHandOver, of a slot
    check_already_bound,  # -> Bound, as before
    check_still_lost,  # -> Lost, as before
    check_workload_exists,  # -> Pending(WorkloadNotFound)
    check_pod_chosen,  # -> Bind(best pod) | Pending(NoAvailablePod | AtCapacity)
    check_pod_exists,  # -> Pending(PodNotFound)
    check_pod_routable,  # -> Pending(PodNotRoutable)
    accept,  # -> Bound
)


def _route(view: LinkView) -> RouteView:
    """Returns the route, for the checks after `check_route_exists`."""
    if view.route is None:
        raise AssertionError("check_route_exists applies first")
    return view.route


def _pod_view(view: LinkView) -> PodView | None:
    pod = view.link.pod
    return None if view.route is None or pod is None else view.route.pods.get(pod)


def _pending(reason: LinkReason, message: str, facts: Facts = ()) -> UpdateStatus:
    """Returns the Pending status. The facts are those that the message states beyond the reason and the link's spec."""
    facts_hash = hash_facts(facts) if facts else None
    return UpdateStatus(LinkStatus(LinkPhase.PENDING, reason, message, facts_hash=facts_hash))


def _explain_pod_not_found(route: RouteView, pod: PodKey | None) -> Explanation:
    name = route.route.name
    is_indexed = route.workload is not None and route.workload.is_indexed
    if isinstance(pod, str):
        index = ordinal(pod) if is_indexed and pod == f"{route.route.workload_name}-{ordinal(pod)}" else None
        hint = f": write podIndex: {index}" if index is not None else ": its pods are named by podIndex"
        message = f"StatefulRoute {name!r} has no pod of name {pod!r} now{hint if is_indexed else ''}"
        return Explanation(message, (is_indexed,) if index is None else (is_indexed, index))
    hint = "" if is_indexed else ": its pods are named by podName"
    return Explanation(f"StatefulRoute {name!r} has no pod of index {pod} now{hint}", (is_indexed,))


def _lost_status(route: RouteView, pod: PodKey, *, is_stuck: bool) -> UpdateStatus:
    """Returns the Lost status. It names the pod, to which the link is bound again if the pod returns.

    Args:
        route: the route.
        pod: the lost pod.
        is_stuck: whether the link would move if another pod took new users.
    """
    loss, name = route.lost[pod], route.pod_name(pod)
    suffix = ", and no other takes new users" if is_stuck else ""
    message = f"pod {name!r} of StatefulRoute {route.route.name!r} {loss.message} ({loss.cause}){suffix}"
    facts = (loss.cause, loss.after_seconds, is_stuck)
    index = pod if isinstance(pod, int) else None
    reason = LinkReason.POD_NOT_READY if loss.cause is LossCause.NOT_READY else LinkReason.POD_LOST
    return UpdateStatus(LinkStatus(LinkPhase.LOST, reason, message, index, name, facts_hash=hash_facts(facts)))


def _kept_status(link: Link, status: LinkStatus) -> LinkStatus:
    """Returns the status of a link that keeps its pod; Bound if its phase is of another version.

    Otherwise, a write for another reason, such as a renewal, would store the phase Unknown and that it is not Ready. A
    link whose hand-over was ended is Bound, too.
    """
    if status.phase is LinkPhase.HANDING_OVER and link.hand_over is None:
        message = f"bound to pod {status.pod_name!r}"
        return LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, message, status.pod_index, status.pod_name, status.host)
    if status.phase is not LinkPhase.UNKNOWN:
        return status
    return msgspec.structs.replace(status, phase=LinkPhase.BOUND, reason=LinkReason.BOUND)


def _bound_status(pod: PodView) -> LinkStatus:
    return LinkStatus(
        LinkPhase.BOUND,
        LinkReason.BOUND,
        f"bound to pod {pod.pod.name!r}",
        pod_index=pod.index,
        pod_name=pod.pod.name,
        host=pod.host,
    )
