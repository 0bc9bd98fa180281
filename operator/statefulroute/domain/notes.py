"""What the operator notes on pods and workloads, and when a note is worth a write."""

import re
from collections.abc import Iterable
from datetime import datetime

from statefulroute.api.annotations import (
    POD_DELETION_COST,
    WEIGHTED_LOAD,
    WORKLOAD_LOAD,
    WORKLOAD_STATE,
    WORKLOAD_TIME,
)
from statefulroute.api.limits import INT32_MAX
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.load import MILLI, has_moved
from statefulroute.domain.pod import Notes
from statefulroute.domain.route import PodView, Route, RouteView, WorkloadNotes
from statefulroute.domain.times import rfc3339

#: What is noted on a pod, and on a workload: all of it goes when the route goes.
ON_PODS = (WEIGHTED_LOAD, POD_DELETION_COST)
ON_WORKLOADS = (WORKLOAD_STATE, WORKLOAD_LOAD, WORKLOAD_TIME)

_DECIMAL = re.compile(r"[0-9]{1,10}(\.[0-9]{1,3})?")


def notes_for_workload(route: Route, others: Iterable[Route]) -> bool:
    """Whether a route is the one that notes on its pods and its workload: of several with one workload, the first.

    Args:
        route: the route.
        others: the routes of its namespace.
    """
    return not any(
        other.name < route.name and not other.deleting and other.workload_key == route.workload_key for other in others
    )


def pod_notes(view: RouteView, pod: PodView, noted: Notes, now: datetime) -> dict[str, str]:
    """The annotations to write on a pod; empty when none has moved by a tenth or more.

    The weighted load is noted while it is fresh. The cost of a deletion is the number of users that it would move.

    Args:
        view: the route.
        pod: one of its pods.
        noted: what stands on the pod now.
        now: the time of day.
    """
    notes: dict[str, str] = {}
    if (load := view.fresh_load(pod.key, now)) is not None:
        weighted = load.weighted_milli(view.route.spec.load.cpu_factor_percent)
        if has_moved(_milli(noted.weighted_load), weighted):
            notes[WEIGHTED_LOAD] = decimal(weighted)
    if view.route.heeds_deletion_cost:
        links = min(view.links_on(pod.key), INT32_MAX)
        if has_moved(_milli(noted.deletion_cost or "0"), links * MILLI):
            notes[POD_DELETION_COST] = str(links)
    return notes


def workload_notes(found: Assessment, noted: WorkloadNotes, now: datetime) -> dict[str, str | None]:
    """The annotations to write on a workload; empty when its state is the same and its load moved by less than a tenth.

    None removes one: nobody can say any more.
    """
    load, before = found.load_milli, _milli(noted.load)
    is_same_load = load is None if before is None else load is not None and not has_moved(before, load)
    if noted.state == found.state and is_same_load:
        return {}
    return {
        WORKLOAD_STATE: found.state,
        WORKLOAD_LOAD: None if load is None else decimal(load),
        WORKLOAD_TIME: rfc3339(now.replace(microsecond=0)),
    }


def decimal(milli: int) -> str:
    """Thousandths as a decimal number, as short as can be: 3700 is `3.7`."""
    whole, rest = divmod(milli, MILLI)
    return f"{whole}.{rest:03}".rstrip("0") if rest else str(whole)


def _milli(text: str | None) -> int | None:
    """What `decimal` has written; None for anything else, for anybody may write an annotation."""
    if text is None or not _DECIMAL.fullmatch(text):
        return None
    whole, _, rest = text.partition(".")
    return int(whole) * MILLI + int(f"{rest:0<3}")
