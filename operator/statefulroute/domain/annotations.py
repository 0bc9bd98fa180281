"""The annotations that the operator writes on pods and workloads, and when they are worth a write."""

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
from statefulroute.domain.closing import Closing
from statefulroute.domain.load import has_changed_significantly
from statefulroute.domain.milli import MILLI, format_milli
from statefulroute.domain.pod import PodAnnotations
from statefulroute.domain.route import PodView, Route, RouteView
from statefulroute.domain.times import format_rfc3339
from statefulroute.domain.workload import WorkloadAnnotations

#: The deletion costs of closing pods: those that wait for users, and those that may be removed.
_CLOSING_COST, _REMOVABLE_COST = "-1", "-2"

_DECIMAL = re.compile(r"[0-9]{1,10}(\.[0-9]{1,3})?")


def is_annotator(route: Route, others: Iterable[Route]) -> bool:
    """Returns whether a route annotates its workload and pods: only the first route of a workload by name does.

    Args:
        route: the route.
        others: the routes of the namespace.
    """
    return not any(
        other.name < route.name and not other.is_deleting and other.workload_key == route.workload_key
        for other in others
    )


def pod_annotations(view: RouteView, pod: PodView, current: PodAnnotations, now: datetime) -> dict[str, str]:
    """Returns the annotations to write on a pod; empty if no value changed by a tenth or more.

    The weighted load is written only while it is fresh. The deletion cost is the number of links of the pod
    in all routes to its workload; that of a closing pod is lower than that of all others.

    Args:
        view: the route.
        pod: a pod of the route.
        current: the stored annotations of the pod.
        now: the current time.
    """
    annotations: dict[str, str] = {}
    if (load := view.fresh_load(pod.key, now)) is not None:
        weighted = load.weighted_milli(view.route.spec.load.cpu_factor_percent)
        if has_changed_significantly(_parse_milli(current.weighted_load), weighted):
            annotations[WEIGHTED_LOAD] = format_milli(weighted)
    if pod.key in view.closing:
        is_announced = any(each.name == pod.pod.name and each.closing for each in view.route.status.pods)
        cost = closing_cost(view.total_link_count(pod.key), view.closing[pod.key], is_announced=is_announced)
        if view.route.has_deletion_cost and current.deletion_cost != cost:
            annotations[POD_DELETION_COST] = cost
    elif view.route.has_deletion_cost:
        links = min(view.total_link_count(pod.key), INT32_MAX)
        if has_changed_significantly(_parse_milli(current.deletion_cost or "0"), links * MILLI):
            annotations[POD_DELETION_COST] = str(links)
    return annotations


def closing_cost(links: int, closing: Closing, *, is_announced: bool) -> str:
    """Returns the deletion cost of a closing pod: lower than that of open pods, and lowest if it may be removed.

    Args:
        links: the number of its links.
        closing: why it is closing.
        is_announced: whether the stored status shows that it is closing, so that it gets no links any more.
    """
    return _REMOVABLE_COST if is_announced and (not links or closing.is_over) else _CLOSING_COST


def workload_annotations(assessment: Assessment, current: WorkloadAnnotations, now: datetime) -> dict[str, str | None]:
    """Returns the annotations to write on a workload.

    The result is empty if the state is the same and the load changed by less than a tenth. None removes an annotation
    whose value is no longer known.
    """
    load, old_load = assessment.load_milli, _parse_milli(current.load)
    is_same_load = (
        load is None if old_load is None else load is not None and not has_changed_significantly(old_load, load)
    )
    if current.state == assessment.state and is_same_load:
        return {}
    return {
        WORKLOAD_STATE: assessment.state,
        WORKLOAD_LOAD: None if load is None else format_milli(load),
        WORKLOAD_TIME: format_rfc3339(now.replace(microsecond=0)),
    }


def _parse_milli(text: str | None) -> int | None:
    """Parses the output of `format_milli`; returns None for other text, because any client may write an annotation."""
    if text is None or not _DECIMAL.fullmatch(text):
        return None
    whole, _, rest = text.partition(".")
    return int(whole) * MILLI + int(f"{rest:0<3}")
