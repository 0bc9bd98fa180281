"""From bytes to the values that the rules work with: every field, and everything odd that may stand there."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from statefulroute.api.annotations import (
    LOAD_STATE,
    POD_DELETION_COST,
    REPORT_TIME,
    ROUTING_STATE,
    WAITING_TASKS,
    WEIGHTED_LOAD,
    WORKLOAD_LOAD,
    WORKLOAD_STATE,
)
from statefulroute.api.statefulroute import StatefulRouteStatus
from statefulroute.api.vocabulary import LinkPhase, LinkReason, RoutingState, ServiceState
from statefulroute.cluster.codec import LINKS, PODS, ROUTES, STATEFUL_SETS
from statefulroute.cluster.pager import list_metadata
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.load import LoadReport, UnreadableReport
from statefulroute.domain.pod import Owner, Pod, PodAnnotations
from statefulroute.domain.route import Route, Workload, WorkloadAnnotations
from unit.cluster.objects import CREATED, link, metadata, page, pod, route

CREATION = datetime(2026, 1, 1, tzinfo=UTC)


def ready(**fields: Any) -> dict[str, Any]:
    """The Ready condition of a bound link."""
    return {
        "type": "Ready",
        "status": "True",
        "reason": "Bound",
        "message": "bound to pod 'game-2'",
        "lastTransitionTime": "2026-01-01T00:00:05Z",
        "observedGeneration": 3,
    } | fields


BOUND = {
    "phase": "Bound",
    "podIndex": 2,
    "podName": "game-2",
    "host": "game-2.game.games.svc",
    "expireTime": "2026-01-01T01:00:00Z",
    "boundTime": "2026-01-01T00:00:05Z",
    "observedGeneration": 3,
    "conditions": [{"type": "Other"}, ready()],
}


def as_link(spec: dict[str, Any] | None = None, status: Any = None, **more: Any) -> Link:
    made = link(**(spec or {}))
    made["metadata"] |= more
    if status is not None:
        made["status"] = status
    return LINKS.decode(json.dumps(made).encode())


def as_pod(body: dict[str, Any]) -> Pod:
    return PODS.decode(json.dumps(body).encode())


def test_kinds_are_listed_in_all_namespaces() -> None:
    resources: tuple[ResourceType[Any], ...] = (LINKS, ROUTES, PODS, STATEFUL_SETS)
    assert [resource.path for resource in resources] == [
        "/apis/statefulroute.io/v1alpha1/podlinks",
        "/apis/statefulroute.io/v1alpha1/statefulroutes",
        "/api/v1/pods",
        "/apis/apps/v1/statefulsets",
    ]


def test_every_field_of_a_link_arrives() -> None:
    decoded = as_link(
        {"podIndex": 2, "ttlSeconds": 3600, "namespace": "other"},
        BOUND,
        resourceVersion="77",
        generation=3,
        deletionTimestamp="2026-01-01T02:00:00Z",
    )
    assert decoded == Link(
        route=RouteKey("games", "game"),
        name="game.alice",
        resource_version=77,
        generation=3,
        pod=2,
        foreign_namespace="other",
        ttl_seconds=3600,
        creation_timestamp=int(CREATION.timestamp()),
        expire_time=CREATION + timedelta(hours=1),
        is_deleting=True,
        status=LinkStatus(
            LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-2'", 2, "game-2", "game-2.game.games.svc"
        ),
        observed_generation=3,
        status_expire_time=CREATION + timedelta(hours=1),
        transition_time=CREATION + timedelta(seconds=5),
    )


def test_a_link_may_name_its_pod_by_name() -> None:
    said = BOUND | {"podIndex": None, "podName": "game-7f9c-x2x"}
    decoded = as_link({"podName": "game-7f9c-x2x"}, said)
    assert (decoded.pod, decoded.violation, decoded.status_pod) == ("game-7f9c-x2x", None, "game-7f9c-x2x")
    assert decoded.assigned_pod == "game-7f9c-x2x"


@pytest.mark.parametrize("index", [0, 2])
def test_a_link_that_names_its_pod_twice_binds_nothing(index: int) -> None:
    decoded = as_link({"podIndex": index, "podName": "game-2"})
    assert decoded.violation == "podIndex and podName exclude each other: name the pod by one of them"
    assert decoded.assigned_pod is None


@pytest.mark.parametrize("status", [None, {}, {"conditions": []}, {"conditions": None}])
def test_a_link_of_which_nothing_was_said_has_no_acknowledgement(status: Any) -> None:
    assert as_link(status=status) == Link(
        route=RouteKey("games", "game"),
        name="game.alice",
        resource_version=1,
        generation=1,
        creation_timestamp=int(CREATION.timestamp()),
    )


@pytest.mark.parametrize(
    "status",
    [
        BOUND | {"phase": "Dancing"},
        BOUND | {"conditions": [ready(reason="Dancing")]},
        BOUND | {"conditions": []},
        BOUND | {"conditions": [{"type": "Other", "reason": "Bound"}]},
        BOUND | {"phase": ""},
    ],
)
def test_the_words_of_another_version_count_as_not_said(status: dict[str, Any]) -> None:
    decoded = as_link(status=status)
    assert decoded.status is None
    assert decoded.observed_generation == 3


@pytest.mark.parametrize(
    ("named", "foreign"), [(None, None), ("games", None), ("other", "other"), ("Games", "Games"), ("", "")]
)
def test_only_a_namespace_other_than_its_own_is_foreign(named: str | None, foreign: str | None) -> None:
    assert as_link({"namespace": named}).foreign_namespace == foreign


RENEWALS: dict[str | None, datetime | None] = {
    None: None,
    "2026-02-03T04:05:06Z": datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
    "2026-02-03t04:05:06z": datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
    "2026-02-03 04:05:06Z": datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
    "2026-02-03T04:05:06": datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
    "2026-02-03T04:05:06.5Z": datetime(2026, 2, 3, 4, 5, 6, 500_000, tzinfo=UTC),
    "2026-02-03T04:05:06.123456Z": datetime(2026, 2, 3, 4, 5, 6, 123_456, tzinfo=UTC),
    "2026-02-03T04:05:06.123456789Z": datetime(2026, 2, 3, 4, 5, 6, 123_457, tzinfo=UTC),
    "2026-02-03T04:05:06+02:00": datetime(2026, 2, 3, 2, 5, 6, tzinfo=UTC),
    "2026-02-03T04:05:06-00:30": datetime(2026, 2, 3, 4, 35, 6, tzinfo=UTC),
    # What is no time counts from the creation.
    "": None,
    "yesterday": None,
    "2026-02-03": None,
    "2026-02-30T04:05:06Z": None,
    "2026-02-03T04:05:60Z": None,
    "2026-02-03T24:00:00Z": None,
    "0000-01-01T00:00:00Z": None,
    "12026-02-03T04:05:06Z": None,
    "2026-02-03T04:05:06Z\n": None,
}


@pytest.mark.parametrize(("renewed", "time"), RENEWALS.items())
def test_a_link_ends_its_ttl_after_the_renewal_or_else_the_creation(renewed: str | None, time: datetime | None) -> None:
    decoded = as_link({"ttlSeconds": 60, "renewTime": renewed})
    assert decoded.expire_time == (time or CREATION) + timedelta(minutes=1)


def test_a_link_without_a_ttl_never_ends() -> None:
    assert as_link({"renewTime": "2026-02-03T04:05:06Z"}).expire_time is None


@pytest.mark.parametrize(
    ("renewed", "ttl"),
    [
        ("9999-12-31T23:59:59Z", 1),
        ("9999-12-31T23:59:59.999999Z", 2**31 - 1),
        ("9999-12-31T23:59:59-23:59", 60),
        (CREATED, 10**18),
        (CREATED, 2**62),
    ],
)
def test_a_link_that_outlives_the_calendar_ends_with_it(renewed: str, ttl: int) -> None:
    assert as_link({"renewTime": renewed, "ttlSeconds": ttl}).expire_time == datetime.max.replace(tzinfo=UTC)


def test_a_renewal_in_the_calendars_first_hours_is_compared_as_any_other() -> None:
    decoded = as_link({"renewTime": "0001-01-01T00:00:00+14:00", "ttlSeconds": 1})
    assert decoded.expire_time is not None
    assert decoded.expire_time < CREATION


@pytest.mark.parametrize("said", ["", "soon", None])
def test_a_time_in_the_status_that_is_none_counts_as_not_said(said: str | None) -> None:
    decoded = as_link(status=BOUND | {"expireTime": said, "conditions": [ready(lastTransitionTime=said or "")]})
    assert (decoded.status_expire_time, decoded.transition_time) == (None, None)


def test_links_that_say_the_same_share_what_they_say_and_their_route() -> None:
    one = as_link(status=BOUND, name="game.alice")
    two = as_link(status=BOUND | {"observedGeneration": 9}, name="game.bob", resourceVersion="8")
    other = as_link(status=BOUND | {"podIndex": 3})
    assert one.status is two.status
    assert one.route is two.route
    assert one.status is not other.status


@pytest.mark.parametrize(
    "broken",
    [
        {"metadata": metadata("game.alice"), "spec": {}},
        {"metadata": metadata("game.alice")},
        {"metadata": {"name": "game.alice"}, "spec": {"routeName": "game"}},
        {"metadata": metadata("game.alice", resourceVersion="many"), "spec": {"routeName": "game"}},
        {"metadata": metadata("game.alice"), "spec": {"routeName": "game", "podIndex": "2"}},
        [],
    ],
)
def test_a_malformed_link_is_a_value_error(broken: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        LINKS.decode(json.dumps(broken).encode())


STATES = {
    ("Running", "True"): ServiceState.READY,
    ("Running", "False"): ServiceState.NOT_READY,
    ("Running", "Unknown"): ServiceState.NOT_READY,
    ("Running", None): ServiceState.NOT_READY,
    ("Pending", None): ServiceState.PENDING,
    ("Pending", "True"): ServiceState.PENDING,
    ("Failed", "False"): ServiceState.FAILED,
    ("Succeeded", "False"): ServiceState.FAILED,
    ("Unknown", "True"): ServiceState.UNKNOWN,
    ("Dancing", "True"): ServiceState.UNKNOWN,
    ("", None): ServiceState.UNKNOWN,
}


@pytest.mark.parametrize("terminating", [True, False])
@pytest.mark.parametrize(("phase", "condition"), STATES)
def test_a_pods_service_state_follows_its_phase_its_readiness_and_its_deletion(
    phase: str, condition: str | None, *, terminating: bool
) -> None:
    body = pod("game-2", phase=phase)
    body["status"]["conditions"] = [{"type": "Initialized", "status": "True"}]
    if condition is not None:
        body["status"]["conditions"].append({"type": "Ready", "status": condition})
    if terminating:
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:09Z"
    expected = ServiceState.TERMINATING if terminating else STATES[phase, condition]
    assert as_pod(body).service_state is expected


def test_every_field_of_a_pod_arrives() -> None:
    owners = [
        {"kind": "Gadget", "name": "first", "uid": "no controller"},
        {"kind": "Gadget", "name": "second", "uid": "neither", "controller": False},
        {"kind": "StatefulSet", "name": "game", "uid": "uid-of-game", "controller": True},
    ]
    annotations = {
        ROUTING_STATE: "DenyNewCall",
        LOAD_STATE: "3",
        WAITING_TASKS: "5",
        REPORT_TIME: "2026-01-01T00:00:05Z",
        WEIGHTED_LOAD: "4.4",
        POD_DELETION_COST: "12",
        "other": "x",
    }
    body = pod("game-2", 7, ownerReferences=owners, annotations=annotations, labels={"app": "game"})
    body["spec"]["nodeName"] = "node-1"
    body["status"] |= {"podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "True"}]}
    assert as_pod(body) == Pod(
        namespace="games",
        name="game-2",
        uid="uid-of-game-2",
        resource_version=7,
        service_state=ServiceState.READY,
        is_ready=True,
        reported_routing_state=RoutingState.DENY_NEW_CALL,
        index=2,
        owner=Owner("StatefulSet", "game", "uid-of-game"),
        labels={"app": "game"},
        node_name="node-1",
        ip="10.0.0.7",
        load_report=LoadReport(3, 5, CREATION + timedelta(seconds=5)),
        annotations=PodAnnotations("4.4", "12"),
    )


@pytest.mark.parametrize("terminating", [True, False])
@pytest.mark.parametrize(("phase", "condition"), STATES)
def test_a_pod_that_ends_is_ready_for_as_long_as_its_condition_says_so(
    phase: str, condition: str | None, *, terminating: bool
) -> None:
    body = pod("game-2", phase=phase)
    body["status"]["conditions"] = [{"type": "Ready", "status": condition}] if condition else None
    if terminating:
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:09Z"
    assert as_pod(body).is_ready is ((phase, condition) == ("Running", "True"))


@pytest.mark.parametrize(
    ("annotations", "report", "notes"),
    [
        (None, None, PodAnnotations()),
        ({"other": "x"}, None, PodAnnotations()),
        ({WEIGHTED_LOAD: "0"}, None, PodAnnotations("0", None)),
        ({POD_DELETION_COST: "many"}, None, PodAnnotations(None, "many")),
        (
            {LOAD_STATE: "3"},
            UnreadableReport("has no annotation statefulroute.io/report-time: add the time of its report, as RFC 3339"),
            PodAnnotations(),
        ),
    ],
)
def test_a_pods_report_and_the_operators_notes_are_told_apart(
    annotations: Any, report: UnreadableReport | None, notes: PodAnnotations
) -> None:
    decoded = as_pod(pod("game-2", annotations=annotations))
    assert (decoded.load_report, decoded.annotations) == (report, notes)


@pytest.mark.parametrize("labels", [None, {}])
def test_a_pod_without_labels_has_none(labels: Any) -> None:
    assert as_pod(pod("game-2", labels=labels)).labels == {}


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"resourceVersion": "8"}},
        {"status": {"podIP": "10.0.0.8"}},
        {"metadata": {"annotations": {WEIGHTED_LOAD: "1"}}},
        {"metadata": {"annotations": {LOAD_STATE: "1", REPORT_TIME: CREATED}}},
    ],
    ids=["a version", "an address", "a note", "a report"],
)
def test_what_changes_from_report_to_report_is_no_bearing(change: dict[str, Any]) -> None:
    body, later = pod("game-2"), pod("game-2")
    for part, fields in change.items():
        later[part] |= fields
    assert as_pod(later) != as_pod(body)
    assert as_pod(later).decision_inputs == as_pod(body).decision_inputs


@pytest.mark.parametrize("owners", [None, [], [{"kind": "Gadget", "name": "a", "uid": "b"}]])
def test_a_pod_without_a_controller_has_no_owner(owners: Any) -> None:
    assert as_pod(pod("game-2", ownerReferences=owners)).owner is None


def test_a_pod_without_a_status_is_in_an_unknown_state() -> None:
    assert as_pod({"metadata": metadata("game-2")}).service_state is ServiceState.UNKNOWN


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        (None, RoutingState.UNKNOWN),
        ({}, RoutingState.UNKNOWN),
        *(({ROUTING_STATE: state.value}, state) for state in RoutingState),
        ({ROUTING_STATE: "shutdown"}, RoutingState.UNKNOWN),
        ({ROUTING_STATE: ""}, RoutingState.UNKNOWN),
        ({ROUTING_STATE: " Ready"}, RoutingState.UNKNOWN),
        ({"routing-state": "Shutdown"}, RoutingState.UNKNOWN),
    ],
)
def test_a_pod_says_its_routing_state_in_an_annotation(annotations: Any, said: RoutingState) -> None:
    assert as_pod(pod("game-2", annotations=annotations)).reported_routing_state is said


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("game-0", 0),
        ("game-12", 12),
        ("my-game-3", 3),
        ("game-007", 7),
        ("game", None),
        ("7", None),
        ("game-", None),
        ("game-7f9c", None),
        ("game-" + "9" * 200, int("9" * 200)),
    ],
)
def test_a_pods_index_stands_at_the_end_of_its_name(name: str, index: int | None) -> None:
    assert as_pod(pod(name)).index == index


def test_every_field_of_a_stateful_set_arrives() -> None:
    annotations = {WORKLOAD_STATE: "High", WORKLOAD_LOAD: "3.7", "other": "x"}
    spec = {"replicas": 0, "serviceName": "heads", "template": {}, "ordinals": {"start": 5}}
    body = {"metadata": metadata("game", 8, annotations=annotations), "spec": spec}
    assert STATEFUL_SETS.decode(json.dumps(body).encode()) == Workload(
        namespace="games",
        name="game",
        resource_version=8,
        uid="uid-of-game",
        replicas=0,
        first_index=5,
        service_name="heads",
        annotations=WorkloadAnnotations("High", "3.7"),
    )


def test_a_stateful_set_has_one_replica_and_no_service_unless_it_says_so() -> None:
    workload = STATEFUL_SETS.decode(json.dumps({"metadata": metadata("game"), "spec": {}}).encode())
    assert (workload.replicas, workload.service_name, workload.first_index) == (1, "", 0)
    assert (workload.selector, workload.annotations) == (None, WorkloadAnnotations())


def test_every_field_of_a_route_arrives() -> None:
    body = route("game", 9, workloadRef={"name": "games"}, pods=[{"index": 1, "routingState": "Shutdown"}])
    body["metadata"] |= {"generation": 4, "deletionTimestamp": "2026-01-01T00:00:09Z"}
    body["status"] = {"observedGeneration": 4, "links": 12, "conditions": [ready(reason="Routable")]}
    decoded = ROUTES.decode(json.dumps(body).encode())
    assert isinstance(decoded, Route)
    assert (decoded.key, decoded.resource_version, decoded.generation) == (("games", "game"), 9, 4)
    assert decoded.is_deleting
    assert decoded.workload_name == "games"
    assert decoded.spec.pods[0].routing_state is RoutingState.SHUTDOWN
    assert (decoded.status.observed_generation, decoded.status.links) == (4, 12)
    assert decoded.status.conditions[0].last_transition_time == CREATION + timedelta(seconds=5)


@pytest.mark.parametrize(
    "status",
    [None, {}, {"routingState": "Dancing"}, {"conditions": [ready(type="Dancing")]}, {"links": -1}, {"pods": "none"}],
)
def test_a_routes_status_in_the_words_of_another_version_counts_as_not_said(status: Any) -> None:
    body = route() if status is None else route() | {"status": status}
    assert ROUTES.decode(json.dumps(body).encode()).status == StatefulRouteStatus()


def test_fields_of_a_later_version_are_passed_over() -> None:
    body = route(melody="waltz") | {"status": {"links": 1, "tempo": 3}}
    assert ROUTES.decode(json.dumps(body).encode()).status.links == 1


def test_a_route_with_a_spec_that_is_none_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="routingState"):
        ROUTES.decode(json.dumps(route(routingState="Dancing")).encode())


@pytest.mark.parametrize(
    ("resource", "body"),
    [(LINKS, link()), (ROUTES, route()), (PODS, pod("game-1"))],
    ids=["link", "route", "pod"],
)
def test_an_object_that_is_decoded_already_gives_the_same(resource: ResourceType[Any], body: dict[str, Any]) -> None:
    assert resource.convert(body) == resource.decode(json.dumps(body).encode())


def test_a_page_has_its_resource_version_and_the_token_of_the_next_page() -> None:
    data = json.dumps(page([pod("a"), pod("b")], 30, next_page="more")).encode()
    decoded = PODS.decode_page(data)
    assert ([item.name for item in decoded.items], decoded.resource_version) == (["a", "b"], 30)
    last_page = json.dumps(page([], 30)).encode()
    assert (list_metadata(data).continue_token, list_metadata(last_page).continue_token) == ("more", "")
