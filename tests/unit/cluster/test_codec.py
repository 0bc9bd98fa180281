"""The codec decodes every field of an object, and handles malformed values."""

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
from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.vocabulary import (
    ConditionType,
    LinkPhase,
    LinkReason,
    LoadSource,
    PodLostAction,
    RoutingState,
    ServiceState,
    WorkloadState,
)
from statefulroute.cluster.codec import LINKS, PODS, ROUTES, STATEFUL_SETS
from statefulroute.cluster.pager import list_metadata
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.load import LoadReport, UnreadableReport
from statefulroute.domain.pod import Owner, Pod, PodAnnotations
from statefulroute.domain.route import Route
from statefulroute.domain.workload import Workload, WorkloadAnnotations
from support.captured_logs import captured_logs
from unit.cluster.objects import CREATED, link, metadata, page, pod, route

CREATION = datetime(2026, 1, 1, tzinfo=UTC)


def ready(**fields: Any) -> dict[str, Any]:
    """Returns the Ready condition of a bound link."""
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
    body = link(**(spec or {}))
    body["metadata"] |= more
    if status is not None:
        body["status"] = status
    return LINKS.decode(json.dumps(body).encode())


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


def test_every_field_of_a_link_is_decoded() -> None:
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
        has_removable_managed_fields=True,
        status=LinkStatus(
            LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-2'", 2, "game-2", "game-2.game.games.svc"
        ),
        observed_generation=3,
        status_expire_time=CREATION + timedelta(hours=1),
        transition_time=CREATION + timedelta(seconds=5),
    )


UPDATE, APPLY = ({"manager": "any", "operation": operation} for operation in ("Update", "Apply"))


@pytest.mark.parametrize(
    ("entries", "annotations", "are_removable"),
    [
        (None, None, False),
        ([], None, False),
        ([UPDATE], None, True),
        ([UPDATE, UPDATE | {"subresource": "status"}], {"other": "value"}, True),
        ([UPDATE], {"kubectl.kubernetes.io/last-applied-configuration": "{}"}, False),
        ([APPLY], None, False),
        ([UPDATE, APPLY], None, False),
        ([UPDATE, APPLY | {"subresource": "status"}], None, False),
        ([UPDATE, {"manager": "newer", "operation": "Unknown"}], None, False),
    ],
)
def test_only_a_link_that_was_never_applied_has_removable_managed_fields(
    entries: list[dict[str, str]] | None, annotations: dict[str, str] | None, are_removable: bool
) -> None:
    decoded = as_link(managedFields=entries, annotations=annotations)
    assert decoded.has_removable_managed_fields is are_removable


def test_a_link_may_name_its_pod_by_name() -> None:
    status = BOUND | {"podIndex": None, "podName": "game-7f9c-x2x"}
    decoded = as_link({"podName": "game-7f9c-x2x"}, status)
    assert (decoded.pod, decoded.violation, decoded.status_pod) == ("game-7f9c-x2x", None, "game-7f9c-x2x")
    assert decoded.assigned_pod == "game-7f9c-x2x"


@pytest.mark.parametrize("index", [0, 2])
def test_a_link_with_two_pod_fields_binds_nothing(index: int) -> None:
    decoded = as_link({"podIndex": index, "podName": "game-2"})
    assert decoded.violation == "podIndex and podName exclude each other: name the pod by one of them"
    assert decoded.assigned_pod is None


@pytest.mark.parametrize("status", [None, {}, {"conditions": []}, {"conditions": None}])
def test_a_link_without_a_status_has_none(status: Any) -> None:
    assert as_link(status=status) == Link(
        route=RouteKey("games", "game"),
        name="game.alice",
        resource_version=1,
        generation=1,
        creation_timestamp=int(CREATION.timestamp()),
        has_removable_managed_fields=True,
    )


@pytest.mark.parametrize(
    ("status", "phase", "reason"),
    [
        (BOUND | {"phase": "Dancing"}, LinkPhase.UNKNOWN, LinkReason.BOUND),
        (BOUND | {"conditions": [ready(reason="Dancing")]}, LinkPhase.BOUND, LinkReason.UNKNOWN),
        (BOUND | {"conditions": []}, LinkPhase.BOUND, LinkReason.UNKNOWN),
        (BOUND | {"conditions": [{"type": "Dancing", "reason": "Bound"}]}, LinkPhase.BOUND, LinkReason.UNKNOWN),
    ],
)
def test_a_value_of_another_version_hides_nothing_else_of_a_link_status(
    status: dict[str, Any], phase: LinkPhase, reason: LinkReason
) -> None:
    decoded = as_link(status=status)
    assert decoded.status is not None
    assert (decoded.status.phase, decoded.status.reason) == (phase, reason)
    assert (decoded.status_pod, decoded.status.host) == (2, "game-2.game.games.svc")
    assert decoded.observed_generation == 3


def test_a_link_without_a_phase_has_no_status() -> None:
    assert as_link(status=BOUND | {"phase": ""}).status is None


@pytest.mark.parametrize(
    ("namespace", "foreign"), [(None, None), ("games", None), ("other", "other"), ("Games", "Games"), ("", "")]
)
def test_only_a_namespace_other_than_its_own_is_foreign(namespace: str | None, foreign: str | None) -> None:
    assert as_link({"namespace": namespace}).foreign_namespace == foreign


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
    # With a malformed time, the TTL counts from the creation.
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


@pytest.mark.parametrize(("renew_time", "time"), RENEWALS.items())
def test_a_link_expires_its_ttl_after_the_renewal_or_else_the_creation(
    renew_time: str | None, time: datetime | None
) -> None:
    decoded = as_link({"ttlSeconds": 60, "renewTime": renew_time})
    assert decoded.expire_time == (time or CREATION) + timedelta(minutes=1)


def test_a_link_without_a_ttl_never_expires() -> None:
    assert as_link({"renewTime": "2026-02-03T04:05:06Z"}).expire_time is None


@pytest.mark.parametrize(
    ("renew_time", "ttl"),
    [
        ("9999-12-31T23:59:59Z", 1),
        ("9999-12-31T23:59:59.999999Z", 2**31 - 1),
        ("9999-12-31T23:59:59-23:59", 60),
        (CREATED, 10**18),
        (CREATED, 2**62),
    ],
)
def test_an_expiry_after_the_maximum_date_is_the_maximum_date(renew_time: str, ttl: int) -> None:
    assert as_link({"renewTime": renew_time, "ttlSeconds": ttl}).expire_time == datetime.max.replace(tzinfo=UTC)


def test_a_renewal_in_the_first_hours_of_year_1_is_comparable() -> None:
    decoded = as_link({"renewTime": "0001-01-01T00:00:00+14:00", "ttlSeconds": 1})
    assert decoded.expire_time is not None
    assert decoded.expire_time < CREATION


@pytest.mark.parametrize("time", ["", "soon", None])
def test_a_malformed_time_in_the_status_is_ignored(time: str | None) -> None:
    decoded = as_link(status=BOUND | {"expireTime": time, "conditions": [ready(lastTransitionTime=time or "")]})
    assert (decoded.status_expire_time, decoded.transition_time) == (None, None)


def test_links_with_equal_status_share_the_status_and_the_route() -> None:
    first = as_link(status=BOUND, name="game.alice")
    second = as_link(status=BOUND | {"observedGeneration": 9}, name="game.bob", resourceVersion="8")
    other = as_link(status=BOUND | {"podIndex": 3})
    assert first.status is second.status
    assert first.route is second.route
    assert first.status is not other.status


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
def test_a_malformed_link_raises_value_error(broken: Any) -> None:
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


@pytest.mark.parametrize("is_terminating", [True, False])
@pytest.mark.parametrize(("phase", "condition"), STATES)
def test_a_pods_service_state_depends_on_phase_readiness_and_deletion(
    phase: str, condition: str | None, *, is_terminating: bool
) -> None:
    body = pod("game-2", phase=phase)
    body["status"]["conditions"] = [{"type": "Initialized", "status": "True"}]
    if condition is not None:
        body["status"]["conditions"].append({"type": "Ready", "status": condition})
    if is_terminating:
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:09Z"
    expected = ServiceState.TERMINATING if is_terminating else STATES[phase, condition]
    assert as_pod(body).service_state is expected


def test_every_field_of_a_pod_is_decoded() -> None:
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
        creation_timestamp=int(CREATION.timestamp()),
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


def waiting(reason: str) -> dict[str, Any]:
    return {"name": "room", "state": {"waiting": {"reason": reason, "message": "x"}}}


def terminated(reason: str) -> dict[str, Any]:
    return {"name": "room", "state": {"terminated": {"reason": reason, "exitCode": 1}}}


RUNNING = {"name": "room", "state": {"running": {"startedAt": CREATED}}}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
SCHEDULED = {"type": "PodScheduled", "status": "True"}
CONTAINERS_NOT_READY = {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({}, ""),
        ({"conditions": None, "containerStatuses": None, "initContainerStatuses": None}, ""),
        ({"conditions": [UNSCHEDULABLE]}, "Unschedulable"),
        ({"conditions": [SCHEDULED]}, ""),
        ({"containerStatuses": [{"name": "room"}, {"name": "room", "state": {}}]}, ""),
        ({"containerStatuses": [waiting("ContainerCreating")]}, "ContainerCreating"),
        ({"conditions": [CONTAINERS_NOT_READY], "containerStatuses": [RUNNING]}, "ContainersNotReady"),
        (
            {"conditions": [CONTAINERS_NOT_READY], "containerStatuses": [RUNNING, waiting("CrashLoopBackOff")]},
            "CrashLoopBackOff",
        ),
        (
            {"conditions": [CONTAINERS_NOT_READY], "containerStatuses": [waiting("ContainerCreating")]},
            "ContainerCreating",
        ),
        ({"containerStatuses": [waiting("ContainerCreating"), terminated("OOMKilled")]}, "OOMKilled"),
        (
            {
                "initContainerStatuses": [terminated("Completed"), waiting("ImagePullBackOff")],
                "containerStatuses": [waiting("PodInitializing")],
            },
            "ImagePullBackOff",
        ),
        ({"reason": "Evicted", "containerStatuses": [terminated("Error")]}, "Evicted"),
        ({"reason": "x" * 10_000}, "x" * 128),
    ],
)
def test_a_pod_that_is_not_ready_has_the_reason_of_kubernetes(status: dict[str, Any], reason: str) -> None:
    body = pod("game-2")
    body["status"] |= status
    assert as_pod(body).not_ready_reason == reason


def test_a_ready_pod_has_no_reason() -> None:
    body = pod("game-2")
    body["status"] |= {"conditions": [{"type": "Ready", "status": "True", "reason": "Fine"}], "reason": "Odd"}
    assert as_pod(body).not_ready_reason == ""


@pytest.mark.parametrize("is_terminating", [True, False])
@pytest.mark.parametrize(("phase", "condition"), STATES)
def test_a_terminating_pod_is_ready_while_its_condition_is_true(
    phase: str, condition: str | None, *, is_terminating: bool
) -> None:
    body = pod("game-2", phase=phase)
    body["status"]["conditions"] = [{"type": "Ready", "status": condition}] if condition else None
    if is_terminating:
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:09Z"
    assert as_pod(body).is_ready is ((phase, condition) == ("Running", "True"))


@pytest.mark.parametrize(
    ("annotations", "report", "operator_annotations"),
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
def test_a_pods_load_report_and_the_operators_annotations_are_separate(
    annotations: Any, report: UnreadableReport | None, operator_annotations: PodAnnotations
) -> None:
    decoded = as_pod(pod("game-2", annotations=annotations))
    assert (decoded.load_report, decoded.annotations) == (report, operator_annotations)


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
    ids=["a version", "an address", "an annotation", "a report"],
)
def test_fields_that_change_with_each_report_are_not_decision_inputs(change: dict[str, Any]) -> None:
    body, changed = pod("game-2"), pod("game-2")
    for part, fields in change.items():
        changed[part] |= fields
    assert as_pod(changed) != as_pod(body)
    assert as_pod(changed).decision_inputs == as_pod(body).decision_inputs


@pytest.mark.parametrize("owners", [None, [], [{"kind": "Gadget", "name": "a", "uid": "b"}]])
def test_a_pod_without_a_controller_has_no_owner(owners: Any) -> None:
    assert as_pod(pod("game-2", ownerReferences=owners)).owner is None


def test_a_pod_without_a_status_is_in_an_unknown_state() -> None:
    assert as_pod({"metadata": metadata("game-2")}).service_state is ServiceState.UNKNOWN


@pytest.mark.parametrize(
    ("annotations", "state"),
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
def test_a_pod_reports_its_routing_state_in_an_annotation(annotations: Any, state: RoutingState) -> None:
    assert as_pod(pod("game-2", annotations=annotations)).reported_routing_state is state


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
def test_a_pods_index_is_the_suffix_of_its_name(name: str, index: int | None) -> None:
    assert as_pod(pod(name)).index == index


def test_every_field_of_a_stateful_set_is_decoded() -> None:
    annotations = {WORKLOAD_STATE: "High", WORKLOAD_LOAD: "3.7", "other": "x"}
    expressions = [
        {"key": "tier", "operator": "In", "values": ["b", "a"]},
        {"key": "canary", "operator": "DoesNotExist"},
        {"key": "zone", "operator": "NotIn", "values": ["x"]},
        {"key": "room", "operator": "Exists"},
    ]
    spec = {
        "replicas": 0,
        "serviceName": "heads",
        "template": {},
        "ordinals": {"start": 5},
        "selector": {"matchLabels": {"app": "game"}, "matchExpressions": expressions},
        "updateStrategy": {"type": "OnDelete"},
    }
    status = {"updateRevision": "game-b", "currentRevision": "game-a"}
    body = {"metadata": metadata("game", 8, annotations=annotations), "spec": spec, "status": status}
    assert STATEFUL_SETS.decode(json.dumps(body).encode()) == Workload(
        namespace="games",
        name="game",
        resource_version=8,
        uid="uid-of-game",
        replicas=0,
        first_index=5,
        update_revision="game-b",
        update_strategy="OnDelete",
        selector_text="app=game,!canary,room,tier in (a,b),zone notin (x)",
        service_name="heads",
        annotations=WorkloadAnnotations("High", "3.7"),
    )


def test_a_stateful_set_defaults_to_one_replica_and_no_service() -> None:
    workload = STATEFUL_SETS.decode(json.dumps({"metadata": metadata("game"), "spec": {}}).encode())
    assert (workload.replicas, workload.service_name, workload.first_index) == (1, "", 0)
    assert (workload.selector, workload.annotations) == (None, WorkloadAnnotations())


def test_every_field_of_a_route_is_decoded() -> None:
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


def as_route(spec: dict[str, Any] | None = None, status: Any = None) -> Route:
    body = route(**(spec or {})) | ({} if status is None else {"status": status})
    return ROUTES.decode(json.dumps(body).encode())


@pytest.mark.parametrize("status", [None, {}, {"links": "many"}, {"pods": "none"}])
def test_a_status_without_a_valid_field_is_empty(status: Any) -> None:
    assert as_route(status=status).status == StatefulRouteStatus()


def test_values_of_another_version_hide_nothing_else_of_a_route_status() -> None:
    pod_status = {"name": "game-0", "index": 0, "serviceState": "Ready", "routingState": "Ready", "links": 4}
    status = as_route(
        status={
            "routingState": "Dancing",
            "workloadState": "Dancing",
            "links": 7,
            "bestPodIndex": -1,
            "pods": [pod_status | {"serviceState": "Dancing"}, pod_status | {"routingState": "Dancing"}, {"name": "x"}],
            "conditions": [ready(type="Dancing"), ready(status="Dancing"), ready()],
        }
    ).status
    assert (status.routing_state, status.workload_state) == (RoutingState.UNKNOWN, WorkloadState.UNKNOWN)
    assert (status.links, status.best_pod_index) == (7, 0)
    assert [(pod.name, pod.service_state, pod.routing_state, pod.links) for pod in status.pods] == [
        ("game-0", ServiceState.UNKNOWN, RoutingState.READY, 4),
        ("game-0", ServiceState.READY, RoutingState.UNKNOWN, 4),
    ]
    assert [(each.type, each.reason) for each in status.conditions] == [
        (ConditionType.UNKNOWN, "Bound"),
        (ConditionType.READY, "Bound"),
    ]


def test_values_of_another_version_hide_nothing_else_of_a_route_spec() -> None:
    with captured_logs() as lines:
        spec = as_route(
            {
                "workloadRef": {"name": "games"},
                "routingState": "Dancing",
                "pods": [{"index": 0, "routingState": "Shutdown"}, {"index": 1, "routingState": "Dancing"}],
                "load": {"source": "Dancing", "staleAfterSeconds": 10**6},
                "onPodLost": {"action": "Dancing", "graceSeconds": 300},
            }
        ).spec
    assert (spec.workload_ref.name, spec.routing_state) == ("games", RoutingState.UNKNOWN)
    assert [each.routing_state for each in spec.pods] == [RoutingState.SHUTDOWN, RoutingState.UNKNOWN]
    assert (spec.load.source, spec.load.stale_after_seconds) == (LoadSource.UNKNOWN, 86_400)
    assert (spec.on_pod_lost.action, spec.on_pod_lost.grace_seconds) == (PodLostAction.UNKNOWN, 300)
    fields = ("load.staleAfterSeconds", "routingState", "load.source", "onPodLost.action")
    assert [(line["log_level"], line["name"], line["fields"]) for line in lines] == [("warning", "game", fields)]


def test_a_route_of_another_version_is_logged_once_for_each_generation() -> None:
    body = route(routingState="Dancing")
    body["metadata"] |= {"name": "logged"}
    with captured_logs() as lines:
        for _ in range(3):
            ROUTES.decode(json.dumps(body).encode())
    assert len(lines) == 1


def test_fields_of_a_later_version_are_ignored() -> None:
    body = route(melody="waltz") | {"status": {"links": 1, "tempo": 3}}
    assert ROUTES.decode(json.dumps(body).encode()).status.links == 1


def test_a_route_whose_workload_cannot_be_read_raises_value_error() -> None:
    with pytest.raises(ValueError, match="workloadRef"):
        as_route({"workloadRef": {"kind": ""}})


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        (None, None),
        ({}, None),
        ({"statefulroute.io/loss-confirmed-at": "2026-01-01T00:00:05Z"}, CREATION + timedelta(seconds=5)),
        ({"statefulroute.io/loss-confirmed-at": "now"}, None),
    ],
    ids=["none", "no such annotation", "confirmed", "malformed"],
)
def test_route_has_the_time_at_which_its_losses_were_confirmed(
    annotations: dict[str, str] | None, expected: datetime | None
) -> None:
    body = route()
    body["metadata"]["annotations"] = annotations
    assert ROUTES.decode(json.dumps(body).encode()).loss_confirmed_at == expected


@pytest.mark.parametrize(
    ("resource", "body"),
    [(LINKS, link()), (ROUTES, route()), (PODS, pod("game-1"))],
    ids=["link", "route", "pod"],
)
def test_convert_and_decode_return_the_same_object(resource: ResourceType[Any], body: dict[str, Any]) -> None:
    assert resource.convert(body) == resource.decode(json.dumps(body).encode())


def test_a_page_has_its_resource_version_and_the_token_of_the_next_page() -> None:
    data = json.dumps(page([pod("a"), pod("b")], 30, next_page="more")).encode()
    decoded = PODS.decode_page(data)
    assert ([item.name for item in decoded.items], decoded.resource_version) == (["a", "b"], 30)
    last_page = json.dumps(page([], 30)).encode()
    assert (list_metadata(data).continue_token, list_metadata(last_page).continue_token) == ("more", "")
