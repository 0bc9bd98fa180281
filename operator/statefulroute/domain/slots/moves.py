"""When a slot leaves its pod: the pod takes no new users, or another one has too few slots.

There is no new user whom a pod could refuse: any user of its slots may be a new one. So a pod that is drained, closing
or terminating hands all its slots over, and is empty then.
"""

from dataclasses import dataclass
from datetime import datetime

from statefulroute.api.vocabulary import MoveReason, RebalanceStrategy
from statefulroute.domain.hand_over import StartHandOver, start_hand_over
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.route import PodView, Route, RouteView
from statefulroute.domain.slots.placement import pod_for_slot, pods_for_slots, takes_no_new_users


@dataclass(frozen=True, slots=True)
class MoveSlot:
    """Write another pod to the spec of a slot's link, although its pod serves users."""

    pod: PodKey
    reason: MoveReason


def plan_slot_move(
    link: Link, route: RouteView, now: datetime, target: PodKey | None
) -> MoveSlot | StartHandOver | None:
    """Returns how a slot leaves its pod; None if it stays, or if no other pod takes it.

    Args:
        link: the link of the slot.
        route: its route.
        now: the current time.
        target: the pod that takes the slot to balance the pods; None if the slot need not move for that.
    """
    old = None if link.pod is None else route.pods.get(link.pod)
    if old is None or link.hand_over is not None or not _is_bound_to(link, old) or not old.is_routable:
        return None
    if takes_no_new_users(old):
        pod, reason = pod_for_slot(route, now), MoveReason.DRAINED
    elif target is not None:
        pod = next((each for each in pods_for_slots(route, now) if each.key == target), None)
        reason = MoveReason.REBALANCED
    else:
        return None
    if pod is None or pod.key == link.pod:
        return None
    if route.route.spec.hand_over is None:
        return MoveSlot(pod.key, reason)
    return start_hand_over(pod.key, now)


def has_to_leave(link: Link, status: LinkStatus, route: RouteView | None) -> bool:
    """Returns whether a link with this status is that of a slot, on a pod that serves users and takes no new ones."""
    if route is None or route.route.spec.slots is None or not link.is_of_slot or not status.is_ready:
        return False
    pod = None if status.pod is None else route.pods.get(status.pod)
    return link.hand_over is None and pod is not None and pod.is_routable and takes_no_new_users(pod)


def drain_reason(link: Link, route: RouteView | None) -> MoveReason | None:
    """Returns why a slot has left the pod that its status names, if that takes no new users.

    The result depends on the current state only, as an operator may have stopped since the move.
    """
    if route is None or route.route.spec.slots is None or link.status_pod is None or not link.is_of_slot:
        return None
    pod = route.pods.get(link.status_pod)
    return MoveReason.DRAINED if pod is not None and pod.is_routable and takes_no_new_users(pod) else None


def is_balanced(route: Route) -> bool:
    """Returns whether the pods of a route are balanced by moves of slots."""
    rebalance = route.spec.rebalance
    return route.spec.slots is not None and rebalance is not None and rebalance.strategy is RebalanceStrategy.EVEN


def is_balanced_by_moves(route: RouteView) -> bool:
    """Returns whether slots may be moved now to balance the pods.

    Not while a pod with slots serves no users or takes no new ones: its slots are about to move, or it comes back.
    """
    if not is_balanced(route.route) or route.closing:
        return False
    for key, slots in route.slot_counts.items():
        pod = route.pods.get(key)
        if slots and (pod is None or not pod.is_available or key in route.lost or key in route.withheld_losses):
            return False
    return True


def _is_bound_to(link: Link, pod: PodView) -> bool:
    return link.status is not None and link.status.is_ready and link.status.pod == pod.key
