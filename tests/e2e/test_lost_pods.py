"""The links of a pod that is lost go where their route says; nobody else's are touched."""

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

#: The pod that is lost: the last of three.
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
def does_not_end(game: Service, _: LocalCluster | None = None) -> Iterator[None]:
    """Deleted, and held at its end, when it serves no longer: nothing takes its place."""
    pod = f"game-{LAST}"
    game.client.patch(Pod, pod, game.namespace, {"metadata": {"finalizers": ["example.com/hold"]}})
    game.client.delete(Pod, pod, game.namespace)
    game.client.patch_status(Pod, pod, game.namespace, {"conditions": [{"type": "Ready", "status": "False"}]})
    yield
    game.client.patch(Pod, pod, game.namespace, {"metadata": {"finalizers": None}})


@contextmanager
def is_not_made_again(game: Service, _: LocalCluster) -> Iterator[None]:
    """Deleted, and its namespace has no room for another."""
    with game.pod_quota(LAST):
        game.client.delete(Pod, f"game-{LAST}", game.namespace)
        yield


@contextmanager
def is_on_a_node_that_is_deleted(game: Service, cluster: LocalCluster) -> Iterator[None]:
    node = node_of_its_own(game, cluster)
    known = game.kubectl.get_json("node", node)
    again = {key: known[key] for key in ("apiVersion", "kind", "status")}
    kept = {key: known["metadata"][key] for key in ("name", "labels", "annotations")}
    game.kubectl.run("delete", "node", node).expect_success()
    yield
    game.kubectl.create({**again, "metadata": kept})
    game.kubectl.run("wait", "--for=condition=Ready", "--timeout=50s", f"node/{node}").expect_success()


@contextmanager
def is_on_a_node_that_is_not_ready(game: Service, cluster: LocalCluster) -> Iterator[None]:
    """The nodes' keeper holds still, or it would put the node right at once."""
    node = node_of_its_own(game, cluster)
    keeper = cluster.part("kwok")
    keeper.kill(signal.SIGSTOP)
    try:
        change = {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}}
        options = ("--type=strategic", f"--patch={json.dumps(change)}", "--subresource=status")
        game.kubectl.run("patch", "node", node, *options).expect_success()
        yield
    finally:
        keeper.kill(signal.SIGCONT)
    game.kubectl.run("wait", "--for=condition=Ready", "--timeout=50s", f"node/{node}").expect_success()


AT_ONCE: tuple[Cause, ...] = (is_beyond_the_replicas, is_annotated_shutdown, is_shut_down_by_the_route)
AFTER_THE_GRACE: tuple[Cause, ...] = (
    does_not_end,
    is_not_made_again,
    is_on_a_node_that_is_deleted,
    is_on_a_node_that_is_not_ready,
)


@pytest.mark.parametrize(
    ("cause", "grace"),
    [*((cause, 3600) for cause in AT_ONCE), *((cause, 1) for cause in AFTER_THE_GRACE)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_links_of_a_pod_move_when_it(
    cause: Cause, grace: int, shared_service: Service, cluster: LocalCluster, history: LinkRecorder
) -> None:
    shared_service.set_on_pod_lost("Rebind", grace)
    uid = cause.__name__.replace("_", "-")
    neighbours = [shared_service.link(f"{uid}-{index}", podIndex=index) for index in range(LAST)]
    name = shared_service.link(uid, podIndex=LAST)
    for each in (*neighbours, name):
        shared_service.await_bound(each)
    bound_time = shared_service.get(name)["status"]["boundTime"]
    with cause(shared_service, cluster):
        eventually(lambda: shared_service.get(name)["spec"]["podIndex"] != LAST, "it is moved")
        status = shared_service.await_bound(name)
        shared_service.await_events(
            name,
            ("Normal", "Bound", f"bound to pod 'game-{LAST}'"),
            ("Warning", "PodLost", f"moved from pod {LAST} to pod '{status['podName']}'"),
        )
    shared_service.await_pods(LAST + 1)
    assert (status["previous"]["podIndex"], status["previous"]["reason"]) == (LAST, "PodLost")
    assert at(bound_time) <= at(status["previous"]["time"]) == at(status["boundTime"])
    assert history.pods(name) == [LAST, status["podIndex"]]
    assert [history.transitions(each) for each in neighbours] == [["created", "Bound"]] * LAST


def test_a_route_that_keeps_the_links_of_lost_pods_marks_them_until_the_pod_is_back(
    shared_service: Service, history: LinkRecorder
) -> None:
    shared_service.set_on_pod_lost("Keep")
    name = shared_service.link("kept", podIndex=LAST)
    shared_service.await_bound(name)
    with is_annotated_shutdown(shared_service):
        status = shared_service.await_link(name, "Lost", "PodLost")
        condition = condition_of(shared_service.get(name))
        said = f"pod {LAST} of StatefulRoute 'game' is shut down"
        assert (condition["status"], condition["message"]) == ("False", said)
        assert status["podIndex"] == LAST
        assert "host" not in status
        shared_service.await_events(
            name, ("Normal", "Bound", f"bound to pod 'game-{LAST}'"), ("Warning", "PodLost", said)
        )
    status = shared_service.await_bound(name)
    assert "previous" not in status
    assert history.pods(name) == [LAST]
    assert history.transitions(name) == ["created", "Bound", "Lost", "Bound"]


def test_a_route_that_releases_the_links_of_lost_pods_deletes_them(
    shared_service: Service, history: LinkRecorder
) -> None:
    shared_service.set_on_pod_lost("Release")
    names = [shared_service.link(f"released-{index}", podIndex=index) for index in range(LAST + 1)]
    for each in names:
        shared_service.await_bound(each)
    with is_annotated_shutdown(shared_service):
        shared_service.await_deleted(names[LAST])
        shared_service.await_events(
            names[LAST],
            ("Normal", "Bound", f"bound to pod 'game-{LAST}'"),
            ("Warning", "PodLost", f"pod {LAST} is lost"),
        )
    assert [history.transitions(each) for each in names[:LAST]] == [["created", "Bound"]] * LAST
    assert history.transitions(names[LAST]) == ["created", "Bound", "deleted"]


def test_a_move_costs_two_writes_and_nobody_else_any(shared_service: Service, history: LinkRecorder) -> None:
    shared_service.set_on_pod_lost("Rebind")
    shared_service.client.delete_all(PodLink, shared_service.namespace)
    moved = [shared_service.link(f"user-{number}", podIndex=LAST) for number in range(20)]
    others = [shared_service.link(f"other-{number}", podIndex=number % LAST) for number in range(20)]
    shared_service.await_all_bound(40)
    count = shared_service.client.count_requests()
    with is_annotated_shutdown(shared_service):
        eventually(lambda: shared_service.links_by_pod() == {0: 20, 1: 20}, "all are moved, and evenly")
        shared_service.await_all_bound(40)
    patches = count.patches()
    assert (patches["podlinks"], patches["podlinks/status"]) == (20, 20)
    for name in moved:
        story = history.versions(name)
        there = story[-1].pod
        assert [(version.pod, version.status_pod) for version in story] == [
            (LAST, None),
            (LAST, LAST),
            (there, LAST),
            (there, there),
        ]
    assert [history.transitions(name) for name in others] == [["created", "Bound"]] * 20


def test_a_pod_that_is_back_within_its_grace_has_lost_nobody(shared_service: Service, history: LinkRecorder) -> None:
    shared_service.set_on_pod_lost("Rebind")
    name = shared_service.link("patient", podIndex=LAST)
    shared_service.await_bound(name)
    with does_not_end(shared_service):
        shared_service.await_pod(LAST, serviceState="Terminating")
        shared_service.await_bound(shared_service.link("meanwhile", podIndex=0))
    shared_service.await_pods(LAST + 1)
    shared_service.await_bound(shared_service.link("afterwards", podIndex=LAST))
    assert history.transitions(name) == ["created", "Bound"]


def test_a_shorter_grace_takes_effect_on_a_pod_that_is_gone_already(
    shared_service: Service, history: LinkRecorder
) -> None:
    shared_service.set_on_pod_lost("Rebind")
    name = shared_service.link("edited", podIndex=LAST)
    shared_service.await_bound(name)
    with does_not_end(shared_service):
        shared_service.await_pod(LAST, serviceState="Terminating")
        assert history.pods(name) == [LAST]
        shared_service.set_on_pod_lost("Rebind", 1)
        eventually(lambda: shared_service.get(name)["spec"]["podIndex"] != LAST, "it is moved")
    shared_service.await_pods(LAST + 1)


def test_an_action_that_is_edited_takes_effect_on_links_that_are_lost_already(shared_service: Service) -> None:
    shared_service.set_on_pod_lost("Keep")
    name = shared_service.link("reprieved", podIndex=LAST)
    shared_service.await_bound(name)
    with is_annotated_shutdown(shared_service):
        shared_service.await_link(name, "Lost", "PodLost")
        shared_service.set_on_pod_lost("Rebind")
        status = shared_service.await_bound(name)
    assert status["podIndex"] != LAST
    assert status["previous"]["podIndex"] == LAST


def test_while_no_pod_takes_new_users_the_links_of_a_lost_pod_wait_for_one(
    shared_service: Service, history: LinkRecorder
) -> None:
    shared_service.set_on_pod_lost("Rebind")
    for index in range(LAST):
        shared_service.annotate(index, DENY_NEW_CALLS)
    shared_service.await_status(bestPodIndex=LAST)
    name = shared_service.link("stranded", podIndex=LAST)
    shared_service.await_bound(name)
    with is_annotated_shutdown(shared_service):
        shared_service.await_link(name, "Lost", "PodLost")
        said = f"pod {LAST} of StatefulRoute 'game' is shut down, and no other takes new users"
        assert condition_of(shared_service.get(name))["message"] == said
        newcomer = shared_service.link("newcomer")
        shared_service.await_link(newcomer, "Pending", "NoAvailablePod")
        shared_service.annotate(0, NO_ROUTING_STATE)
        assert shared_service.await_bound(name)["podIndex"] == shared_service.await_bound(newcomer)["podIndex"] == 0
        assert shared_service.get(name)["status"]["previous"]["reason"] == "PodLost"
        shared_service.annotate(1, NO_ROUTING_STATE)
    assert history.pods(name) == [LAST, 0]


def test_a_service_that_is_scaled_to_0_and_back_has_lost_nobody(shared_service: Service, history: LinkRecorder) -> None:
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


def test_a_statefulset_that_is_made_anew_around_its_pods_gets_its_users_back(
    game: Service, recorder: LinkRecorder
) -> None:
    game.set_on_pod_lost("Rebind", 3)
    names = [game.link(f"user-{index}", podIndex=index) for index in range(LAST + 1)]
    game.await_all_bound(3)
    game.kubectl.run("delete", "statefulset", "game", "--cascade=orphan").expect_success()
    for index, name in enumerate(names):
        game.await_link(name, "Lost", "PodLost")
        said = f"pod {index} of StatefulRoute 'game' has been gone for more than 3 s, and no other takes new users"
        assert condition_of(game.get(name))["message"] == said
    game.create_stateful_set()
    game.await_all_bound(3)
    assert [recorder.pods(name) for name in names] == [[0], [1], [2]]


def node_of_its_own(game: Service, cluster: LocalCluster) -> str:
    """The node of the last pod, on which no other pod of the service is."""
    if cluster.provider not in {"builtin", "envtest"}:
        pytest.skip("this cluster's nodes are not ours to lose")
    nodes = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in game.client.all(Pod, game.namespace)}
    node = str(nodes.pop(f"game-{LAST}"))
    assert node not in nodes.values()
    return node


def at(text: str) -> datetime:
    """A time as Kubernetes writes it."""
    return datetime.fromisoformat(text)
