"""When a pod is lost: gone for longer than its route's grace, or never to come back, or shut down."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.route import Loss, RouteView


class Absence(StrEnum):
    """Why a pod does not serve its users, as the end of a sentence about the pod."""

    BEYOND = "is beyond the workload's replicas"
    SHUT_DOWN = "is shut down"
    GONE = "is gone"
    UNOWNED = "has no workload"
    """Apart from GONE: a workload that is made anew takes its pods over one by one, and moves nobody meanwhile."""


@dataclass(frozen=True, slots=True)
class Away:
    """A pod that is away: why, and since when for that reason."""

    absence: Absence
    since: datetime


@dataclass(frozen=True, slots=True)
class Losses:
    """Which pods are away now, which of them are lost, and when the next of them has been away for the grace."""

    away: Mapping[int, Away]
    lost: Mapping[int, Loss]
    next_time: datetime | None
    """None when nothing will be judged otherwise in time."""


def judge_losses(view: RouteView, carrying: Iterable[int], before: Mapping[int, Away], now: datetime) -> Losses:
    """Which of the pods that carry links are lost.

    One that is beyond the replicas or shut down is lost at once, one that is gone after the grace. A pod that
    is away for another reason than before begins its grace anew.

    Args:
        view: the route.
        carrying: the indexes of the pods that carry links.
        before: which pods were away at the last judgement.
        now: the time of day.
    """
    seconds = view.route.spec.on_pod_lost.grace_seconds
    grace, carrying = timedelta(seconds=seconds), set(carrying)
    away: dict[int, Away] = {}
    lost: dict[int, Loss] = {}
    for index in sorted(carrying | set(view.pods)):
        absence = _absence(view, index)
        if absence is None:
            continue
        known = before.get(index)
        away[index] = known if known and known.absence is absence else Away(absence, now)
        is_over = now >= away[index].since + grace
        if absence in (Absence.BEYOND, Absence.SHUT_DOWN):
            lost[index] = Loss(absence, is_over)
        elif is_over:
            lost[index] = Loss(f"has been gone for more than {seconds} s", is_over)
    due = (
        away[index].since + grace for index in carrying & away.keys() if index not in lost or not lost[index].is_over
    )
    return Losses(away, lost, min(due, default=None))


def _absence(view: RouteView, index: int) -> Absence | None:
    pod = view.pods.get(index)
    if view.workload is None:
        return Absence.UNOWNED
    if not view.workload.asks_for(index):
        return Absence.BEYOND
    if pod is None or not pod.is_present:
        return Absence.GONE
    return Absence.SHUT_DOWN if pod.routing_state is RoutingState.SHUTDOWN else None
