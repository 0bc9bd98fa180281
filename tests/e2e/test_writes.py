"""The cost of a binding: the API server counts the requests, and a watch records every version of every link."""

import random
from collections import Counter

import pytest
from pykube.exceptions import HTTPError
from pykube.objects import Deployment, Pod, StatefulSet

from support.link_recorder import LinkRecorder
from support.operator_process import OperatorProcess
from support.service import NOT_READY, Service
from support.waiting import eventually, stays

pytestmark = pytest.mark.usefixtures("operator", "quiet_cluster")

PINNED = ["created", "Bound"]
CHOSEN = ["created", "chosen", "Bound"]
DELETED = [*PINNED, "deleted"]


def test_link_that_names_its_pod_costs_one_write(game: Service, recorder: LinkRecorder) -> None:
    game.await_bound(game.link("first", podIndex=0))
    count = game.client.count_requests()
    names = game.link_all((f"user-{number}" for number in range(50)), podIndex=1)
    game.await_all_bound(51)
    assert recorder.transitions_of(names) == dict.fromkeys(names, PINNED)
    assert count.total("PATCH", "podlinks", "status", 200) == 50
    assert podlink_patches(count.patches()) == {"podlinks/status": 50}


def test_link_that_leaves_the_choice_costs_two_writes(game: Service, recorder: LinkRecorder) -> None:
    count = game.client.count_requests()
    names = game.link_all(f"user-{number}" for number in range(50))
    game.await_all_bound(50)
    assert recorder.transitions_of(names) == dict.fromkeys(names, CHOSEN)
    assert count.total("PATCH", "podlinks", "", 200) == 50
    assert count.total("PATCH", "podlinks", "status", 200) == 50
    assert podlink_patches(count.patches()) == {"podlinks": 50, "podlinks/status": 50}


def test_waiting_link_costs_one_write_until_it_is_bound(game: Service, recorder: LinkRecorder) -> None:
    with game.pod_quota(3):
        game.scale(4)
        game.await_status(replicas=4)
        names = game.link_all((f"user-{number}" for number in range(20)), podIndex=3)
        for name in names:
            game.await_link(name, "Pending", "PodNotFound")
        count = game.client.count_requests()
    game.await_all_bound(20)
    transitions = recorder.all_transitions()
    # The pod is seen once before it is Ready, unless it becomes Ready in the same moment.
    assert all(
        history in (["created", "Pending", "Bound"], ["created", "Pending", "Pending", "Bound"])
        for history in transitions.values()
    )
    assert podlink_patches(count.patches()) == {"podlinks/status": sum(map(len, transitions.values())) - 40}


@pytest.mark.parametrize(("hand_over", "writes"), [(None, 1), ({"timeoutSeconds": 1}, 2)])
def test_move_costs_two_writes_and_a_hand_over_four(
    hand_over: dict[str, int] | None, writes: int, service: Service
) -> None:
    service.start(handOver=hand_over)
    service.link_all((f"user-{number}" for number in range(50)), podIndex=1)
    service.await_all_bound(50)
    count = service.client.count_requests()
    service.edit_route(pods=[{"index": 1, "routingState": "Shutdown"}])
    eventually(lambda: 1 not in service.links_by_pod(), "the users are on other pods")
    service.await_all_bound(50)
    assert podlink_patches(count.patches()) == {"podlinks": 50 * writes, "podlinks/status": 50 * writes}


def test_operator_adds_nothing_to_the_metadata_of_a_link(game: Service) -> None:
    for name in (game.link("alice", podIndex=1), game.link("bob")):
        game.await_bound(name)
        metadata = game.get(name)["metadata"]
        assert not metadata.keys() & {"finalizers", "annotations", "labels", "ownerReferences"}


def test_operator_removes_the_managed_fields_of_a_link_whose_pod_it_chooses(game: Service) -> None:
    named, chosen = game.link("alice", podIndex=1), game.link("bob")
    for name in (named, chosen):
        game.await_bound(name)
    assert "managedFields" not in game.get(chosen)["metadata"]
    assert "managedFields" in game.get(named)["metadata"], "no write of the spec was due"


def test_deleted_link_is_gone_at_once_and_costs_no_write(game: Service, recorder: LinkRecorder) -> None:
    names = game.link_all((f"user-{number}" for number in range(20)), podIndex=1)
    game.await_all_bound(20)
    count = game.client.count_requests()
    game.kubectl.run("delete", "podlinks", "--all").expect_success()
    game.await_status(links=0)
    assert podlink_patches(count.patches()) == {}
    assert recorder.transitions_of(names) == dict.fromkeys(names, DELETED)


def test_restart_of_a_pod_rewrites_no_link(game: Service, recorder: LinkRecorder) -> None:
    names = game.link_all(f"user-{number}" for number in range(30))
    game.await_all_bound(30)
    count = game.client.count_requests()
    for _ in range(2):
        replace_pod(game, 1)
    assert podlink_patches(count.patches()) == {}
    assert recorder.transitions_of(names) == dict.fromkeys(names, CHOSEN)


def test_rolling_restart_rewrites_no_link(game: Service, recorder: LinkRecorder) -> None:
    names = game.link_all(f"user-{number}" for number in range(30))
    game.await_all_bound(30)
    before = game.pod_ids()
    count = game.client.count_requests()
    game.kubectl.run("rollout", "restart", "statefulset/game").expect_success()
    game.kubectl.run("rollout", "status", "statefulset/game", "--timeout=50s").expect_success()
    assert not before & game.pod_ids()
    game.await_pods(3)
    assert podlink_patches(count.patches()) == {}
    assert recorder.transitions_of(names) == dict.fromkeys(names, CHOSEN)


def test_one_of_many_clients_that_create_the_same_link_wins(game: Service, recorder: LinkRecorder) -> None:
    uids = [f"user-{number}" for number in range(100)]
    attempts = random.sample(uids * 5, k=500)
    count = game.client.count_requests()
    codes = Counter(game.client.in_parallel(lambda uid: create(game, uid), attempts))
    assert codes == {201: 100, 409: 400}
    assert (count.total("POST", "podlinks", code=201), count.total("POST", "podlinks", code=409)) == (100, 400)
    game.await_all_bound(100)
    assert {link["spec"]["uid"] for link in game.links()} == set(uids)
    assert recorder.all_transitions() == {f"game.{uid}": CHOSEN for uid in uids}
    assert sorted(game.links_by_pod().values()) == [33, 33, 34]


def test_restart_of_the_operator_writes_nothing(
    game: Service, operator: OperatorProcess, recorder: LinkRecorder
) -> None:
    chat = Service(game.kubectl, game.client, "chat")
    chat.create_workload("Deployment", 1)
    chat.create_route(workloadRef={"kind": "Deployment"}, workloadPeriodSeconds=1, statePeriodSeconds=1)
    chat.await_pods(1)
    chat.report(chat.route_status()["bestPodName"], 3, 2)
    nowhere = Service(game.kubectl, game.client, "nowhere")
    nowhere.create_route()
    game.link_all(f"user-{number}" for number in range(40))
    game.link_all((f"room-{number}" for number in range(40)), podIndex=1, ttlSeconds=3600)
    chat.link_all(f"user-{number}" for number in range(20))
    game.await_all_bound(100)
    game.edit_route(workloadPeriodSeconds=1, statePeriodSeconds=1)
    for index in range(3):
        game.report(index, 4, index)
        game.await_annotations(Pod, f"game-{index}", weighted_load=("1.2", "1.9", "2.6")[index])
    game.annotate(2, NOT_READY)
    game.await_pod(2, serviceState="NotReady")
    game.await_annotations(StatefulSet, "game", workload_state="Normal", workload_load="1.55")
    chat.await_annotations(Deployment, "chat", workload_state="Normal", workload_load="2.3")
    waiting = [
        (nowhere.link("alice"), "WorkloadNotFound"),
        (game.link("late", podIndex=2), "PodNotRoutable"),
        (Service(game.kubectl, game.client, "absent").link("alice"), "RouteNotFound"),
    ]
    for name, reason in waiting:
        game.await_link(name, "Pending", reason)
    game.await_status(links=81)
    chat.await_status(links=20)
    before, noted = recorder.all_transitions(), versions(game)
    count = game.client.count_requests()
    operator.restart()
    stays(lambda: count.patches() == {}, "nothing is written after a restart", poll_seconds=3.0)
    assert recorder.all_transitions() == before
    assert versions(game) == noted
    assert [pod.get("loadState") for pod in game.route_status()["pods"]] == [4, 4, 4]
    game.await_bound(game.link("afterwards", podIndex=0))


def test_idle_operator_writes_nothing(service: Service) -> None:
    service.start(statePeriodSeconds=1)
    service.link_all(f"user-{number}" for number in range(10))
    service.await_all_bound(10)
    service.await_status(links=10)
    before, count = service.route()["metadata"]["resourceVersion"], service.client.count_requests()
    stays(lambda: count.patches() == {}, "nothing is written over several periods", seconds=4.0, poll_seconds=4.0)
    assert service.route()["metadata"]["resourceVersion"] == before


def versions(game: Service) -> dict[str, str]:
    """Returns the resource versions of the pods and workloads of a namespace."""
    kinds = (Pod, StatefulSet, Deployment)
    objects = [item for kind in kinds for item in game.client.all(kind, game.namespace)]
    return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in objects}


def podlink_patches(patches: dict[str, int]) -> dict[str, int]:
    """Returns the patches of links."""
    return {resource: number for resource, number in patches.items() if resource.startswith("podlinks")}


def create(game: Service, uid: str) -> int:
    """Tries to create the link of a user; returns the status code of the API server."""
    try:
        game.link(uid)
    except HTTPError as refusal:
        assert "already exists" in str(refusal)  # noqa: PT017 - any other refusal is a failure
        return int(refusal.code)
    return 201


def replace_pod(game: Service, index: int) -> None:
    """Deletes a pod, and waits until the operator has observed its absence and its successor."""
    before = game.pod_ids()
    game.kubectl.run("delete", "pod", f"game-{index}", "--wait=false").expect_success()
    eventually(lambda: len(game.pod_ids() - before) == 1, "another pod is there")
    game.await_pods(3)
    game.await_pod(index, serviceState="Ready")
