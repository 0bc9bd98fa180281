"""The load of pods: weighting, freshness, workload state and parsing."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.api.annotations import LOAD_STATE, REPORT_TIME, ROUTING_STATE, WAITING_TASKS
from statefulroute.api.limits import INT32_MAX
from statefulroute.api.load import WorkloadThresholds
from statefulroute.api.vocabulary import RoutingState, WorkloadState
from statefulroute.domain.assessment import Assessment, assess
from statefulroute.domain.load import (
    LoadReport,
    LoadResponse,
    UnreadableReport,
    has_changed_significantly,
    parse_load_report,
    parse_load_response,
    workload_state,
)
from statefulroute.domain.pod import Pod
from unit.domain.builders import NOON, STALE, load, pod, route, view


@pytest.mark.parametrize(
    ("percent", "load_state", "waiting_tasks", "milli"),
    [
        (0, 3, 7, 3_000),
        (100, 3, 7, 7_000),
        (70, 3, 7, 5_800),
        (70, 0, 0, 0),
        (70, 1, 0, 300),
        (70, 0, 1, 700),
        (33, 1, 0, 670),
        (1, 0, 1, 10),
        (50, INT32_MAX, INT32_MAX, INT32_MAX * 1_000),
    ],
)
def test_weighted_load_is_exact_in_thousandths(percent: int, load_state: int, waiting_tasks: int, milli: int) -> None:
    assert load(load_state, waiting_tasks).weighted_milli(percent) == milli


numbers = st.integers(0, INT32_MAX)


@given(st.integers(0, 100), numbers, numbers)
def test_weighted_load_equals_the_formula_without_rounding(percent: int, load_state: int, waiting_tasks: int) -> None:
    factor = Decimal(percent) / 100
    weighted = factor * waiting_tasks + (1 - factor) * load_state
    assert load(load_state, waiting_tasks).weighted_milli(percent) == weighted * 1000


@pytest.mark.parametrize("stale_after", [1, 90, 86_400])
@pytest.mark.parametrize(
    ("past_limit", "is_fresh"),
    [
        (timedelta(seconds=-1), True),
        (timedelta(0), True),
        (timedelta(microseconds=1), False),
        (timedelta(days=1), False),
    ],
)
def test_load_is_fresh_until_it_is_too_old(stale_after: int, past_limit: timedelta, is_fresh: bool) -> None:
    then = NOON + timedelta(seconds=stale_after) + past_limit
    assert load().is_fresh(stale_after, then) is is_fresh


def test_load_from_the_future_is_fresh() -> None:
    assert load(age=-3600).is_fresh(1, NOON)


DEFAULT = WorkloadThresholds()
CUSTOM = WorkloadThresholds(normal=0, high=10, overloaded=1000)
IDLE, NORMAL, HIGH, OVERLOADED = (
    WorkloadState.IDLE,
    WorkloadState.NORMAL,
    WorkloadState.HIGH,
    WorkloadState.OVERLOADED,
)


@pytest.mark.parametrize(
    ("thresholds", "milli", "state"),
    [
        (DEFAULT, 0, IDLE),
        (DEFAULT, 999, IDLE),
        (DEFAULT, 1_000, NORMAL),
        (DEFAULT, 2_999, NORMAL),
        (DEFAULT, 3_000, HIGH),
        (DEFAULT, 4_999, HIGH),
        (DEFAULT, 5_000, OVERLOADED),
        (DEFAULT, INT32_MAX * 1_000, OVERLOADED),
        (CUSTOM, 0, NORMAL),
        (CUSTOM, 9_999, NORMAL),
        (CUSTOM, 10_000, HIGH),
        (CUSTOM, 999_999, HIGH),
        (CUSTOM, 1_000_000, OVERLOADED),
    ],
)
def test_workload_state_is_that_of_the_highest_threshold_reached(
    thresholds: WorkloadThresholds, milli: int, state: WorkloadState
) -> None:
    for routing_state in (RoutingState.READY, RoutingState.DENY_NEW_CALL):
        assert workload_state(milli, thresholds, routing_state) is state


@pytest.mark.parametrize("milli", [None, 0, 9_000])
def test_workload_state_of_a_shut_down_service_is_shutdown(milli: int | None) -> None:
    assert workload_state(milli, DEFAULT, RoutingState.SHUTDOWN) is WorkloadState.SHUTDOWN


def test_workload_state_without_fresh_load_is_unknown() -> None:
    assert workload_state(None, DEFAULT, RoutingState.READY) is None


POD_OF_2, POD_OF_5, POD_OF_9 = load(2, 2), load(5, 5), load(9, 9)
SHUT, DENIES = RoutingState.SHUTDOWN, RoutingState.DENY_NEW_CALL


@pytest.mark.parametrize(
    ("pods", "loads", "assessment"),
    [
        ((pod(0), pod(1)), {0: POD_OF_2, 1: POD_OF_5}, Assessment(HIGH, 3_500)),
        ((pod(0), pod(1)), {0: POD_OF_2, 1: load(9, 9, age=STALE)}, Assessment(NORMAL, 2_000)),
        ((pod(0), pod(1)), {0: POD_OF_2}, Assessment(NORMAL, 2_000)),
        ((pod(0), pod(1, reported_routing_state=DENIES)), {0: POD_OF_2, 1: POD_OF_9}, Assessment(OVERLOADED, 5_500)),
        ((pod(0), pod(1, reported_routing_state=SHUT)), {0: POD_OF_2, 1: POD_OF_9}, Assessment(NORMAL, 2_000)),
        ((pod(0), pod(1, is_ready=False)), {0: POD_OF_2, 1: POD_OF_9}, Assessment(NORMAL, 2_000)),
        ((pod(0), pod(1), pod(2)), {0: load(1), 1: load(1), 2: load()}, Assessment(IDLE, 200)),
        ((pod(0),), {0: load(9, 9, age=STALE)}, Assessment()),
        ((pod(0),), {}, Assessment()),
        ((), {0: POD_OF_9}, Assessment()),
    ],
    ids=[
        "mean",
        "stale pod excluded",
        "pod without report excluded",
        "pod that denies new calls included",
        "shut down pod excluded",
        "pod that is not ready excluded",
        "mean rounded down",
        "all stale",
        "no reports",
        "missing pod",
    ],
)
def test_assessment_is_the_mean_of_routable_pods_with_fresh_load(
    pods: tuple[Pod, ...], loads: dict[Any, Any], assessment: Assessment
) -> None:
    assert assess(view(*pods, loads=loads), NOON) == assessment


def test_assessment_uses_factor_thresholds_and_maximum_age_of_the_route() -> None:
    custom_route = route(
        load={"cpuFactorPercent": 0, "staleAfterSeconds": 10},
        workloadThresholds={"normal": 10, "high": 20, "overloaded": 30},
    )
    loads = {0: load(19, 99, age=10), 1: load(99, 99, age=11)}
    assert assess(view(pod(0), pod(1), route=custom_route, loads=loads), NOON) == Assessment(NORMAL, 19_000)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("previous", "current", "is_significant"),
    [
        (None, 0, True),
        (None, 5, True),
        (0, 0, False),
        (5, 5, False),
        (0, 1, True),
        (1, 0, True),
        (10_000, 0, True),
        (1_000, 1_099, False),
        (1_000, 1_100, True),
        (1_000, 901, False),
        (1_000, 900, True),
        (7, 8, True),
        (11, 12, False),
        (10, 11, True),
    ],
)
def test_change_by_a_tenth_is_significant(previous: int | None, current: int, is_significant: bool) -> None:
    assert has_changed_significantly(previous, current) is is_significant


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


VALID_RESPONSES: dict[bytes, LoadResponse] = {
    body(loadState=3, waitingTasks=5, routingState="DenyNewCall"): LoadResponse(3, 5, RoutingState.DENY_NEW_CALL),
    body(loadState=3): LoadResponse(3, 0),
    body(waitingTasks=5): LoadResponse(0, 5),
    body(loadState=0): LoadResponse(0, 0),
    body(loadState=None, waitingTasks=5): LoadResponse(0, 5),
    body(loadState=INT32_MAX, waitingTasks=INT32_MAX): LoadResponse(INT32_MAX, INT32_MAX),
    body(loadState=1, routingState="Unknown"): LoadResponse(1, 0),
    body(loadState=1, colour="red"): LoadResponse(1, 0),
    b' \n{ "loadState" : 1 } ': LoadResponse(1, 0),
}


@pytest.mark.parametrize(("response_body", "response"), VALID_RESPONSES.items(), ids=map(str, VALID_RESPONSES))
def test_valid_response_is_parsed(response_body: bytes, response: LoadResponse) -> None:
    assert parse_load_response(response_body) == response


NUMBERS = (
    "loadState and waitingTasks must be whole numbers from 0 to 2147483647, "
    "and routingState one of Unknown, Ready, DenyNewCall, Shutdown"
)
NO_OBJECT = "it must be a JSON object"
NEITHER = "it has neither loadState nor waitingTasks"

INVALID_RESPONSES: dict[bytes, str] = {
    b"": NO_OBJECT,
    b"secret": NO_OBJECT,
    b'{"loadState": 1': NO_OBJECT,
    b'{"loadState": 1} secret': NO_OBJECT,
    b"\xff\xfe": NO_OBJECT,
    b'{"loadState": NaN}': NO_OBJECT,
    b"[]": NUMBERS,
    b"7": NUMBERS,
    b"null": NUMBERS,
    body(): NEITHER,
    body(routingState="Ready"): NEITHER,
    body(loadState=None, waitingTasks=None): NEITHER,
    body(loadState=True): NUMBERS,
    body(waitingTasks=False): NUMBERS,
    body(loadState=1.5): NUMBERS,
    body(loadState="1"): NUMBERS,
    body(loadState=-1): NUMBERS,
    body(waitingTasks=-1, loadState=1): NUMBERS,
    body(loadState=INT32_MAX + 1): NUMBERS,
    body(loadState=10**30): NUMBERS,
    body(waitingTasks=INT32_MAX + 1, loadState=1): NUMBERS,
    body(loadState=[]): NUMBERS,
    body(loadState=1, routingState="secret"): NUMBERS,
    body(loadState=1, routingState="ready"): NUMBERS,
    body(loadState=1, routingState=""): NUMBERS,
    body(loadState=1, routingState=None): NUMBERS,
    body(colour="secret"): NEITHER,
}


@pytest.mark.parametrize(("response_body", "message"), INVALID_RESPONSES.items(), ids=map(str, INVALID_RESPONSES))
def test_error_of_an_invalid_response_contains_nothing_of_it(response_body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as error:
        parse_load_response(response_body)
    assert str(error.value) == message
    assert error.value.__cause__ is None


AT = "2026-01-01T12:00:00Z"


def report_annotations(**fields: str) -> dict[str, str]:
    names = {"time": REPORT_TIME, "load": LOAD_STATE, "tasks": WAITING_TASKS}
    return {names[field]: value for field, value in fields.items()}


@pytest.mark.parametrize(
    ("annotations", "report"),
    [
        ({}, None),
        ({"other": "1", ROUTING_STATE: "Ready"}, None),
        (report_annotations(time=AT, load="3", tasks="5"), LoadReport(3, 5, NOON)),
        (report_annotations(time=AT, load="3"), LoadReport(3, 0, NOON)),
        (report_annotations(time=AT, tasks="5"), LoadReport(0, 5, NOON)),
        (report_annotations(time=AT), LoadReport(0, 0, NOON)),
        (report_annotations(time=AT, load="007"), LoadReport(7, 0, NOON)),
        (
            report_annotations(time=AT, load=str(INT32_MAX), tasks=str(INT32_MAX)),
            LoadReport(INT32_MAX, INT32_MAX, NOON),
        ),
        (
            report_annotations(time="2026-01-01T14:00:00.000001+02:00"),
            LoadReport(0, 0, NOON + timedelta(microseconds=1)),
        ),
    ],
)
def test_load_report_is_parsed_from_annotations(annotations: dict[str, str], report: LoadReport | None) -> None:
    assert parse_load_report(annotations) == report


NO_TIME = "has no annotation statefulroute.io/report-time: add the time of its report, as RFC 3339"
BAD_TIME = "has an annotation statefulroute.io/report-time that is not an RFC 3339 time"
BAD_LOAD = "has an annotation statefulroute.io/load-state that is not a whole number from 0 to 2147483647"
BAD_TASKS = "has an annotation statefulroute.io/waiting-tasks that is not a whole number from 0 to 2147483647"


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        (report_annotations(load="3", tasks="5"), NO_TIME),
        (report_annotations(load="secret"), NO_TIME),
        (report_annotations(time="", load="3"), BAD_TIME),
        (report_annotations(time="secret", load="3"), BAD_TIME),
        (report_annotations(time="2026-01-01T12:00:00", load="3"), BAD_TIME),
        (report_annotations(time="2026-01-01", load="3"), BAD_TIME),
        (report_annotations(time="1767268800", load="3"), BAD_TIME),
        (report_annotations(time="2026-02-30T12:00:00Z", load="3"), BAD_TIME),
        *(
            (report_annotations(time=AT, load=number), BAD_LOAD)
            for number in ("", "-1", "+1", " 1", "1.0", "1e3", "0x1", "1_0", "true")
        ),
        (report_annotations(time=AT, load="²"), BAD_LOAD),
        (report_annotations(time=AT, load="٣"), BAD_LOAD),
        (report_annotations(time=AT, load=str(INT32_MAX + 1)), BAD_LOAD),
        (report_annotations(time=AT, load="9" * 10_000), BAD_LOAD),
        (report_annotations(time=AT, load="secret", tasks="secret"), BAD_LOAD),
        (report_annotations(time=AT, load="1", tasks="secret"), BAD_TASKS),
        (report_annotations(time=AT, tasks=str(INT32_MAX + 1)), BAD_TASKS),
    ],
)
def test_error_of_an_invalid_report_names_the_annotation_and_contains_nothing_of_it(
    annotations: dict[str, str], message: str
) -> None:
    assert parse_load_report(annotations) == UnreadableReport(message)


@given(numbers, numbers, st.datetimes(timezones=st.just(UTC)))
def test_report_of_a_driver_is_parsed_exactly(load_state: int, waiting_tasks: int, time: datetime) -> None:
    annotations = report_annotations(time=time.isoformat(), load=str(load_state), tasks=str(waiting_tasks))
    assert parse_load_report(annotations) == LoadReport(load_state, waiting_tasks, time)
