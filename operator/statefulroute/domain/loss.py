"""When a pod is lost: gone for longer than its route's grace, or never to come back, or shut down."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.route import PodLoss, RouteView


class Absence(StrEnum):
    """Why a pod does not serve its users, as the end of a sentence about the pod."""

    BEYOND_REPLICAS = "is beyond the workload's replicas"
    PERMANENTLY_GONE = "is gone, and none comes back under its name"
    SHUT_DOWN = "is shut down"
    GONE = "is gone"
    NO_WORKLOAD = "has no workload"
    """Apart from GONE: a workload that is made anew takes its pods over one by one, and moves nobody meanwhile."""


_LOST_IMMEDIATELY = (Absence.BEYOND_REPLICAS, Absence.PERMANENTLY_GONE, Absence.SHUT_DOWN)


@dataclass(frozen=True, slots=True)
class AbsentPod:
    """A pod that is away: why, and since when for that reason."""

    absence: Absence
    since: datetime


@dataclass(frozen=True, slots=True)
class PodLosses:
    """Which pods are away now, which of them are lost, and when the next of them has been away for the grace."""

    absent: Mapping[PodKey, AbsentPod]
    lost: Mapping[PodKey, PodLoss]
    next_deadline: datetime | None
    """None when nothing will be judged otherwise in time."""


def find_losses(
    view: RouteView, linked_pods: Iterable[PodKey], previous: Mapping[PodKey, AbsentPod], now: datetime
) -> PodLosses:
    """Which of the pods that carry links are lost.

    One that never comes back or is shut down is lost at once, one that is gone after the grace. A pod that
    is away for another reason than before begins its grace anew. While the workload cannot be read, nothing changes.

    Args:
        view: the route.
        linked_pods: the pods that carry links.
        previous: which pods were away at the last judgement.
        now: the time of day.
    """
    seconds = view.route.spec.on_pod_lost.grace_seconds
    grace, linked_pods = timedelta(seconds=seconds), set(linked_pods)
    away: dict[PodKey, AbsentPod] = {}
    lost: dict[PodKey, PodLoss] = {}
    if view.workload is None and not view.is_workload_gone:
        return PodLosses(previous, lost, None)
    for key in sorted(linked_pods | set(view.pods), key=pod_sort_key):
        absence = _absence(view, key)
        if absence is None:
            continue
        known = previous.get(key)
        away[key] = known if known and known.absence is absence else AbsentPod(absence, now)
        is_over = now >= away[key].since + grace
        if absence in _LOST_IMMEDIATELY:
            lost[key] = PodLoss(absence, is_over)
        elif is_over:
            lost[key] = PodLoss(f"has been gone for more than {seconds} s", is_over)
    due = (
        away[key].since + grace for key in linked_pods & away.keys() if key not in lost or not lost[key].is_grace_over
    )
    return PodLosses(away, lost, min(due, default=None))


def is_permanently_gone(view: RouteView, key: PodKey) -> bool:
    """Whether the workload will not have a pod of this key any more, as far as can be seen now."""
    if view.workload is None:
        return False
    return not view.workload.can_create(key) and (view.workload.is_indexed or key not in view.pods)


def _absence(view: RouteView, key: PodKey) -> Absence | None:
    pod = view.pods.get(key)
    if view.workload is None:
        return Absence.NO_WORKLOAD
    if is_permanently_gone(view, key):
        return (
            Absence.BEYOND_REPLICAS if view.workload.is_indexed and isinstance(key, int) else Absence.PERMANENTLY_GONE
        )
    if pod is None or not pod.is_present:
        return Absence.GONE
    return Absence.SHUT_DOWN if pod.routing_state is RoutingState.SHUTDOWN else None
