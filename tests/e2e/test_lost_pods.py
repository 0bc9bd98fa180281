"""The links of a pod that is lost go where their route says; nobody else's are touched."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

import pytest
from pykube.objects import Pod

from harness.patience import eventually
from harness.recorder import Recorder
from harness.service import DENIES_NEW_CALLS, SAYS_NOTHING, SHUT_DOWN, Service, condition_of
from harness.witness import PodLink
from localcluster import LocalCluster

pytestmark = pytest.mark.usefixtures("operator", "nothing_else_happens")

#: The pod that is lost: the last of three.
LAST = 2

Cause = Callable[[Service, LocalCluster], AbstractContextManager[None]]


@contextmanager
def is_beyond_the_replicas(game: Service, _: LocalCluster) -> Iterator[None]:
    game.scale(LAST)
    yield
    game.scale(LAST + 1)


@contextmanager
def says_that_it_shuts_down(game: Service, _: LocalCluster | None = None) -> Iterator[None]:
    game.annotate(LAST, SHUT_DOWN)
    yield
    game.annotate(LAST, SAYS_NOTHING)


@contextmanager
def is_shut_down_by_the_route(game: Service, _: LocalCluster) -> Iterator[None]:
    game.edit_route(pods=[{"index": LAST, "routingState": "Shutdown"}])
    yield
    game.edit_route(pods=None)


@contextmanager
def does_not_end(game: Service, _: LocalCluster | None = None) -> Iterator[None]:
    """Deleted, and held at its end, when it serves no longer: nothing takes its place."""
    pod = f"game-{LAST}"
    game.witness.patch(Pod, pod, game.namespace, {"metadata": {"finalizers": ["example.com/hold"]}})
    game.witness.delete(Pod, pod, game.namespace)
    game.witness.patch_status(Pod, pod, game.namespace, {"conditions": [{"type": "Ready", "status": "False"}]})
    yield
    game.witness.patch(Pod, pod, game.namespace, {"metadata": {"finalizers": None}})


@contextmanager
def is_not_made_again(game: Service, _: LocalCluster) -> Iterator[None]:
    """Deleted, and its namespace has no room for another."""
    with game.only_pods(LAST):
        game.witness.delete(Pod, f"game-{LAST}", game.namespace)
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


AT_ONCE: tuple[Cause, ...] = (is_beyond_the_replicas, says_that_it_shuts_down, is_shut_down_by_the_route)
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
    cause: Cause, grace: int, standing: Service, cluster: LocalCluster, history: Recorder
) -> None:
    standing.on_pod_lost("Rebind", grace)
    uid = cause.__name__.replace("_", "-")
    neighbours = [standing.link(f"{uid}-{index}", podIndex=index) for index in range(LAST)]
    name = standing.link(uid, podIndex=LAST)
    for each in (*neighbours, name):
        standing.await_bound(each)
    bound_time = standing.get(name)["status"]["boundTime"]
    with cause(standing, cluster):
        eventually(lambda: standing.get(name)["spec"]["podIndex"] != LAST, "it is moved")
        status = standing.await_bound(name)
        standing.await_news(
            name,
            ("Normal", "Bound", f"bound to pod 'game-{LAST}'"),
            ("Warning", "PodLost", f"moved from pod {LAST} to pod '{status['podName']}'"),
        )
    standing.await_pods(LAST + 1)
    assert (status["previous"]["podIndex"], status["previous"]["reason"]) == (LAST, "PodLost")
    assert at(bound_time) <= at(status["previous"]["time"]) == at(status["boundTime"])
    assert history.path(name) == [LAST, status["podIndex"]]
    assert [history.story(each) for each in neighbours] == [["created", "Bound"]] * LAST


def test_a_route_that_keeps_the_links_of_lost_pods_marks_them_until_the_pod_is_back(
    standing: Service, history: Recorder
) -> None:
    standing.on_pod_lost("Keep")
    name = standing.link("kept", podIndex=LAST)
    standing.await_bound(name)
    with says_that_it_shuts_down(standing):
        status = standing.await_link(name, "Lost", "PodLost")
        condition = condition_of(standing.get(name))
        said = f"pod {LAST} of StatefulRoute 'game' is shut down"
        assert (condition["status"], condition["message"]) == ("False", said)
        assert status["podIndex"] == LAST
        assert "host" not in status
        standing.await_news(name, ("Normal", "Bound", f"bound to pod 'game-{LAST}'"), ("Warning", "PodLost", said))
    status = standing.await_bound(name)
    assert "previous" not in status
    assert history.path(name) == [LAST]
    assert history.story(name) == ["created", "Bound", "Lost", "Bound"]


def test_a_route_that_releases_the_links_of_lost_pods_deletes_them(standing: Service, history: Recorder) -> None:
    standing.on_pod_lost("Release")
    names = [standing.link(f"released-{index}", podIndex=index) for index in range(LAST + 1)]
    for each in names:
        standing.await_bound(each)
    with says_that_it_shuts_down(standing):
        standing.await_gone(names[LAST])
        standing.await_news(
            names[LAST],
            ("Normal", "Bound", f"bound to pod 'game-{LAST}'"),
            ("Warning", "PodLost", f"pod {LAST} is lost"),
        )
    assert [history.story(each) for each in names[:LAST]] == [["created", "Bound"]] * LAST
    assert history.story(names[LAST]) == ["created", "Bound", "deleted"]


def test_a_move_costs_two_writes_and_nobody_else_any(standing: Service, history: Recorder) -> None:
    standing.on_pod_lost("Rebind")
    standing.witness.delete_all(PodLink, standing.namespace)
    moved = [standing.link(f"user-{number}", podIndex=LAST) for number in range(20)]
    others = [standing.link(f"other-{number}", podIndex=number % LAST) for number in range(20)]
    standing.await_all_bound(40)
    count = standing.witness.count()
    with says_that_it_shuts_down(standing):
        eventually(lambda: standing.spread() == {0: 20, 1: 20}, "all are moved, and evenly")
        standing.await_all_bound(40)
    patches = count.patches()
    assert (patches["podlinks"], patches["podlinks/status"]) == (20, 20)
    for name in moved:
        story = history.versions(name)
        there = story[-1].pod
        assert [(version.pod, version.told_index) for version in story] == [
            (LAST, None),
            (LAST, LAST),
            (there, LAST),
            (there, there),
        ]
    assert [history.story(name) for name in others] == [["created", "Bound"]] * 20


def test_a_pod_that_is_back_within_its_grace_has_lost_nobody(standing: Service, history: Recorder) -> None:
    standing.on_pod_lost("Rebind")
    name = standing.link("patient", podIndex=LAST)
    standing.await_bound(name)
    with does_not_end(standing):
        standing.await_pod(LAST, serviceState="Terminating")
        standing.await_bound(standing.link("meanwhile", podIndex=0))
    standing.await_pods(LAST + 1)
    standing.await_bound(standing.link("afterwards", podIndex=LAST))
    assert history.story(name) == ["created", "Bound"]


def test_a_shorter_grace_takes_effect_on_a_pod_that_is_gone_already(standing: Service, history: Recorder) -> None:
    standing.on_pod_lost("Rebind")
    name = standing.link("edited", podIndex=LAST)
    standing.await_bound(name)
    with does_not_end(standing):
        standing.await_pod(LAST, serviceState="Terminating")
        assert history.path(name) == [LAST]
        standing.on_pod_lost("Rebind", 1)
        eventually(lambda: standing.get(name)["spec"]["podIndex"] != LAST, "it is moved")
    standing.await_pods(LAST + 1)


def test_an_action_that_is_edited_takes_effect_on_links_that_are_lost_already(standing: Service) -> None:
    standing.on_pod_lost("Keep")
    name = standing.link("reprieved", podIndex=LAST)
    standing.await_bound(name)
    with says_that_it_shuts_down(standing):
        standing.await_link(name, "Lost", "PodLost")
        standing.on_pod_lost("Rebind")
        status = standing.await_bound(name)
    assert status["podIndex"] != LAST
    assert status["previous"]["podIndex"] == LAST


def test_while_no_pod_takes_new_users_the_links_of_a_lost_pod_wait_for_one(
    standing: Service, history: Recorder
) -> None:
    standing.on_pod_lost("Rebind")
    for index in range(LAST):
        standing.annotate(index, DENIES_NEW_CALLS)
    standing.await_status(bestPodIndex=LAST)
    name = standing.link("stranded", podIndex=LAST)
    standing.await_bound(name)
    with says_that_it_shuts_down(standing):
        standing.await_link(name, "Lost", "PodLost")
        said = f"pod {LAST} of StatefulRoute 'game' is shut down, and no other takes new users"
        assert condition_of(standing.get(name))["message"] == said
        newcomer = standing.link("newcomer")
        standing.await_link(newcomer, "Pending", "NoAvailablePod")
        standing.annotate(0, SAYS_NOTHING)
        assert standing.await_bound(name)["podIndex"] == standing.await_bound(newcomer)["podIndex"] == 0
        assert standing.get(name)["status"]["previous"]["reason"] == "PodLost"
        standing.annotate(1, SAYS_NOTHING)
    assert history.path(name) == [LAST, 0]


def test_a_service_that_is_scaled_to_0_and_back_has_lost_nobody(standing: Service, history: Recorder) -> None:
    standing.on_pod_lost("Rebind")
    names = {f"game.sleeper-{number}": number % 3 for number in range(9)}
    for name, index in names.items():
        standing.link(name.removeprefix("game."), podIndex=index)
    for name in names:
        standing.await_bound(name)
    standing.scale(0)
    for name in names:
        standing.await_link(name, "Lost", "PodLost")
    standing.scale(LAST + 1)
    standing.await_pods(LAST + 1)
    for name, index in names.items():
        status = standing.await_bound(name)
        assert status["podIndex"] == index
        assert "previous" not in status
        assert history.path(name) == [index]


def test_a_statefulset_that_is_made_anew_around_its_pods_gets_its_users_back(game: Service, recorder: Recorder) -> None:
    game.on_pod_lost("Rebind", 3)
    names = [game.link(f"user-{index}", podIndex=index) for index in range(LAST + 1)]
    game.await_all_bound(3)
    game.kubectl.run("delete", "statefulset", "game", "--cascade=orphan").expect_success()
    for index, name in enumerate(names):
        game.await_link(name, "Lost", "PodLost")
        said = f"pod {index} of StatefulRoute 'game' has been gone for more than 3 s, and no other takes new users"
        assert condition_of(game.get(name))["message"] == said
    game.make_stateful_set()
    game.await_all_bound(3)
    assert [recorder.path(name) for name in names] == [[0], [1], [2]]


def node_of_its_own(game: Service, cluster: LocalCluster) -> str:
    """The node of the last pod, on which no other pod of the service is."""
    if cluster.provider not in {"builtin", "envtest"}:
        pytest.skip("this cluster's nodes are not ours to lose")
    nodes = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in game.witness.all(Pod, game.namespace)}
    node = str(nodes.pop(f"game-{LAST}"))
    assert node not in nodes.values()
    return node


def at(text: str) -> datetime:
    """A time as Kubernetes writes it."""
    return datetime.fromisoformat(text)
