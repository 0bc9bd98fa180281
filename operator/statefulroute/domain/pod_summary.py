"""What the status of a route shows of its pods and of their links."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest

from statefulroute.api.limits import NOT_SERVING_REASON_MAX_BYTES
from statefulroute.api.route_status import OmittedPods, PodClosing, PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import ServiceState
from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.listed_pods import listed_pods, omitted_pods
from statefulroute.domain.placement import best_pod, silent_pods
from statefulroute.domain.route import PodView, RouteView
from statefulroute.domain.serving import not_serving_reason, unserved_links
from statefulroute.domain.truncation import truncate

#: The number of pods that the message of a condition names.
MAX_NAMED_PODS = 3

#: The load, the waiting tasks and the report time in a status of a pod.
StatusReport = tuple[int | None, int | None, datetime | None]


@dataclass(frozen=True, slots=True)
class UnservedLinks:
    """The links whose pods do not serve their users, or do not exist.

    Attributes:
        number: how many links.
        pods: how many pods.
        first: the number of links of the first of these pods.
    """

    number: int
    pods: int
    first: Mapping[PodKey, int]


@dataclass(frozen=True, slots=True)
class StalePods:
    """The pods that serve users and have no fresh load.

    Attributes:
        number: how many pods.
        first: the first of them.
        silent: those of the first that take no new users, because they no longer report their load.
    """

    number: int
    first: Sequence[PodView]
    silent: AbstractSet[PodKey]


@dataclass(frozen=True, slots=True)
class PodSummary:
    """The pods of a route and their links.

    Attributes:
        service_ready: how many pods have the service state Ready.
        routable: how many pods serve users.
        links: the number of links of the route.
        unserved: the links that are not served.
        stale: the pods without fresh load.
        best: the pod for the next user.
        listed: the statuses of the listed pods.
        omitted: the counts of the other pods; None if all are listed.
    """

    service_ready: int
    routable: int
    links: int
    unserved: UnservedLinks
    stale: StalePods
    best: PodView | None
    listed: tuple[PodStatus, ...]
    omitted: OmittedPods | None


def summarize_pods(view: RouteView, now: datetime) -> PodSummary:
    """Returns the summary of the pods of a route, from all of them."""
    pods, previous = view.pods.values(), status_reports(view.route.status)
    best, unserved = best_pod(view, now), unserved_links(view)
    listed = listed_pods(view, best, now)
    stale = [pod for pod in pods if pod.is_routable and view.fresh_load(pod.key, now) is None]
    first_unserved = {key: unserved[key] for key in nsmallest(MAX_NAMED_PODS, unserved, key=pod_sort_key)}
    first_stale = stale[:MAX_NAMED_PODS]
    silent = silent_pods(view, now) & {pod.key for pod in first_stale} if stale else frozenset()
    return PodSummary(
        service_ready=sum(pod.pod.service_state is ServiceState.READY for pod in pods),
        routable=sum(pod.is_routable for pod in pods),
        links=sum(view.link_counts.values()),
        unserved=UnservedLinks(sum(unserved.values()), len(unserved), first_unserved),
        stale=StalePods(len(stale), first_stale, silent),
        best=best,
        listed=tuple(pod_status(view, pod, previous.get(pod.pod.name), now) for pod in listed),
        omitted=omitted_pods(view, listed, now),
    )


def status_reports(status: StatefulRouteStatus) -> dict[str, StatusReport]:
    """Returns the reports of the pods that a status lists, by the names of the pods."""
    return {pod.name: (pod.load_state, pod.waiting_tasks, pod.report_time) for pod in status.pods}


def pod_status(view: RouteView, pod: PodView, previous: StatusReport | None, now: datetime) -> PodStatus:
    """Returns the status of a pod.

    Args:
        view: the route.
        pod: the pod.
        previous: its report in the status of the route; None if that does not list it.
        now: the current time.
    """
    load = view.loads.get(pod.key)
    links, all_links = view.link_count(pod.key), view.total_link_count(pod.key)
    reason = not_serving_reason(view, pod.key)
    status = PodStatus(
        index=pod.index,
        name=pod.pod.name,
        service_state=pod.pod.service_state,
        routing_state=pod.routing_state,
        not_serving_reason=reason and truncate(reason, NOT_SERVING_REASON_MAX_BYTES),
        links=links,
        total_links=all_links if all_links != links else None,
        slots=None if view.route.spec.slots is None else view.slot_counts.get(pod.key, 0),
        revision=None if view.route.spec.rollout is None else pod.pod.revision or None,
    )
    if (closing := view.closing.get(pod.key)) is not None:
        shown = PodClosing(reason=closing.reason, since=closing.since, deadline=closing.deadline)
        status = status.model_copy(update={"closing": shown})
    if pod.is_handing_over:
        status = status.model_copy(update={"handing_over": True})
    if load is None:
        return status
    is_same = previous is not None and previous[:2] == (load.report.load_state, load.report.waiting_tasks)
    first_reported = previous[2] if previous is not None and is_same else None
    return status.model_copy(
        update={
            "load_state": load.report.load_state,
            "waiting_tasks": load.report.waiting_tasks,
            "weighted_load_milli": load.weighted_milli(view.route.spec.load.cpu_factor_percent),
            "new_links": (all_links - load.links_at_report) or None,
            "load_stale": None if view.fresh_load(pod.key, now) else True,
            "report_time": first_reported or load.report.time.replace(microsecond=0),
        }
    )
