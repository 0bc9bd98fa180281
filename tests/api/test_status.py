"""The status subresource and its validation."""

from typing import Any

import pytest

from support.admission_cases import RULES_NOT_CHECKED
from support.api_messages import comparable
from support.kubectl import Kubectl
from support.objects import condition, pod_link, stateful_route

LINK_STATUS = {
    "phase": "Bound",
    "podIndex": 2,
    "podName": "game-2",
    "host": "game-2.game.play.svc",
    "boundTime": "2026-01-01T00:00:00Z",
    "expireTime": "2026-01-01T00:05:00Z",
    "observedGeneration": 2**40,
    "factsHash": "0123456789abcdef",
    "handOver": {"podUid": "7d5d2e0a-9b0e-4c1b-8f0e-5f7d2a6b3c41", "startTime": "2026-01-01T00:00:00Z"},
    "previous": {
        "podIndex": 1,
        "podName": "game-1",
        "reason": "PodLost",
        "cause": "NodeNotReady",
        "time": "2026-01-01T00:00:00Z",
    },
    "conditions": [condition(observedGeneration=1)],
}
POD_STATUS = {
    "index": 0,
    "name": "game-0",
    "serviceState": "Ready",
    "routingState": "Unknown",
    "loadState": 3,
    "waitingTasks": 5,
    "weightedLoadMilli": 2**40,
    "loadStale": True,
    "notServingReason": "Unschedulable",
    "links": 7,
    "slots": 16383,
    "reportTime": "2026-01-01T00:00:00Z",
}
LOST_POD = {
    "index": 2,
    "name": "game-2",
    "cause": "NodeNotReady",
    "links": 3,
    "lostTime": "2026-01-01T00:00:00Z",
}
ROUTE_STATUS = {
    "observedGeneration": 1,
    "routingState": "Ready",
    "workloadState": "Overloaded",
    "workloadLoad": 5,
    "replicas": 1,
    "readyReplicas": 1,
    "routablePods": 1,
    "links": 7,
    "unservedLinks": 3,
    "bestPodIndex": 0,
    "bestPodName": "game-0",
    "pods": [POD_STATUS],
    "omittedPods": {
        "count": 4500,
        "ready": 4499,
        "routable": 4498,
        "available": 4497,
        "freshLoad": 4000,
        "staleLoad": 497,
        "links": 90_000,
    },
    "lostPods": [LOST_POD],
    "conditions": [
        condition(reason="Routable"),
        condition(type="WorkloadFound", reason="WorkloadFound"),
        condition(type="LoadFresh", status="Unknown", reason="Unknown"),
        condition(type="LinksServed", status="False", reason="PodsNotServing"),
    ],
}

BOTH = [
    pytest.param(pod_link(), LINK_STATUS, id="PodLink"),
    pytest.param(stateful_route(), ROUTE_STATUS, id="StatefulRoute"),
]


@pytest.mark.parametrize(("item", "status"), BOTH)
def test_status_in_a_write_of_the_object_is_ignored(
    here: Kubectl, item: dict[str, Any], status: dict[str, Any]
) -> None:
    assert "status" not in here.create({**item, "status": status})
    here.patch(item["kind"], item["metadata"]["name"], {"status": status}).expect_success()
    assert "status" not in here.get_json(item["kind"], item["metadata"]["name"])


@pytest.mark.parametrize(("item", "status"), BOTH)
def test_all_fields_of_a_status_are_stored(here: Kubectl, item: dict[str, Any], status: dict[str, Any]) -> None:
    before = here.create(item)
    here.patch(item["kind"], item["metadata"]["name"], {"status": status}, "--subresource=status").expect_success()
    after = here.get_json(item["kind"], item["metadata"]["name"])
    assert after["status"] == status
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_status_of_a_later_version_is_accepted(here: Kubectl) -> None:
    here.create(pod_link())
    link_status = LINK_STATUS | {
        "phase": "Later",
        "previous": {"reason": "Later", "time": "2026-01-01T00:00:00Z"},
        "conditions": [condition(type="Later", reason="Later")],
    }
    here.create(stateful_route())
    route_status = ROUTE_STATUS | {
        "routingState": "Later",
        "workloadState": "Later",
        "pods": [POD_STATUS | {"serviceState": "Later", "routingState": "Later", "notServingReason": "Later"}],
        "conditions": [condition(type="Later", reason="Later")],
    }
    for kind, name, status in (("podlink", "game.alice", link_status), ("sr", "game", route_status)):
        here.patch(kind, name, {"status": status | {"laterField": "x"}}, "--subresource=status").expect_success()
        assert here.get_json(kind, name)["status"] == status


def test_spec_in_a_write_of_the_status_is_ignored(here: Kubectl) -> None:
    here.create(pod_link(podIndex=1))
    change = {"spec": {"podIndex": 2, "uid": "bob"}, "status": {"phase": "Pending"}}
    here.patch("podlink", "game.alice", change, "--subresource=status").expect_success()
    after = here.get_json("podlink", "game.alice")
    assert (after["spec"], after["status"]) == (pod_link(podIndex=1)["spec"], {"phase": "Pending"})


def test_number_of_links_of_a_pod_defaults_to_0(here: Kubectl) -> None:
    here.create(stateful_route())
    pod = {"index": 0, "name": "game-0", "serviceState": "Pending", "routingState": "Unknown"}
    here.patch("sr", "game", {"status": {"pods": [pod]}}, "--subresource=status").expect_success()
    assert here.get_json("sr", "game")["status"]["pods"] == [{**pod, "links": 0}]


def test_status_accepts_pods_without_an_index(here: Kubectl) -> None:
    here.create(stateful_route())
    state = {"serviceState": "Ready", "routingState": "Ready", "links": 1}
    pods = [{"name": name, **state} for name in ("game-5d8f-x2", "game-5d8f-b7")]
    change = {"status": {"pods": pods, "bestPodName": "game-5d8f-b7"}}
    here.patch("sr", "game", change, "--subresource=status").expect_success()
    assert here.get_json("sr", "game")["status"] == change["status"]


INVALID_CONDITIONS = {
    "two conditions of one type": (
        [condition(), condition(status="False")],
        ('status.conditions[1]: Duplicate value: {"type":"Ready"}',),
    ),
    "condition type that is no CamelCase word": (
        [condition(type="is-happy")],
        (
            (
                'status.conditions[0].type: Invalid value: "is-happy": conditions[0].type in body should match '
                "'^[A-Z][A-Za-z0-9]*$'"
            ),
        ),
    ),
    "condition type that is too long": (
        [condition(type="T" * 129)],
        ("status.conditions[0].type: Too long: may not be more than 128 bytes", RULES_NOT_CHECKED),
    ),
    "invalid condition status": (
        [condition(status="Maybe")],
        (
            'status.conditions[0].status: Unsupported value: "Maybe": supported values: "True", "False", "Unknown"',
            RULES_NOT_CHECKED,
        ),
    ),
    "reason that is a sentence": (
        [condition(reason="It is bound")],
        (
            (
                'status.conditions[0].reason: Invalid value: "It is bound": conditions[0].reason in body should match '
                "'^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$'"
            ),
        ),
    ),
    "condition without a transition time": (
        [{field: text for field, text in condition().items() if field != "lastTransitionTime"}],
        ("status.conditions[0].lastTransitionTime: Required value", RULES_NOT_CHECKED),
    ),
    "reason that is too long": (
        [condition(reason="R" * 1025)],
        ("status.conditions[0].reason: Too long: may not be more than 1024 bytes", RULES_NOT_CHECKED),
    ),
}


@pytest.mark.parametrize("item", [pod_link(), stateful_route()], ids=["PodLink", "StatefulRoute"])
@pytest.mark.parametrize(("conditions", "messages"), INVALID_CONDITIONS.values(), ids=INVALID_CONDITIONS)
def test_invalid_conditions_are_rejected_with_messages(
    here: Kubectl, item: dict[str, Any], conditions: list[dict[str, Any]], messages: tuple[str, ...]
) -> None:
    here.create(item)
    change = {"status": {"conditions": conditions}}
    response = here.patch(item["kind"], item["metadata"]["name"], change, "--subresource=status")
    assert sorted(response.errors) == sorted(comparable(*messages))


INVALID_STATUSES = {
    "a phase that is no CamelCase word": (
        pod_link(),
        {"phase": "is released"},
        ("status.phase: Invalid value: \"is released\": phase in body should match '^[A-Z][A-Za-z0-9]*$'",),
    ),
    "a previous binding without a reason": (
        pod_link(),
        {"previous": {"podIndex": 1, "time": "2026-01-01T00:00:00Z"}},
        ("status.previous.reason: Required value", RULES_NOT_CHECKED),
    ),
    "a hand-over of an unknown pod": (
        pod_link(),
        {"handOver": {"startTime": "2026-01-01T00:00:00Z"}},
        ("status.handOver.podUid: Required value", RULES_NOT_CHECKED),
    ),
    "an empty workload state": (
        stateful_route(),
        {"workloadState": ""},
        ("status.workloadState: Invalid value: \"\": workloadState in body should match '^[A-Z][A-Za-z0-9]*$'",),
    ),
    "a pod without a name": (
        stateful_route(),
        {"pods": [{field: value for field, value in POD_STATUS.items() if field != "name"}]},
        ("status.pods[0].name: Required value", RULES_NOT_CHECKED),
    ),
}


@pytest.mark.parametrize(("item", "status", "messages"), INVALID_STATUSES.values(), ids=INVALID_STATUSES)
def test_invalid_status_is_rejected_with_messages(
    here: Kubectl, item: dict[str, Any], status: dict[str, Any], messages: tuple[str, ...]
) -> None:
    here.create(item)
    response = here.patch(item["kind"], item["metadata"]["name"], {"status": status}, "--subresource=status")
    assert sorted(response.errors) == sorted(comparable(*messages))


ALL_INVALID = {
    "PodLink": (
        pod_link(),
        {
            "podIndex": -1,
            "boundTime": "now",
            "expireTime": "now",
            "observedGeneration": -1,
            "previous": {"podIndex": -1, "reason": "pod not found", "cause": "was lost", "time": "now"},
            "conditions": [
                condition(lastTransitionTime="now", observedGeneration=-1, reason="R" * 1025, message="m" * 32769)
            ],
        },
        {
            "status.podIndex",
            "status.boundTime",
            "status.expireTime",
            "status.observedGeneration",
            "status.previous.podIndex",
            "status.previous.reason",
            "status.previous.cause",
            "status.previous.time",
            "status.conditions[0].lastTransitionTime",
            "status.conditions[0].observedGeneration",
            "status.conditions[0].reason",
            "status.conditions[0].message",
        },
    ),
    "StatefulRoute": (
        stateful_route(),
        {
            "observedGeneration": -1,
            "routingState": "it is open",
            "replicas": -1,
            "desiredReplicas": -1,
            "readyReplicas": -1,
            "routablePods": -1,
            "links": -1,
            "bestPodIndex": -1,
            "pods": [
                {
                    **POD_STATUS,
                    "index": -1,
                    "serviceState": "it is well",
                    "routingState": "it is open",
                    "links": -1,
                    "reportTime": "now",
                    "closing": {"reason": "it is well", "since": "now", "deadline": "now"},
                }
            ],
            "lostPods": [{**LOST_POD, "index": -1, "links": -1, "lostTime": "now"}],
            "conditions": [condition(lastTransitionTime="now", observedGeneration=-1, reason="", message="m" * 32769)],
        },
        {
            "status.observedGeneration",
            "status.routingState",
            "status.replicas",
            ".status.replicas",  # of the scale
            "status.desiredReplicas",
            "status.readyReplicas",
            "status.routablePods",
            "status.links",
            "status.bestPodIndex",
            "status.pods[0].index",
            "status.pods[0].serviceState",
            "status.pods[0].routingState",
            "status.pods[0].links",
            "status.pods[0].reportTime",
            "status.pods[0].closing.reason",
            "status.pods[0].closing.since",
            "status.pods[0].closing.deadline",
            "status.lostPods[0].index",
            "status.lostPods[0].links",
            "status.lostPods[0].lostTime",
            "status.conditions[0].lastTransitionTime",
            "status.conditions[0].observedGeneration",
            "status.conditions[0].reason",
            "status.conditions[0].message",
        },
    ),
}


@pytest.mark.parametrize(("item", "status", "paths"), ALL_INVALID.values(), ids=ALL_INVALID)
def test_errors_name_each_invalid_field_of_a_status(
    here: Kubectl, item: dict[str, Any], status: dict[str, Any], paths: set[str]
) -> None:
    here.create(item)
    response = here.patch(item["kind"], item["metadata"]["name"], {"status": status}, "--subresource=status")
    assert {error.split(": ")[0] for error in response.errors} == paths | {"<nil>"}
