"""When a pod is lost: gone for longer than its route's grace, or never to come back, or shut down."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.keys import PodKey, pod_order
from statefulroute.domain.route import Loss, RouteView


class Absence(StrEnum):
    """Why a pod does not serve its users, as the end of a sentence about the pod."""

    BEYOND = "is beyond the workload's replicas"
    NEVER_BACK = "is gone, and none comes back under its name"
    SHUT_DOWN = "is shut down"
    GONE = "is gone"
    UNOWNED = "has no workload"
    """Apart from GONE: a workload that is made anew takes its pods over one by one, and moves nobody meanwhile."""


_AT_ONCE = (Absence.BEYOND, Absence.NEVER_BACK, Absence.SHUT_DOWN)


@dataclass(frozen=True, slots=True)
class Away:
    """A pod that is away: why, and since when for that reason."""

    absence: Absence
    since: datetime


@dataclass(frozen=True, slots=True)
class Losses:
    """Which pods are away now, which of them are lost, and when the next of them has been away for the grace."""

    away: Mapping[PodKey, Away]
    lost: Mapping[PodKey, Loss]
    next_time: datetime | None
    """None when nothing will be judged otherwise in time."""


def judge_losses(view: RouteView, carrying: Iterable[PodKey], before: Mapping[PodKey, Away], now: datetime) -> Losses:
    """Which of the pods that carry links are lost.

    One that never comes back or is shut down is lost at once, one that is gone after the grace. A pod that
    is away for another reason than before begins its grace anew. While the workload cannot be read, nothing changes.

    Args:
        view: the route.
        carrying: the pods that carry links.
        before: which pods were away at the last judgement.
        now: the time of day.
    """
    seconds = view.route.spec.on_pod_lost.grace_seconds
    grace, carrying = timedelta(seconds=seconds), set(carrying)
    away: dict[PodKey, Away] = {}
    lost: dict[PodKey, Loss] = {}
    if view.workload is None and not view.is_workload_gone:
        return Losses(before, lost, None)
    for key in sorted(carrying | set(view.pods), key=pod_order):
        absence = _absence(view, key)
        if absence is None:
            continue
        known = before.get(key)
        away[key] = known if known and known.absence is absence else Away(absence, now)
        is_over = now >= away[key].since + grace
        if absence in _AT_ONCE:
            lost[key] = Loss(absence, is_over)
        elif is_over:
            lost[key] = Loss(f"has been gone for more than {seconds} s", is_over)
    due = (away[key].since + grace for key in carrying & away.keys() if key not in lost or not lost[key].is_over)
    return Losses(away, lost, min(due, default=None))


def never_returns(view: RouteView, key: PodKey) -> bool:
    """Whether the workload will not have a pod of this key any more, as far as can be seen now."""
    if view.workload is None:
        return False
    return not view.workload.may_make(key) and (view.workload.is_indexed or key not in view.pods)


def _absence(view: RouteView, key: PodKey) -> Absence | None:
    pod = view.pods.get(key)
    if view.workload is None:
        return Absence.UNOWNED
    if never_returns(view, key):
        return Absence.BEYOND if view.workload.is_indexed and isinstance(key, int) else Absence.NEVER_BACK
    if pod is None or not pod.is_present:
        return Absence.GONE
    return Absence.SHUT_DOWN if pod.routing_state is RoutingState.SHUTDOWN else None
