"""What is noted on pods and workloads, and when a note is worth a write."""

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
from statefulroute.api.vocabulary import WorkloadState
from statefulroute.domain.annotations import format_milli, is_annotator, pod_annotations, workload_annotations
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.load import Load
from statefulroute.domain.pod import PodAnnotations
from statefulroute.domain.route import Route, WorkloadAnnotations
from unit.domain.builders import NOON, STALE, deployment, load, named_pod, route, view

DEPLOYMENT = route(workloadRef={"kind": "Deployment"})


def noted(
    of: Route, notes: PodAnnotations, *, links: int = 0, reported: Load | None = None, now: datetime = NOON
) -> dict[str, str]:
    """What is to be written on the only pod of a route."""
    seen = view(
        named_pod("game-x"),
        of=of,
        workload=deployment(),
        counts={"game-x": links},
        loads={"game-x": reported} if reported else {},
    )
    return pod_annotations(seen, seen.pods["game-x"], notes, now)


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
def test_thousandths_are_written_as_a_decimal_number_as_short_as_can_be(milli: int, text: str) -> None:
    assert format_milli(milli) == text


@given(st.integers(0, INT32_MAX * 1_000))
def test_a_decimal_number_means_the_thousandths_that_it_was_made_of_and_is_recognised_again(milli: int) -> None:
    assert Decimal(format_milli(milli)) * 1_000 == milli
    found = Assessment(WorkloadState.HIGH, milli)
    assert workload_annotations(found, WorkloadAnnotations("High", format_milli(milli)), NOON) == {}


@pytest.mark.parametrize(
    ("before", "reported", "written"),
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
        "nothing is known",
        "the first, of an idle pod",
        "the first",
        "the same",
        "a tenth more",
        "less than a tenth less",
        "a tenth less",
        "from nothing",
        "to nothing",
        "stale",
        "forgotten",
    ],
)
def test_a_pods_weighted_load_is_noted_while_it_is_fresh_and_when_it_has_moved(
    before: str | None, reported: Load | None, written: str | None
) -> None:
    notes = noted(route(), PodAnnotations(weighted_load=before), reported=reported)
    assert notes == ({} if written is None else {WEIGHTED_LOAD: written})


@pytest.mark.parametrize(
    ("before", "links", "written"),
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
def test_a_pods_deletion_costs_as_many_links_as_it_carries(before: str | None, links: int, written: str | None) -> None:
    notes = noted(DEPLOYMENT, PodAnnotations(deletion_cost=before), links=links)
    assert notes == ({} if written is None else {POD_DELETION_COST: written})


@pytest.mark.parametrize(
    ("reference", "heeds"),
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
def test_only_where_a_controller_asks_for_it_is_the_cost_of_a_deletion_noted(
    reference: dict[str, Any], heeds: bool
) -> None:
    assert noted(route(workloadRef=reference), PodAnnotations(), links=7) == ({POD_DELETION_COST: "7"} if heeds else {})


NO_NUMBERS = [
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


@pytest.mark.parametrize("words", NO_NUMBERS, ids=lambda words: repr(words[:12]))
def test_what_somebody_else_has_noted_is_replaced(words: str) -> None:
    assert noted(DEPLOYMENT, PodAnnotations(words, words), links=3, reported=load(5, 5)) == {
        WEIGHTED_LOAD: "5",
        POD_DELETION_COST: "3",
    }
    found = Assessment(WorkloadState.HIGH, 4_000)
    assert workload_annotations(found, WorkloadAnnotations("High", words), NOON)[WORKLOAD_LOAD] == "4"


HIGH, NORMAL = WorkloadState.HIGH, WorkloadState.NORMAL


def written(state: str | None, figure: str | None) -> dict[str, str | None]:
    return {WORKLOAD_STATE: state, WORKLOAD_LOAD: figure, WORKLOAD_TIME: "2026-01-01T12:00:00Z"}


@pytest.mark.parametrize(
    ("found", "before", "notes"),
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
def test_a_workloads_notes_are_written_when_its_state_changes_or_its_load_moves_and_removed_when_nobody_can_say(
    found: Assessment, before: tuple[str | None, str | None], notes: dict[str, str | None]
) -> None:
    assert workload_annotations(found, WorkloadAnnotations(*before), NOON) == notes


def test_a_workloads_notes_tell_their_time_to_the_second_in_utc() -> None:
    then = datetime(2026, 6, 1, 12, 30, 15, 999_999, tzinfo=UTC) + timedelta(0)
    assert workload_annotations(Assessment(HIGH), WorkloadAnnotations(), then)[WORKLOAD_TIME] == "2026-06-01T12:30:15Z"


def test_of_several_routes_to_one_workload_only_the_first_by_name_notes() -> None:
    same = {"workloadRef": {"name": "game"}}
    first, second = replace(route(**same), name="arena"), replace(route(**same), name="lobby")
    other = replace(route(workloadRef={"name": "chat"}), name="aaa")
    every = [second, other, first]
    assert [is_annotator(each, every) for each in every] == [False, True, True]
    assert is_annotator(second, [second, other, replace(first, is_deleting=True)])
