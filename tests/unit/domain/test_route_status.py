"""What a route's status says of its pods, its links and its loads."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from statefulroute.api.model import Condition
from statefulroute.api.statefulroute import PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import ConditionType, RouteReason, RoutingState, ServiceState, WorkloadState
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import MissingWorkload, RouteView
from statefulroute.domain.route_status import count_links_at_report, route_status
from unit.domain.builders import NOON, STALE, load, pod, route, view

DENY, SHUTDOWN = RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN
LATER = NOON + timedelta(seconds=10)


def status_of(seen: RouteView, found: Assessment | None = None, now: datetime = NOON) -> StatefulRouteStatus:
    return route_status(seen, found or Assessment(), now)


def condition(status: StatefulRouteStatus, kind: ConditionType) -> Condition:
    (found,) = (each for each in status.conditions if each.type is kind)
    return found


def test_a_routes_status_counts_its_pods_and_links() -> None:
    pods = (pod(0), pod(1, reported_routing_state=DENY), pod(2, ServiceState.NOT_READY))
    status = status_of(view(*pods, counts={0: 4, 1: 1, 9: 2}))
    included = {"replicas", "ready_replicas", "routable_pods", "links", "best_pod_index", "best_pod_name"}
    assert status.model_dump(include=included) == {
        "replicas": 3,
        "ready_replicas": 2,
        "routable_pods": 2,
        "links": 7,
        "best_pod_index": 0,
        "best_pod_name": "game-0",
    }
    assert [(each.index, each.service_state, each.routing_state, each.links) for each in status.pods] == [
        (0, ServiceState.READY, RoutingState.READY, 4),
        (1, ServiceState.READY, DENY, 1),
        (2, ServiceState.NOT_READY, RoutingState.READY, 0),
    ]


@pytest.mark.parametrize(
    ("seen", "ready", "reason"),
    [
        (view(pod(0)), "True", "Routable"),
        (view(pod(0, ServiceState.TERMINATING, is_ready=True)), "True", "Routable"),
        (view(), "False", "NoRoutablePod"),
        (view(pod(0, ServiceState.PENDING)), "False", "NoRoutablePod"),
        (view(workload=None), "False", "WorkloadNotFound"),
        (view(pod(0), of=route(routingState="Shutdown")), "False", "Shutdown"),
        (view(workload=MissingWorkload(RouteReason.WORKLOAD_FORBIDDEN, "no")), "False", "WorkloadForbidden"),
    ],
)
def test_a_route_is_ready_while_a_pod_serves_users(seen: RouteView, ready: str, reason: str) -> None:
    found = condition(status_of(seen), ConditionType.READY)
    assert (found.status, found.reason) == (ready, reason)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (view(), ("True", "WorkloadFound", "StatefulSet 'game' exists")),
        (view(workload=None), ("False", "WorkloadNotFound", "StatefulSet 'game' does not exist in namespace 'play'")),
        (
            view(workload=MissingWorkload(RouteReason.WORKLOAD_KIND_NOT_SUPPORTED, "Kind X has no scale")),
            ("False", "WorkloadKindNotSupported", "Kind X has no scale"),
        ),
    ],
)
def test_a_route_says_whether_its_workload_was_found(seen: RouteView, said: tuple[str, str, str]) -> None:
    found = condition(status_of(seen), ConditionType.WORKLOAD_FOUND)
    assert (found.status, found.reason, found.message) == said


def test_a_conditions_transition_time_moves_only_with_its_status() -> None:
    first = status_of(view(pod(0)))
    later = NOON + timedelta(hours=1)
    same = status_of(view(pod(0), pod(1), of=route(first)), now=later)
    assert condition(same, ConditionType.READY).last_transition_time == NOON
    turned = status_of(view(of=route(first)), now=later)
    assert condition(turned, ConditionType.READY).last_transition_time == later
    assert condition(turned, ConditionType.WORKLOAD_FOUND).last_transition_time == NOON


@pytest.mark.parametrize(
    ("found", "state", "figure"),
    [
        (Assessment(WorkloadState.HIGH, 3_999), "High", 3),
        (Assessment(WorkloadState.OVERLOADED, 5_000), "Overloaded", 5),
        (Assessment(WorkloadState.IDLE, 0), "Idle", 0),
        (Assessment(WorkloadState.SHUTDOWN), "Shutdown", None),
        (Assessment(), None, None),
    ],
)
def test_a_routes_status_says_how_busy_its_service_was_found(
    found: Assessment, state: str | None, figure: int | None
) -> None:
    before = StatefulRouteStatus.model_validate({"workloadState": "Normal", "workloadLoad": 2})
    status = status_of(view(pod(0), of=route(before)), found)
    assert (status.workload_state, status.workload_load) == (state, figure)


def only_pod(reported: Load | None, before: StatefulRouteStatus | None = None, now: datetime = NOON) -> PodStatus:
    of = route(before)
    (found,) = status_of(view(pod(0), of=of, loads={0: reported} if reported else {}), now=now).pods
    return found


def figures(status: PodStatus) -> tuple[object, ...]:
    return (
        status.load_state,
        status.waiting_tasks,
        status.weighted_load_milli,
        status.load_stale,
        status.report_time,
    )


@pytest.mark.parametrize(
    ("reported", "said"),
    [
        (None, (None, None, None, None, None)),
        (load(3, 7), (3, 7, 5_800, None, NOON)),
        (load(0, 0), (0, 0, 0, None, NOON)),
        (load(3, 7, age=90), (3, 7, 5_800, None, NOON - timedelta(seconds=90))),
        (load(3, 7, age=STALE), (3, 7, 5_800, True, NOON - timedelta(seconds=91))),
    ],
    ids=["silent", "fresh", "idle", "just fresh", "stale"],
)
def test_a_pods_status_says_its_load_and_only_of_a_stale_one_that_it_is(
    reported: Load | None, said: tuple[object, ...]
) -> None:
    assert figures(only_pod(reported)) == said


@pytest.mark.parametrize(
    ("then", "time"),
    [
        (load(3, 7, now=LATER), NOON),
        (load(4, 7, now=LATER), LATER),
        (load(3, 8, now=LATER), LATER),
    ],
    ids=["the same", "another load", "other tasks"],
)
def test_a_pods_report_time_stays_while_its_figures_are_the_same(then: Load, time: datetime) -> None:
    first = status_of(view(pod(0), loads={0: load(3, 7)}))
    assert only_pod(then, first, LATER).report_time == time


def test_a_load_that_is_heard_again_after_it_was_forgotten_has_a_new_report_time() -> None:
    first = status_of(view(pod(0), loads={0: load(3, 7)}))
    silent = status_of(view(pod(0), of=route(first)))
    assert figures(silent.pods[0]) == (None,) * 5
    assert only_pod(load(3, 7, now=LATER), silent, LATER).report_time == LATER


def test_a_status_says_the_same_at_the_next_look_while_nothing_but_the_report_times_change() -> None:
    loads: dict[PodKey, Load] = {0: load(3, 7), 1: load(5, 5, age=STALE)}
    first = status_of(view(pod(0), pod(1), pod(2), loads=loads, faults={2: "did not answer within 1 s"}))
    later = {0: load(3, 7, now=LATER), 1: load(5, 5, age=STALE)}
    again = view(pod(0), pod(1), pod(2), of=route(first), loads=later, faults={2: "did not answer within 1 s"})  # type: ignore[arg-type]
    assert status_of(again, now=LATER) == first


FRESH, OLD = load(1, 1), load(1, 1, age=STALE)
NOTHING_HEARD = "no pod has reported its load lately, so new users are placed by the links that pods carry"
TAKE_NONE = "pods that serve users take no new ones, because their load is not known"
SILENT = "has not reported its load"
LATE = "last reported its load more than 90 s ago"


@pytest.mark.parametrize(
    ("pods", "loads", "faults", "said"),
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
            ("True", "LoadFresh", "all of 1 pods that serve users have reported their load"),
        ),
        (
            (pod(0), pod(1, reported_routing_state=DENY)),
            {0: FRESH},
            {},
            ("False", "LoadStale", f"1 of 2 {TAKE_NONE}: game-1 {SILENT}"),
        ),
        ((pod(0), pod(1)), {0: OLD, 1: FRESH}, {}, ("False", "LoadStale", f"1 of 2 {TAKE_NONE}: game-0 {LATE}")),
        (
            (pod(0), pod(1), pod(2)),
            {0: FRESH, 1: OLD},
            {1: "did not answer within 1 s", 0: "is passed over"},
            ("False", "LoadStale", f"2 of 3 {TAKE_NONE}: game-1 did not answer within 1 s, game-2 {SILENT}"),
        ),
        (
            tuple(map(pod, range(6))),
            {0: FRESH},
            {},
            (
                "False",
                "LoadStale",
                f"5 of 6 {TAKE_NONE}: game-1 {SILENT}, game-2 {SILENT}, game-3 {SILENT} and 2 more",
            ),
        ),
        (
            tuple(map(pod, range(3))),
            {},
            {},
            ("False", "NoLoadReported", f"{NOTHING_HEARD}: game-0 {SILENT}, game-1 {SILENT}, game-2 {SILENT}"),
        ),
        (
            tuple(map(pod, range(4))),
            {0: OLD},
            {},
            (
                "False",
                "NoLoadReported",
                f"{NOTHING_HEARD}: game-0 {LATE}, game-1 {SILENT}, game-2 {SILENT} and 1 more",
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
        "those that do not serve do not count",
        "one is silent",
        "one is stale",
        "and why",
        "many are silent",
        "nobody was heard",
        "nobody lately",
        "no pod",
        "none serves",
    ],
)
def test_a_route_says_whether_the_load_of_all_serving_pods_is_known_and_names_three_of_the_others(
    pods: tuple[Pod, ...], loads: dict[Any, Any], faults: dict[Any, Any], said: tuple[str, str, str]
) -> None:
    found = condition(status_of(view(*pods, loads=loads, faults=faults)), ConditionType.LOAD_FRESH)
    assert (found.status, found.reason, found.message) == said


def test_the_word_on_a_stale_pod_does_not_change_while_it_stays_stale() -> None:
    seen = view(pod(0), pod(1), loads={0: load(1, 1, age=-1000), 1: OLD})
    looks = [status_of(seen, now=NOON + timedelta(seconds=after)) for after in (0, 30, 900)]
    assert len({condition(each, ConditionType.LOAD_FRESH).message for each in looks}) == 1


def test_a_route_without_a_workload_has_no_pods_and_no_best_one() -> None:
    before = status_of(view(pod(0), loads={0: FRESH}))
    status = status_of(view(workload=None, of=route(before), counts={0: 4}))
    assert (status.replicas, status.pods, status.best_pod_name, status.links) == (None, (), None, 4)
    assert condition(status, ConditionType.LOAD_FRESH).reason == RouteReason.NO_ROUTABLE_POD


@pytest.mark.parametrize(("then", "now", "new"), [(3, 3, None), (3, 5, 2), (3, 1, -2), (0, 0, None)])
def test_a_pods_status_says_how_many_links_have_come_since_its_report(then: int, now: int, new: int | None) -> None:
    (found,) = status_of(view(pod(0), counts={0: now}, loads={0: load(3, 7, links=then)})).pods
    assert (found.links, found.new_links) == (now, new)


@pytest.mark.parametrize(
    ("said", "links"), [(load(3, 7, links=4), 4), (load(3, 8, links=4), 9), (load(2, 7, links=4), 9), (None, 9)]
)
def test_a_report_that_is_heard_of_for_the_first_time_is_known_again_by_the_status(
    said: Load | None, links: int
) -> None:
    before = only_pod(said) if said else None
    if before is not None:
        before = status_of(view(pod(0), counts={0: 6}, loads={0: said} if said else {})).pods[0]
    assert count_links_at_report(before, load(3, 7).report, 9) == links
