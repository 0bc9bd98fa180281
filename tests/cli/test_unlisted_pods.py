"""Commands for a route whose status does not list all pods."""

from typing import Any

import pytest

from statefulroute.api.annotations import WEIGHTED_LOAD
from support.command import Command
from support.example_objects import pod_status
from support.independent_client import IndependentClient, Pod, PodLink, StatefulRoute
from support.objects import condition, pod_link, stateful_route

LISTED = [pod_status("big-0", 3, 600, index=0), pod_status("big-1", 9, 600, index=1, routingState="DenyNewCall")]
OMITTED = {"count": 4998, "ready": 4997, "routable": 4997, "available": 4990, "links": 12_000}
POD_SPEC = {
    "schedulerName": "none",
    "terminationGracePeriodSeconds": 0,
    "containers": [{"name": "room", "image": "room.invalid/room"}],
}
BOUND: dict[str, Any] = {"phase": "Bound", "podIndex": 7, "podName": "big-7", "observedGeneration": 1}


@pytest.fixture(scope="module", autouse=True)
def _big_route(independent_client: IndependentClient, namespace: str) -> None:
    """A route with two listed pods, and a user on a pod that is not listed."""
    client = independent_client
    client.create(stateful_route("big"), namespace)
    conditions = [
        condition(reason="Routable"),
        condition(type="LinksServed", status="False", reason="PodsNotServing", message="9 of 12,012 links: big-4321"),
    ]
    status = {
        "observedGeneration": 1,
        "routingState": "Ready",
        "links": 12_012,
        "pods": LISTED,
        "omittedPods": OMITTED,
        "conditions": conditions,
    }
    client.patch_status(StatefulRoute, "big", namespace, status)
    client.create(pod_link("big.zoe", routeName="big", uid="zoe", podIndex=7), namespace)
    client.patch_status(PodLink, "big.zoe", namespace, {**BOUND, "conditions": [condition(reason="Bound")]})
    # A controller would delete the pod; the name of the owner is that of the workload.
    owner = client.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "big"}, "spec": {"clusterIP": "None"}}, namespace
    )
    reference = {"apiVersion": "v1", "kind": "Service", "name": "big", "controller": True}
    metadata = {
        "name": "big-7",
        "annotations": {WEIGHTED_LOAD: "3"},
        "ownerReferences": [{**reference, "uid": owner["metadata"]["uid"]}],
    }
    client.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": POD_SPEC}, namespace)
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    client.patch_status(Pod, "big-7", namespace, {**ready, "podIP": "10.9.1.7", "podIPs": [{"ip": "10.9.1.7"}]})


def test_pods_prints_how_many_are_not_listed(statefulroute: Command) -> None:
    result = statefulroute.run_quickly("pods", "big", "--no-headers").expect_success()
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["big-0", "big-1"]
    assert result.stderr == (
        "note: the status lists 2 pods, and 4,998 more exist: 4,997 of these are ready, 4,990 accept new users, "
        "and they have 12,000 links\n"
    )


def test_whereis_finds_a_user_of_an_unlisted_pod(statefulroute: Command) -> None:
    (row,) = statefulroute.run_quickly("whereis", "zoe", "--no-headers").expect_success().stdout.splitlines()
    assert row.split()[:5] == ["big", "big-7", "Bound", "Yes", "10.9.1.7"]


def test_a_binding_to_an_unlisted_pod_is_not_reported_as_missing(statefulroute: Command) -> None:
    result = statefulroute.run_quickly("link", "big", "yan", "4000", "--dry-run=server").expect_success()
    assert "has no" not in result.stderr


def test_drain_of_an_unlisted_pod_waits_until_it_is_listed(statefulroute: Command) -> None:
    result = statefulroute.run_quickly("drain", "big", "big-4000", "--wait", "--timeout", "1")
    assert result.code != 0
    assert "no user remains" not in result.stdout
    statefulroute.run_quickly("undrain", "big", "big-4000").expect_success()


def test_drain_of_a_pod_that_is_never_listed_ends_when_it_has_no_link(
    statefulroute: Command, independent_client: IndependentClient, namespace: str
) -> None:
    status = independent_client.get(StatefulRoute, "big", namespace)["status"]
    independent_client.patch_status(StatefulRoute, "big", namespace, {**status, "observedGeneration": 99})
    try:
        result = statefulroute.run_quickly("drain", "big", "big-7", "--wait", "--timeout", "1")
        assert result.code != 0
        assert "big-7: 1 user remains\n" in result.stdout
        result = statefulroute.run_quickly("drain", "big", "big-4000", "--wait", "--timeout", "5").expect_success()
        assert result.stdout.splitlines()[-1] == "big-4000: no user remains"
    finally:
        for pod in ("big-7", "big-4000"):
            statefulroute.run_quickly("undrain", "big", pod).expect_success()
        independent_client.patch_status(StatefulRoute, "big", namespace, status)


def test_whereis_does_not_take_a_pod_of_another_workload_for_an_unlisted_one(
    statefulroute: Command, independent_client: IndependentClient, namespace: str
) -> None:
    client = independent_client
    web = stateful_route("web", workloadRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"})
    client.create(web, namespace)
    client.patch_status(StatefulRoute, "web", namespace, {"observedGeneration": 1, "omittedPods": OMITTED})
    client.create(pod_link("web.yan", routeName="web", uid="yan", podName="big-7"), namespace)
    (row,) = statefulroute.run_quickly("whereis", "yan", "--no-headers").expect_success().stdout.splitlines()
    assert (row.split()[:2], "PodNotFound" in row, "10.9.1.7" in row) == (["web", "big-7"], True, False)
    client.delete(PodLink, "web.yan", namespace)
    client.delete(StatefulRoute, "web", namespace)


def test_check_reports_unserved_links_of_unlisted_pods_by_the_condition(statefulroute: Command) -> None:
    output = statefulroute.run_quickly("check").stdout
    assert "big is not LinksServed (PodsNotServing): 9 of 12,012 links: big-4321" in output
    assert "PodNotFound" not in output


def test_release_removes_the_annotations_of_unlisted_pods(
    statefulroute: Command, independent_client: IndependentClient, namespace: str
) -> None:
    other_owner = {"name": "abcde-fghij", "annotations": {WEIGHTED_LOAD: "3", "example.com/own": "1"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": other_owner, "spec": POD_SPEC}
    independent_client.create(pod, namespace)
    result = statefulroute.run_quickly("release").expect_success()
    assert "2 pods" in result.stdout
    assert WEIGHTED_LOAD not in independent_client.get(Pod, "big-7", namespace)["metadata"].get("annotations", {})
    annotations = independent_client.get(Pod, "abcde-fghij", namespace)["metadata"]["annotations"]
    assert annotations == {"example.com/own": "1"}
