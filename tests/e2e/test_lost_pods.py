"""The links of a lost pod are handled by `onPodLost` of their route; other links are untouched."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

import pytest
from pykube.objects import Pod

from localcluster import LocalCluster
from support.independent_client import PodLink
from support.link_recorder import LinkRecorder
from support.service import DENY_NEW_CALLS, NO_ROUTING_STATE, SHUT_DOWN, Service, condition_of
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator", "quiet_cluster")

#: The index of the lost pod, the last of three.
LAST = 2

Cause = Callable[[Service, LocalCluster], AbstractContextManager[None]]


@contextmanager
def is_beyond_the_replicas(game: Service, _: LocalCluster) -> Iterator[None]:
    game.scale(LAST)
    yield
    game.scale(LAST + 1)


@contextmanager
def is_annotated_shutdown(game: Service, _: LocalCluster | None = None) -> Iterator[None]:
    game.annotate(LAST, SHUT_DOWN)
    yield
    game.annotate(LAST, NO_ROUTING_STATE)


@contextmanager
def is_shut_down_by_the_route(game: Service, _: LocalCluster) -> Iterator[None]:
    game.edit_route(pods=[{"index": LAST, "routingState": "Shutdown"}])
    yield
    game.edit_route(pods=None)


@contextmanager
def hangs_while_terminating(game: Service, _: LocalCluster | None = None) -> Iterator[None]:
    """Deletes the pod and holds it by a finalizer while it is not Ready, so that nothing replaces it."""
    pod = f"game-{LAST}"
    game.client.patch(Pod, pod, game.namespace, {"metadata": {"finalizers": ["example.com/hold"]}})
    game.client.delete(Pod, pod, game.namespace)
    game.client.patch_status(Pod, pod, game.namespace, {"conditions": [{"type": "Ready", "status": "False"}]})
    yield
    game.client.patch(Pod, pod, game.namespace, {"metadata": {"finalizers": None}})


@contextmanager
def is_not_recreated(game: Service, _: LocalCluster) -> Iterator[None]:
    """Deletes the pod in a namespace whose quota allows no other."""
    with game.pod_quota(LAST):
        game.client.delete(Pod, f"game-{LAST}", game.namespace)
        yield


@contextmanager
def is_on_a_node_that_is_deleted(game: Service, cluster: LocalCluster) -> Iterator[None]:
    node = dedicated_node(game, cluster)
    current = game.kubectl.get_json("node", node)
    manifest = {key: current[key] for key in ("apiVersion", "kind", "status")}
    metadata = {key: current["metadata"][key] for key in ("name", "labels", "annotations")}
    game.kubectl.run("delete", "node", node).expect_success()
    yield
    game.kubectl.create({**manifest, "metadata": metadata})
    game.kubectl.run("wait", "--for=condition=Ready", "--timeout=50s", f"node/{node}").expect_success()


@contextmanager
def is_on_a_node_that_is_not_ready(game: Service, cluster: LocalCluster) -> Iterator[None]:
    """Makes the node not ready while kwok is frozen, which would restore the node at once."""
    node = dedicated_node(game, cluster)
    kwok = cluster.part("kwok")
    kwok.kill(signal.SIGSTOP)
    try:
        change = {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}}
        options = ("--type=strategic", f"--patch={json.dumps(change)}", "--subresource=status")
        game.kubectl.run("patch", "node", node, *options).expect_success()
        yield
    finally:
        kwok.kill(signal.SIGCONT)
    game.kubectl.run("wait", "--for=condition=Ready", "--timeout=50s", f"node/{node}").expect_success()


@contextmanager
def is_evicted(game: Service, _: LocalCluster) -> Iterator[None]:
    """Evicts the pod, as `kubectl drain` does, in a namespace whose quota allows no other."""
    pod = f"game-{LAST}"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{game.namespace}/pods/{pod}/eviction"
    with game.pod_quota(LAST):
        game.kubectl.run("create", "--raw", path, "--filename", "-", stdin=eviction).expect_success()
        yield


@contextmanager
def has_failed(game: Service, _: LocalCluster) -> Iterator[None]:
    """Makes the pod fail in a namespace whose quota allows no other; its controller deletes it."""
    pod = f"game-{LAST}"
    with game.pod_quota(LAST):
        game.client.patch_status(Pod, pod, game.namespace, {"phase": "Failed"})
        yield


#: The causes in the status, and whether the pod is lost at once.
CAUSES: dict[Cause, tuple[str, bool]] = {
    is_beyond_the_replicas: ("ScaledDown", True),
    is_annotated_shutdown: ("Shutdown", True),
    is_shut_down_by_the_route: ("Shutdown", True),
    hangs_while_terminating: ("PodDeleted", False),
    is_not_recreated: ("PodDeleted", False),
    is_evicted: ("PodEvicted", False),
    has_failed: ("PodFailed", False),
    is_on_a_node_that_is_deleted: ("NodeGone", False),
    is_on_a_node_that_is_not_ready: ("NodeNotReady", False),
}


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_links_move_when_their_pod(
    cause: Cause, shared_service: Service, cluster: LocalCluster, history: LinkRecorder
) -> None:
    reason, is_lost_at_once = CAUSES[cause]
    grace = 3600 if is_lost_at_once else 1
    shared_service.set_on_pod_lost("Rebind", grace)
    uid = cause.__name__.replace("_", "-")
    neighbours = [shared_service.link(f"{uid}-{index}", podIndex=index) for index in range(LAST)]
    name = shared_service.link(uid, podIndex=LAST)
    for link in (*neighbours, name):
        shared_service.await_bound(link)
    bound_time = shared_service.get(name)["status"]["boundTime"]
    with cause(shared_service, cluster):
        eventually(lambda: shared_service.get(name)["spec"]["podIndex"] != LAST, "the link is moved")
        status = shared_service.await_bound(name)
        shared_service.await_events(
            name,
            ("Normal", "Bound", f"bound to pod 'game-{LAST}'"),
            ("Warning", "PodLost", f"moved from pod 'game-{LAST}' to pod '{status['podName']}': {reason}"),
        )
    shared_service.await_pods(LAST + 1)
    previous = {key: value for key, value in status["previous"].items() if key != "time"}
    assert previous == {"podIndex": LAST, "podName": f"game-{LAST}", "reason": "PodLost", "cause": reason}
    assert at(bound_time) <= at(status["previous"]["time"]) == at(status["boundTime"])
    assert history.pods(name) == [LAST, status["podIndex"]]
    assert history.transitions_of(neighbours) == {name: ["created", "Bound"] for name in neighbours}


def test_keep_marks_links_of_lost_pods_until_the_pod_is_back(shared_service: Service, history: LinkRecorder) -> None:
    shared_service.set_on_pod_lost("Keep")
    name = shared_service.link("kept", podIndex=LAST)
    shared_service.await_bound(name)
    with is_annotated_shutdown(shared_service):
        status = shared_service.await_link(name, "Lost", "PodLost")
        condition = condition_of(shared_service.get(name))
        message = f"pod 'game-{LAST}' of StatefulRoute 'game' is shut down (Shutdown)"
        assert (condition["status"], condition["message"]) == ("False", message)
        assert status["podIndex"] == LAST
        assert "host" not in status
        shared_service.await_events(
            name, ("Normal", "Bound", f"bound to pod 'game-{LAST}'"), ("Warning", "PodLost", message)
        )
    status = shared_service.await_bound(name)
    assert "previous" not in status
    assert history.pods(name) == [LAST]
    assert history.transitions(name) == ["created", "Bound", "Lost", "Bound"]


def test_release_deletes_links_of_lost_pods(shared_service: Service, history: LinkRecorder) -> None:
    shared_service.set_on_pod_lost("Release")
    names = [shared_service.link(f"released-{index}", podIndex=index) for index in range(LAST + 1)]
    for link in names:
        shared_service.await_bound(link)
    with is_annotated_shutdown(shared_service):
        shared_service.await_deleted(names[LAST])
        shared_service.await_events(
            names[LAST],
            ("Normal", "Bound", f"bound to pod 'game-{LAST}'"),
            ("Warning", "PodLost", f"pod 'game-{LAST}' is lost: Shutdown"),
        )
    assert history.transitions_of(names[:LAST]) == {name: ["created", "Bound"] for name in names[:LAST]}
    assert history.transitions(names[LAST]) == ["created", "Bound", "deleted"]


def test_move_costs_two_writes_and_other_links_none(shared_service: Service, history: LinkRecorder) -> None:
    shared_service.set_on_pod_lost("Rebind")
    shared_service.client.delete_all(PodLink, shared_service.namespace)
    moved = [shared_service.link(f"user-{number}", podIndex=LAST) for number in range(20)]
    others = [shared_service.link(f"other-{number}", podIndex=number % LAST) for number in range(20)]
    shared_service.await_all_bound(40)
    count = shared_service.client.count_requests()
    with is_annotated_shutdown(shared_service):
        eventually(lambda: shared_service.links_by_pod() == {0: 20, 1: 20}, "all links are moved evenly")
        shared_service.await_all_bound(40)
    patches = count.patches()
    assert (patches["podlinks"], patches["podlinks/status"]) == (20, 20)
    every = history.all_versions()
    for versions in (every[name] for name in moved):
        target = versions[-1].pod
        assert [(version.pod, version.status_pod) for version in versions] == [
            (LAST, None),
            (LAST, LAST),
            (target, LAST),
            (target, target),
        ]
    assert history.transitions_of(others) == {name: ["created", "Bound"] for name in others}


def test_pod_that_is_back_within_its_grace_period_keeps_its_links(
    shared_service: Service, history: LinkRecorder
) -> None:
    shared_service.set_on_pod_lost("Rebind")
    name = shared_service.link("patient", podIndex=LAST)
    shared_service.await_bound(name)
    with hangs_while_terminating(shared_service):
        shared_service.await_pod(LAST, serviceState="Terminating")
        shared_service.await_bound(shared_service.link("meanwhile", podIndex=0))
    shared_service.await_pods(LAST + 1)
    shared_service.await_bound(shared_service.link("afterwards", podIndex=LAST))
    assert history.transitions(name) == ["created", "Bound"]


def test_shorter_grace_period_applies_to_a_pod_that_is_already_absent(
    shared_service: Service, history: LinkRecorder
) -> None:
    shared_service.set_on_pod_lost("Rebind")
    name = shared_service.link("edited", podIndex=LAST)
    shared_service.await_bound(name)
    with hangs_while_terminating(shared_service):
        shared_service.await_pod(LAST, serviceState="Terminating")
        assert history.pods(name) == [LAST]
        shared_service.set_on_pod_lost("Rebind", 1)
        eventually(lambda: shared_service.get(name)["spec"]["podIndex"] != LAST, "the link is moved")
    shared_service.await_pods(LAST + 1)


def test_edited_action_applies_to_links_that_are_already_lost(shared_service: Service) -> None:
    shared_service.set_on_pod_lost("Keep")
    name = shared_service.link("reprieved", podIndex=LAST)
    shared_service.await_bound(name)
    with is_annotated_shutdown(shared_service):
        shared_service.await_link(name, "Lost", "PodLost")
        shared_service.set_on_pod_lost("Rebind")
        status = shared_service.await_bound(name)
    assert status["podIndex"] != LAST
    assert status["previous"]["podIndex"] == LAST


def test_links_of_a_lost_pod_wait_while_no_pod_takes_new_users(shared_service: Service, history: LinkRecorder) -> None:
    shared_service.set_on_pod_lost("Rebind")
    for index in range(LAST):
        shared_service.annotate(index, DENY_NEW_CALLS)
    shared_service.await_status(bestPodIndex=LAST)
    name = shared_service.link("stranded", podIndex=LAST)
    shared_service.await_bound(name)
    with is_annotated_shutdown(shared_service):
        shared_service.await_link(name, "Lost", "PodLost")
        message = f"pod 'game-{LAST}' of StatefulRoute 'game' is shut down (Shutdown), and no other takes new users"
        assert condition_of(shared_service.get(name))["message"] == message
        newcomer = shared_service.link("newcomer")
        shared_service.await_link(newcomer, "Pending", "NoAvailablePod")
        shared_service.annotate(0, NO_ROUTING_STATE)
        assert shared_service.await_bound(name)["podIndex"] == shared_service.await_bound(newcomer)["podIndex"] == 0
        assert shared_service.get(name)["status"]["previous"]["reason"] == "PodLost"
        shared_service.annotate(1, NO_ROUTING_STATE)
    assert history.pods(name) == [LAST, 0]


def test_service_that_is_scaled_to_0_and_back_keeps_its_links(shared_service: Service, history: LinkRecorder) -> None:
    shared_service.set_on_pod_lost("Rebind")
    names = {f"game.sleeper-{number}": number % 3 for number in range(9)}
    for name, index in names.items():
        shared_service.link(name.removeprefix("game."), podIndex=index)
    for name in names:
        shared_service.await_bound(name)
    shared_service.scale(0)
    for name in names:
        shared_service.await_link(name, "Lost", "PodLost")
    shared_service.scale(LAST + 1)
    shared_service.await_pods(LAST + 1)
    for name, index in names.items():
        status = shared_service.await_bound(name)
        assert status["podIndex"] == index
        assert "previous" not in status
        assert history.pods(name) == [index]


def test_recreated_stateful_set_that_adopts_its_pods_gets_its_users_back(game: Service, recorder: LinkRecorder) -> None:
    game.set_on_pod_lost("Rebind", 3)
    names = [game.link(f"user-{index}", podIndex=index) for index in range(LAST + 1)]
    game.await_all_bound(3)
    game.kubectl.run("delete", "statefulset", "game", "--cascade=orphan").expect_success()
    for index, name in enumerate(names):
        game.await_link(name, "Lost", "PodLost")
        pod = f"pod 'game-{index}' of StatefulRoute 'game'"
        message = f"{pod} has been gone for more than 3 s (WorkloadGone), and no other takes new users"
        assert condition_of(game.get(name))["message"] == message
    game.create_stateful_set()
    game.await_all_bound(3)
    assert [recorder.pods(name) for name in names] == [[0], [1], [2]]


def dedicated_node(game: Service, cluster: LocalCluster) -> str:
    """Returns the node of the last pod, which no other pod of the service uses."""
    if cluster.provider not in {"builtin", "envtest"}:
        pytest.skip("this cluster's nodes cannot be removed by the test")
    nodes = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in game.client.all(Pod, game.namespace)}
    node = str(nodes.pop(f"game-{LAST}"))
    assert node not in nodes.values()
    return node


def at(text: str) -> datetime:
    """Parses a time of Kubernetes."""
    return datetime.fromisoformat(text)
