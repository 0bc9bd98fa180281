"""The status of a route: pods, links, loads and conditions."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from statefulroute.api.limits import SELECTOR_MAX_BYTES
from statefulroute.api.model import Condition
from statefulroute.api.route_status import PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import ConditionType, RouteReason, RoutingState, ServiceState, WorkloadState
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load, LoadReport
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import LossSuspension, RouteView
from statefulroute.domain.route_status import count_links_at_report, route_status
from statefulroute.domain.workload import MissingWorkload
from unit.domain.builders import NOON, STALE, load, pod, route, view, workload

DENY, SHUTDOWN = RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN
LATER = NOON + timedelta(seconds=10)


def status_of(route_view: RouteView, assessment: Assessment | None = None, now: datetime = NOON) -> StatefulRouteStatus:
    return route_status(route_view, assessment or Assessment(), now)


def condition(status: StatefulRouteStatus, condition_type: ConditionType) -> Condition:
    (match,) = (item for item in status.conditions if item.type is condition_type)
    return match


def test_route_status_counts_pods_and_links() -> None:
    pods = (pod(0), pod(1, reported_routing_state=DENY), pod(2, ServiceState.NOT_READY))
    status = status_of(view(*pods, link_counts={0: 4, 1: 1, 9: 2}))
    included = {"replicas", "ready_replicas", "routable_pods", "links", "best_pod_index", "best_pod_name"}
    assert status.model_dump(include=included) == {
        "replicas": 3,
        "ready_replicas": 2,
        "routable_pods": 2,
        "links": 7,
        "best_pod_index": 0,
        "best_pod_name": "game-0",
    }
    assert [(item.index, item.service_state, item.routing_state, item.links) for item in status.pods] == [
        (0, ServiceState.READY, RoutingState.READY, 4),
        (1, ServiceState.READY, DENY, 1),
        (2, ServiceState.NOT_READY, RoutingState.READY, 0),
    ]


def test_pod_status_contains_the_links_of_all_routes_if_they_are_more() -> None:
    loads = {0: load(links=3)}
    status = status_of(view(pod(0), pod(1), link_counts={0: 1, 1: 2}, loads=loads, other_link_counts=[{0: 4}]))
    assert status.links == 3
    assert [(item.links, item.total_links, item.new_links) for item in status.pods] == [(1, 5, 2), (2, None, None)]
    (first, _) = status.pods
    assert count_links_at_report(first, LoadReport(0, 0, NOON), 5) == 3


@pytest.mark.parametrize(
    ("route_view", "ready", "reason"),
    [
        (view(pod(0)), "True", "Routable"),
        (view(pod(0, ServiceState.TERMINATING, is_ready=True)), "True", "Routable"),
        (view(), "False", "NoRoutablePod"),
        (view(pod(0, ServiceState.PENDING)), "False", "NoRoutablePod"),
        (view(workload=None), "False", "WorkloadNotFound"),
        (view(pod(0), route=route(routingState="Shutdown")), "False", "Shutdown"),
        (view(workload=MissingWorkload(RouteReason.WORKLOAD_FORBIDDEN, "no")), "False", "WorkloadForbidden"),
    ],
)
def test_route_is_ready_while_a_pod_is_routable(route_view: RouteView, ready: str, reason: str) -> None:
    result = condition(status_of(route_view), ConditionType.READY)
    assert (result.status, result.reason) == (ready, reason)


@pytest.mark.parametrize(
    ("route_view", "expected"),
    [
        (view(), ("True", "WorkloadFound", "StatefulSet 'game' exists")),
        (view(workload=None), ("False", "WorkloadNotFound", "StatefulSet 'game' does not exist in namespace 'play'")),
        (
            view(workload=MissingWorkload(RouteReason.WORKLOAD_KIND_NOT_SUPPORTED, "Kind X has no scale")),
            ("False", "WorkloadKindNotSupported", "Kind X has no scale"),
        ),
    ],
)
def test_workload_found_condition(route_view: RouteView, expected: tuple[str, str, str]) -> None:
    result = condition(status_of(route_view), ConditionType.WORKLOAD_FOUND)
    assert (result.status, result.reason, result.message) == expected


def test_transition_time_changes_only_with_the_status_of_a_condition() -> None:
    first = status_of(view(pod(0)))
    later = NOON + timedelta(hours=1)
    same = status_of(view(pod(0), pod(1), route=route(first)), now=later)
    assert condition(same, ConditionType.READY).last_transition_time == NOON
    changed = status_of(view(route=route(first)), now=later)
    assert condition(changed, ConditionType.READY).last_transition_time == later
    assert condition(changed, ConditionType.WORKLOAD_FOUND).last_transition_time == NOON


@pytest.mark.parametrize(
    ("assessment", "state", "workload_load"),
    [
        (Assessment(WorkloadState.HIGH, 3_999), "High", 3),
        (Assessment(WorkloadState.OVERLOADED, 5_000), "Overloaded", 5),
        (Assessment(WorkloadState.IDLE, 0), "Idle", 0),
        (Assessment(WorkloadState.SHUTDOWN), "Shutdown", None),
        (Assessment(), None, None),
    ],
)
def test_route_status_contains_the_assessment(
    assessment: Assessment, state: str | None, workload_load: int | None
) -> None:
    previous = StatefulRouteStatus.model_validate({"workloadState": "Normal", "workloadLoad": 2})
    status = status_of(view(pod(0), route=route(previous)), assessment)
    assert (status.workload_state, status.workload_load) == (state, workload_load)


def only_pod(reported: Load | None, previous: StatefulRouteStatus | None = None, now: datetime = NOON) -> PodStatus:
    of = route(previous)
    (result,) = status_of(view(pod(0), route=of, loads={0: reported} if reported else {}), now=now).pods
    return result


def load_fields(status: PodStatus) -> tuple[object, ...]:
    return (
        status.load_state,
        status.waiting_tasks,
        status.weighted_load_milli,
        status.load_stale,
        status.report_time,
    )


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (None, (None, None, None, None, None)),
        (load(3, 7), (3, 7, 5_800, None, NOON)),
        (load(0, 0), (0, 0, 0, None, NOON)),
        (load(3, 7, age=90), (3, 7, 5_800, None, NOON - timedelta(seconds=90))),
        (load(3, 7, age=STALE), (3, 7, 5_800, True, NOON - timedelta(seconds=91))),
    ],
    ids=["not reported", "fresh", "idle", "just fresh", "stale"],
)
def test_pod_status_contains_the_load_and_whether_it_is_stale(
    reported: Load | None, expected: tuple[object, ...]
) -> None:
    assert load_fields(only_pod(reported)) == expected


@pytest.mark.parametrize(
    ("then", "time"),
    [
        (load(3, 7, now=LATER), NOON),
        (load(4, 7, now=LATER), LATER),
        (load(3, 8, now=LATER), LATER),
    ],
    ids=["same load", "other load state", "other waiting tasks"],
)
def test_report_time_is_kept_while_the_load_is_the_same(then: Load, time: datetime) -> None:
    first = status_of(view(pod(0), loads={0: load(3, 7)}))
    assert only_pod(then, first, LATER).report_time == time


def test_load_reported_again_after_it_was_dropped_has_a_new_report_time() -> None:
    first = status_of(view(pod(0), loads={0: load(3, 7)}))
    without_load = status_of(view(pod(0), route=route(first)))
    assert load_fields(without_load.pods[0]) == (None,) * 5
    assert only_pod(load(3, 7, now=LATER), without_load, LATER).report_time == LATER


def test_status_is_unchanged_if_only_the_report_times_change() -> None:
    loads: dict[PodKey, Load] = {0: load(3, 7), 1: load(5, 5, age=STALE)}
    first = status_of(view(pod(0), pod(1), pod(2), loads=loads, load_errors={2: "did not answer within 1 s"}))
    later = {0: load(3, 7, now=LATER), 1: load(5, 5, age=STALE)}
    again = view(pod(0), pod(1), pod(2), route=route(first), loads=later, load_errors={2: "did not answer within 1 s"})  # type: ignore[arg-type]
    assert status_of(again, now=LATER) == first


FRESH, STALE_LOAD = load(1, 1), load(1, 1, age=STALE)
NONE_REPORTED = "no pod has reported its load lately, so new users are placed by the links that pods carry"
SERVING = "pods that serve users"
SILENT, BY_LINKS = "(takes no new users)", "(compared by its links)"
NOT_REPORTED = "has not reported its load"
REPORTED_LATE = "last reported its load more than 90 s ago"


@pytest.mark.parametrize(
    ("pods", "loads", "load_errors", "expected"),
    [
        (
            (pod(0), pod(1)),
            {0: FRESH, 1: FRESH},
            {},
            ("True", "LoadFresh", "all of 2 pods that serve users have reported their load"),
        ),
        (
            (pod(0), pod(1, ServiceState.NOT_READY), pod(2, reported_routing_state=SHUTDOWN)),
            {0: FRESH},
            {},
            ("True", "LoadFresh", "the pod that serves users has reported its load"),
        ),
        (
            (pod(0), pod(1, reported_routing_state=DENY)),
            {0: FRESH},
            {},
            ("False", "LoadStale", f"no fresh load from 1 of 2 {SERVING}: game-1 {NOT_REPORTED}"),
        ),
        (
            (pod(0), pod(1)),
            {0: STALE_LOAD, 1: FRESH},
            {},
            ("False", "LoadStale", f"no fresh load from 1 of 2 {SERVING}: game-0 {SILENT} {REPORTED_LATE}"),
        ),
        (
            (pod(0), pod(1), pod(2)),
            {0: FRESH, 1: STALE_LOAD},
            {1: "did not answer within 1 s", 0: "is ignored"},
            (
                "False",
                "LoadStale",
                (
                    f"no fresh load from 2 of 3 {SERVING}: game-1 {SILENT} did not answer within 1 s, "
                    f"game-2 {BY_LINKS} {NOT_REPORTED}"
                ),
            ),
        ),
        (
            (pod(0), pod(1), pod(2)),
            {0: FRESH, 1: STALE_LOAD, 2: STALE_LOAD},
            {},
            (
                "False",
                "LoadStale",
                (
                    f"no fresh load from 2 of 3 {SERVING}: game-1 {BY_LINKS} {REPORTED_LATE}, "
                    f"game-2 {BY_LINKS} {REPORTED_LATE}"
                ),
            ),
        ),
        (
            tuple(map(pod, range(6))),
            {0: FRESH},
            {},
            (
                "False",
                "LoadStale",
                (
                    f"no fresh load from 5 of 6 {SERVING}: game-1 {BY_LINKS} {NOT_REPORTED}, "
                    f"game-2 {BY_LINKS} {NOT_REPORTED}, game-3 {NOT_REPORTED} and 2 more"
                ),
            ),
        ),
        (
            tuple(map(pod, range(3))),
            {},
            {},
            (
                "False",
                "NoLoadReported",
                f"{NONE_REPORTED}: game-0 {NOT_REPORTED}, game-1 {NOT_REPORTED}, game-2 {NOT_REPORTED}",
            ),
        ),
        (
            tuple(map(pod, range(4))),
            {0: STALE_LOAD},
            {},
            (
                "False",
                "NoLoadReported",
                f"{NONE_REPORTED}: game-0 {REPORTED_LATE}, game-1 {NOT_REPORTED}, game-2 {NOT_REPORTED} and 1 more",
            ),
        ),
        ((), {}, {}, ("False", "NoRoutablePod", "no pod of the workload is ready and takes users")),
        (
            (pod(0, ServiceState.PENDING),),
            {0: FRESH},
            {},
            ("False", "NoRoutablePod", "no pod of the workload is ready and takes users"),
        ),
    ],
    ids=[
        "all fresh",
        "pods that do not serve users excluded",
        "one not reported",
        "one stale",
        "with the error",
        "most stale",
        "many not reported",
        "none reported",
        "none reported lately",
        "no pods",
        "no pod serves users",
    ],
)
def test_load_fresh_condition_names_up_to_three_pods_without_fresh_load(
    pods: tuple[Pod, ...], loads: dict[Any, Any], load_errors: dict[Any, Any], expected: tuple[str, str, str]
) -> None:
    result = condition(status_of(view(*pods, loads=loads, load_errors=load_errors)), ConditionType.LOAD_FRESH)
    assert (result.status, result.reason, result.message) == expected


def test_message_about_a_stale_pod_is_stable() -> None:
    route_view = view(pod(0), pod(1), loads={0: load(1, 1, age=-1000), 1: STALE_LOAD})
    statuses = [status_of(route_view, now=NOON + timedelta(seconds=after)) for after in (0, 30, 900)]
    assert len({condition(item, ConditionType.LOAD_FRESH).message for item in statuses}) == 1


def test_status_without_a_workload_has_no_pods_and_no_best_pod() -> None:
    previous = status_of(view(pod(0), loads={0: FRESH}))
    status = status_of(view(workload=None, route=route(previous), link_counts={0: 4}))
    assert (status.replicas, status.pods, status.best_pod_name, status.links) == (None, (), None, 4)
    assert condition(status, ConditionType.LOAD_FRESH).reason == RouteReason.NO_ROUTABLE_POD


@pytest.mark.parametrize(("then", "now", "new"), [(3, 3, None), (3, 5, 2), (3, 1, -2), (0, 0, None)])
def test_pod_status_contains_the_change_of_links_since_the_report(then: int, now: int, new: int | None) -> None:
    (result,) = status_of(view(pod(0), link_counts={0: now}, loads={0: load(3, 7, links=then)})).pods
    assert (result.links, result.new_links) == (now, new)


@pytest.mark.parametrize(
    ("expected", "links"), [(load(3, 7, links=4), 4), (load(3, 8, links=4), 9), (load(2, 7, links=4), 9), (None, 9)]
)
def test_links_at_a_known_report_are_restored_from_the_status(expected: Load | None, links: int) -> None:
    previous = only_pod(expected) if expected else None
    if previous is not None:
        previous = status_of(view(pod(0), link_counts={0: 6}, loads={0: expected} if expected else {})).pods[0]
    assert count_links_at_report(previous, load(3, 7).report, 9) == links


@pytest.mark.parametrize(
    ("route_view", "expected"),
    [
        (view(pod(0)), ("True", "LinksServed", "the route has no links")),
        (view(pod(0), link_counts={0: 1}), ("True", "LinksServed", "the pod of the only link serves its user")),
        (
            view(pod(0), link_counts={9: 1}),
            ("False", "PodsNotServing", "1 of 1 link is not served now: 1 on game-9 (PodNotFound)"),
        ),
        (
            view(pod(0), link_counts={0: 2, 9: 1}),
            ("False", "PodsNotServing", "1 of 3 links is not served now: 1 on game-9 (PodNotFound)"),
        ),
        (
            view(pod(0), link_counts={9: 1, 4: 1, 5: 1, 6: 1}),
            (
                "False",
                "PodsNotServing",
                (
                    "4 of 4 links are not served now: 1 on game-4 (PodNotFound), 1 on game-5 (PodNotFound), "
                    "1 on game-6 (PodNotFound) and 1 more pod"
                ),
            ),
        ),
        (view(pod(0), link_counts={0: 2}), ("True", "LinksServed", "the pods of all 2 links serve their users")),
        (
            view(pod(0), pod(1, ServiceState.PENDING, not_ready_reason="Unschedulable"), link_counts={0: 2, 1: 3}),
            ("False", "PodsNotServing", "3 of 5 links are not served now: 3 on game-1 (Unschedulable)"),
        ),
        (
            view(pod(0), link_counts={0: 2, 9: 1, 4: 1, 5: 2, 12: 3, 6: 1}),
            (
                "False",
                "PodsNotServing",
                (
                    "8 of 10 links are not served now: 1 on game-4 (PodNotFound), 2 on game-5 (PodNotFound), "
                    "1 on game-6 (PodNotFound) and 2 more pods"
                ),
            ),
        ),
    ],
)
def test_links_served_condition_names_pods_that_do_not_serve(
    route_view: RouteView, expected: tuple[str, str, str]
) -> None:
    result = condition(status_of(route_view), ConditionType.LINKS_SERVED)
    assert (result.status, result.reason, result.message) == expected


@pytest.mark.parametrize(
    ("suspension", "expected"),
    [
        (None, ("False", "NoLossSuspended", "the operator acts on lost pods")),
        (
            LossSuspension(RouteReason.NODES_LOST, 6, 10, 55),
            ("True", "NodesLost", "6 of 10 nodes with its pods are lost, more than 55 %"),
        ),
        (
            LossSuspension(RouteReason.PODS_LOST, 3, 5, 50),
            ("True", "PodsLost", "3 of 5 pods look lost, more than 50 %"),
        ),
        (
            LossSuspension(RouteReason.NODES_LOST, 1, 2, 40),
            ("True", "NodesLost", "1 of 2 nodes with its pods is lost, more than 40 %"),
        ),
        (
            LossSuspension(RouteReason.PODS_LOST, 1, 1, 50),
            ("True", "PodsLost", "1 of 1 pod looks lost, more than 50 %"),
        ),
    ],
    ids=["none", "nodes", "pods", "node", "pod"],
)
def test_loss_suspended_condition_has_the_figures(
    suspension: LossSuspension | None, expected: tuple[str, str, str]
) -> None:
    status = status_of(view(pod(0), loss_suspension=suspension))
    result = condition(status, ConditionType.LOSS_SUSPENDED)
    assert (result.status, result.reason, result.message.partition(":")[0]) == expected


def test_unserved_links_are_counted_and_each_pod_has_its_reason() -> None:
    pods = (pod(0), pod(1, ServiceState.NOT_READY), pod(2, reported_routing_state=SHUTDOWN))
    status = status_of(view(*pods, link_counts={0: 4, 1: 2, 9: 1}))
    assert status.unserved_links == 3
    assert [item.not_serving_reason for item in status.pods] == [None, "NotReady", "Shutdown"]


@pytest.mark.parametrize(("length", "is_shown"), [(SELECTOR_MAX_BYTES, True), (SELECTOR_MAX_BYTES + 1, False)])
def test_selector_that_is_too_long_for_a_status_is_left_out(length: int, is_shown: bool) -> None:
    scaled = replace(workload(), selector_text="s" * length)
    status = status_of(view(pod(0), route=route(replicas=3), workload=scaled))
    assert status.selector == (scaled.selector_text if is_shown else None)
