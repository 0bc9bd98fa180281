"""The annotations on pods and workloads."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.api.annotations import (
    POD_DELETION_COST,
    WEIGHTED_LOAD,
    WORKLOAD_LOAD,
    WORKLOAD_STATE,
    WORKLOAD_TIME,
)
from statefulroute.api.limits import INT32_MAX
from statefulroute.api.route_status import PodClosing, PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import ClosingReason, RoutingState, ServiceState, WorkloadState
from statefulroute.domain.annotations import is_annotator, pod_annotations, workload_annotations
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.closing import Closing
from statefulroute.domain.load import Load
from statefulroute.domain.milli import format_milli
from statefulroute.domain.pod import PodAnnotations
from statefulroute.domain.route import Route
from statefulroute.domain.workload import WorkloadAnnotations
from unit.domain.builders import NOON, STALE, deployment, load, named_pod, route, view

DEPLOYMENT = route(workloadRef={"kind": "Deployment"})


def annotations_for(
    annotated_route: Route,
    current: PodAnnotations,
    *,
    links: int = 0,
    reported: Load | None = None,
    now: datetime = NOON,
) -> dict[str, str]:
    """Returns the annotations to write on the only pod of a route."""
    route_view = view(
        named_pod("game-x"),
        route=annotated_route,
        workload=deployment(),
        link_counts={"game-x": links},
        loads={"game-x": reported} if reported else {},
    )
    return pod_annotations(route_view, route_view.pods["game-x"], current, now)


@pytest.mark.parametrize(
    ("milli", "text"),
    [
        (0, "0"),
        (1, "0.001"),
        (10, "0.01"),
        (300, "0.3"),
        (3_000, "3"),
        (3_700, "3.7"),
        (3_070, "3.07"),
        (10_000, "10"),
        (INT32_MAX * 1_000, str(INT32_MAX)),
    ],
)
def test_thousandths_are_formatted_as_the_shortest_decimal_number(milli: int, text: str) -> None:
    assert format_milli(milli) == text


@given(st.integers(0, INT32_MAX * 1_000))
def test_formatted_thousandths_are_parsed_exactly(milli: int) -> None:
    assert Decimal(format_milli(milli)) * 1_000 == milli
    assessment = Assessment(WorkloadState.HIGH, milli)
    assert workload_annotations(assessment, WorkloadAnnotations("High", format_milli(milli)), NOON) == {}


@pytest.mark.parametrize(
    ("previous", "reported", "written"),
    [
        (None, None, None),
        (None, load(0, 0), "0"),
        (None, load(3, 7), "5.8"),
        ("5.8", load(3, 7), None),
        ("5.8", load(3, 8), "6.5"),
        ("6.4", load(3, 7), None),
        ("6.45", load(3, 7), "5.8"),
        ("0", load(1, 0), "0.3"),
        ("0.3", load(0, 0), "0"),
        ("0.3", load(3, 7, age=STALE), None),
        ("0.3", None, None),
    ],
    ids=[
        "no load",
        "first load of an idle pod",
        "first load",
        "same",
        "a tenth more",
        "less than a tenth less",
        "a tenth less",
        "from 0",
        "to 0",
        "stale",
        "load dropped",
    ],
)
def test_weighted_load_is_annotated_if_fresh_and_significantly_changed(
    previous: str | None, reported: Load | None, written: str | None
) -> None:
    annotations = annotations_for(route(), PodAnnotations(weighted_load=previous), reported=reported)
    assert annotations == ({} if written is None else {WEIGHTED_LOAD: written})


@pytest.mark.parametrize(
    ("previous", "links", "written"),
    [
        (None, 0, None),
        (None, 1, "1"),
        ("0", 0, None),
        ("100", 100, None),
        ("100", 109, None),
        ("100", 110, "110"),
        ("100", 91, None),
        ("100", 90, "90"),
        ("1", 0, "0"),
        ("-5", 0, "0"),
        (None, 10**12, str(INT32_MAX)),
        (str(INT32_MAX), 10**12, None),
    ],
)
def test_deletion_cost_of_a_pod_is_its_number_of_links(previous: str | None, links: int, written: str | None) -> None:
    annotations = annotations_for(DEPLOYMENT, PodAnnotations(deletion_cost=previous), links=links)
    assert annotations == ({} if written is None else {POD_DELETION_COST: written})


@pytest.mark.parametrize(
    ("links", "is_listed", "is_over", "written"),
    [
        pytest.param(5, True, False, "-1", id="it waits for its users"),
        pytest.param(0, False, False, "-1", id="clients do not know it yet"),
        pytest.param(0, True, False, "-2", id="it may be removed"),
        pytest.param(5, True, True, "-2", id="its deadline is over"),
    ],
)
def test_deletion_cost_of_a_closing_pod_is_lower_than_that_of_others(
    links: int, is_listed: bool, is_over: bool, written: str
) -> None:
    closing = Closing(ClosingReason.SCALE_DOWN, NOON, NOON, is_over)
    shown = PodClosing(reason=closing.reason, since=NOON, deadline=NOON)
    listed = PodStatus(
        name="game-x",
        service_state=ServiceState.READY,
        routing_state=RoutingState.DENY_NEW_CALL,
        links=links,
        closing=shown,
    )
    current = replace(DEPLOYMENT, status=StatefulRouteStatus(pods=(listed,) if is_listed else ()))
    route_view = view(
        named_pod("game-x"),
        route=current,
        workload=deployment(1),
        link_counts={"game-x": links} if links else {},
        closing={"game-x": closing},
    )
    pod_view = route_view.pods["game-x"]
    assert pod_annotations(route_view, pod_view, PodAnnotations(), NOON) == {POD_DELETION_COST: written}
    assert pod_annotations(route_view, pod_view, PodAnnotations(deletion_cost=written), NOON) == {}


def test_deletion_cost_counts_the_links_of_all_routes_to_the_workload() -> None:
    route_view = view(
        named_pod("game-x"),
        route=DEPLOYMENT,
        workload=deployment(),
        link_counts={"game-x": 2},
        other_link_counts=[{"game-x": 3}, {"game-y": 9}],
    )
    annotations = pod_annotations(route_view, route_view.pods["game-x"], PodAnnotations(), NOON)
    assert annotations == {POD_DELETION_COST: "5"}


@pytest.mark.parametrize(
    ("reference", "is_annotated"),
    [
        ({}, False),
        ({"kind": "Deployment"}, True),
        ({"kind": "ReplicaSet"}, True),
        ({"kind": "StatefulSet"}, False),
        ({"apiVersion": "v1", "kind": "ReplicationController"}, False),
        ({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}, False),
        ({"apiVersion": "example.com/v1", "kind": "Deployment"}, False),
    ],
    ids=str,
)
def test_deletion_cost_is_annotated_only_for_workloads_that_use_it(
    reference: dict[str, Any], is_annotated: bool
) -> None:
    assert annotations_for(route(workloadRef=reference), PodAnnotations(), links=7) == (
        {POD_DELETION_COST: "7"} if is_annotated else {}
    )


NOT_NUMBERS = [
    "",
    "many",
    " 5",
    "5_000",
    "NaN",
    "-NaN",
    "sNaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "1e999999",
    "1e-999999",
    "9" * 5_000,
    "\u0665",
]


@pytest.mark.parametrize("text", NOT_NUMBERS, ids=lambda text: repr(text[:12]))
def test_annotations_of_other_clients_are_replaced(text: str) -> None:
    assert annotations_for(DEPLOYMENT, PodAnnotations(text, text), links=3, reported=load(5, 5)) == {
        WEIGHTED_LOAD: "5",
        POD_DELETION_COST: "3",
    }
    assessment = Assessment(WorkloadState.HIGH, 4_000)
    assert workload_annotations(assessment, WorkloadAnnotations("High", text), NOON)[WORKLOAD_LOAD] == "4"


HIGH, NORMAL = WorkloadState.HIGH, WorkloadState.NORMAL


def written(state: str | None, load_text: str | None) -> dict[str, str | None]:
    return {WORKLOAD_STATE: state, WORKLOAD_LOAD: load_text, WORKLOAD_TIME: "2026-01-01T12:00:00Z"}


@pytest.mark.parametrize(
    ("assessment", "previous", "annotations"),
    [
        (Assessment(), (None, None), {}),
        (Assessment(HIGH, 3_000), (None, None), written("High", "3")),
        (Assessment(HIGH, 3_000), ("High", "3"), {}),
        (Assessment(HIGH, 3_299), ("High", "3"), {}),
        (Assessment(HIGH, 3_300), ("High", "3"), written("High", "3.3")),
        (Assessment(HIGH, 3_299), ("Normal", "3"), written("High", "3.299")),
        (Assessment(HIGH, 3_000), (None, "3"), written("High", "3")),
        (Assessment(HIGH, 3_000), ("High", None), written("High", "3")),
        (Assessment(NORMAL, 0), ("Normal", "0"), {}),
        (Assessment(NORMAL, 0), ("Normal", None), written("Normal", "0")),
        (Assessment(), ("High", "3"), written(None, None)),
        (Assessment(), ("High", None), written(None, None)),
        (Assessment(WorkloadState.SHUTDOWN), ("High", "3"), written("Shutdown", None)),
        (Assessment(WorkloadState.SHUTDOWN), ("Shutdown", None), {}),
    ],
)
def test_workload_annotations_are_written_on_significant_changes_and_removed_if_unknown(
    assessment: Assessment, previous: tuple[str | None, str | None], annotations: dict[str, str | None]
) -> None:
    assert workload_annotations(assessment, WorkloadAnnotations(*previous), NOON) == annotations


def test_workload_time_is_utc_with_seconds() -> None:
    then = datetime(2026, 6, 1, 12, 30, 15, 999_999, tzinfo=UTC) + timedelta(0)
    assert workload_annotations(Assessment(HIGH), WorkloadAnnotations(), then)[WORKLOAD_TIME] == "2026-06-01T12:30:15Z"


def test_only_the_first_route_of_a_workload_annotates_it() -> None:
    same = {"workloadRef": {"name": "game"}}
    first, second = replace(route(**same), name="arena"), replace(route(**same), name="lobby")
    other = replace(route(workloadRef={"name": "chat"}), name="aaa")
    routes = [second, other, first]
    assert [is_annotator(candidate, routes) for candidate in routes] == [False, True, True]
    assert is_annotator(second, [second, other, replace(first, is_deleting=True)])
