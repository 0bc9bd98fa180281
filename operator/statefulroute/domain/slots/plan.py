"""Which links of slots are missing, and to which pods they are bound when they are created."""

from collections.abc import Container, Sequence
from datetime import datetime
from itertools import islice
from math import ceil

from statefulroute.domain.keys import PodKey, slot_link_name
from statefulroute.domain.route import RouteView
from statefulroute.domain.slots.placement import pods_for_slots, takes_no_new_users
from statefulroute.domain.slots.spread import spread_slots


def missing_slots(view: RouteView, names: Container[str]) -> Sequence[int]:
    """Returns the slots of a route that have no link.

    Args:
        view: the route.
        names: the names of the links of the route.
    """
    route = view.route
    return [slot for slot in range(route.spec.slots or 0) if slot_link_name(route.name, slot) not in names]


def plan_creations(
    view: RouteView, missing: Sequence[int], now: datetime, limit: int | None = None, *, waits_for_pods: bool = False
) -> Sequence[tuple[int, PodKey]]:
    """Returns the slots whose links are created now, each with its pod; none while no pod takes new users.

    Args:
        view: the route.
        missing: the slots that have no link.
        now: the current time.
        limit: the largest number of slots; None is all.
        waits_for_pods: whether pods of the workload that have not started yet get their share of the slots, too: no
            pod gets more than the mean over all of them. Pods that are drained get none.
    """
    pods = [pod.key for pod in pods_for_slots(view, now)]
    most = None
    if waits_for_pods and view.workload is not None:
        drained = sum(takes_no_new_users(pod) for pod in view.pods.values() if view.workload.wants(pod.key))
        most = ceil((view.route.spec.slots or 0) / max(view.workload.replicas - drained, len(pods), 1))
    creations = islice(spread_slots(missing, pods, view.slot_counts, most), limit)
    return list(creations)
