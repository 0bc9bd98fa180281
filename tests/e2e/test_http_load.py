"""Polled loads: three servers of the example answer at the addresses of three pods."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
import yaml
from pykube.objects import Pod, StatefulSet

from localcluster.ports import free_port
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.load_servers import SERVER, LoadCounter, LoadServer, load_servers, pod_ip
from support.service import NOT_READY, READY, Service, condition_of, is_bound
from support.waiting import eventually, stays

pytestmark = pytest.mark.usefixtures("operator")

STALE_AFTER_SECONDS = 3
A_DAY = 86_400

#: The number of links of a burst.
BURST = 6

_numbers = count()


@pytest.fixture(scope="module")
def port() -> int:
    """The port of the pods."""
    return free_port()


@pytest.fixture(scope="module")
def lobby(
    shared_kubectl: Kubectl, independent_client: IndependentClient, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, list[LoadServer]]]:
    """The unchanged example in its own namespace, and the servers of its pods."""
    service = Service(shared_kubectl, independent_client, "lobby")
    for manifest in sorted(SERVER.parent.glob("*.yaml")):
        item = yaml.safe_load(manifest.read_text(encoding="utf-8"))
        if item["kind"] != "Namespace":
            del item["metadata"]["namespace"]
            shared_kubectl.create(item)
    service.await_pods(3)
    service.edit_route(
        load={"http": {"port": port}, "staleAfterSeconds": STALE_AFTER_SECONDS},
        statePeriodSeconds=1,
        workloadPeriodSeconds=1,
    )
    with load_servers(service, ["lobby-0", "lobby-1", "lobby-2"], port, tmp_path_factory.mktemp("load")) as servers:
        yield service, servers


@pytest.fixture
def room(lobby: tuple[Service, list[LoadServer]]) -> Iterator[Service]:
    """The service; its links are deleted after each test, and its pods keep their last loads."""
    service, _ = lobby
    yield service
    service.client.delete_all(PodLink, service.namespace)
    eventually(lambda: not service.links(), "the links are gone")


@pytest.fixture
def servers(lobby: tuple[Service, list[LoadServer]], room: Service) -> list[LoadServer]:
    """The servers of its pods, by index."""
    del room
    return lobby[1]


def set_loads(room: Service, servers: list[LoadServer], *loads: int) -> None:
    """Sets the load of each pod, and waits until the operator has polled it."""
    for server, load in zip(servers, loads, strict=True):
        server.set_answer(loadState=load)
    for index, load in enumerate(loads):
        room.await_pod(index, loadState=load, loadStale=None)


def burst(room: Service, number: int = BURST) -> dict[int | None, int]:
    """Creates links at the same time; returns how many of them each pod got."""
    names = set(room.link_all(f"user-{next(_numbers)}" for _ in range(number)))
    for name in names:
        room.await_bound(name)
    pods = [link["spec"]["podIndex"] for link in room.links() if link["metadata"]["name"] in names]
    return {index: pods.count(index) for index in sorted(set(pods))}


def test_polled_loads_are_weighed_in_status_and_annotations(room: Service, servers: list[LoadServer]) -> None:
    for server, load, tasks in zip(servers, (9, 1, 4), (2, 0, 4), strict=True):
        server.set_answer(loadState=load, waitingTasks=tasks)
    room.await_pod(0, loadState=9, waitingTasks=2, weightedLoadMilli=4100, loadStale=None)
    room.await_pod(1, loadState=1, waitingTasks=0, weightedLoadMilli=300)
    room.await_pod(2, loadState=4, waitingTasks=4, weightedLoadMilli=4000)
    assert all(room.pod_status(index)["reportTime"] for index in range(3))
    room.await_status(bestPodIndex=1, bestPodName="lobby-1", workloadState="Normal", workloadLoad=2)
    room.await_annotations(Pod, "lobby-0", weighted_load="4.1")
    room.await_annotations(Pod, "lobby-1", weighted_load="0.3")
    room.await_annotations(Pod, "lobby-2", weighted_load="4")
    room.await_annotations(StatefulSet, "lobby", workload_state="Normal", workload_load="2.8")
    expected = ("True", "LoadFresh", "all of 3 pods that serve users have reported their load")
    assert room.condition("LoadFresh") == expected


def test_status_annotations_and_placement_follow_changed_loads(room: Service, servers: list[LoadServer]) -> None:
    set_loads(room, servers, 1, 30, 20)
    room.await_status(bestPodIndex=0, workloadState="Overloaded", workloadLoad=5)
    room.await_annotations(StatefulSet, "lobby", workload_state="Overloaded", workload_load="5.1")
    assert burst(room) == {0: BURST}
    set_loads(room, servers, 0, 0, 0)
    room.await_status(workloadState="Idle", workloadLoad=0)
    room.await_annotations(StatefulSet, "lobby", workload_state="Idle", workload_load="0")


@pytest.mark.parametrize(
    ("silence", "revive", "cause"),
    [
        pytest.param(LoadServer.kill, LoadServer.start, "refused the connection", id="killed"),
        pytest.param(LoadServer.freeze, LoadServer.thaw, "did not answer within 1 s", id="hanging"),
    ],
)
def test_pod_that_stops_answering_takes_no_new_users_and_keeps_its_own(
    silence: Callable[[LoadServer], None],
    revive: Callable[[LoadServer], None],
    cause: str,
    room: Service,
    servers: list[LoadServer],
) -> None:
    set_loads(room, servers, 1, 4, 4)
    room.await_status(bestPodIndex=0)
    own = room.link(f"own-{next(_numbers)}")
    assert room.await_bound(own)["podIndex"] == 0
    version = room.get(own)["metadata"]["resourceVersion"]
    silence(servers[0])
    try:
        room.await_pod(0, loadStale=True)
        message = "no fresh load from 1 of 3 pods that serve users: lobby-0 (takes no new users)"
        room.await_condition("LoadFresh", "False", "LoadStale", f"{message} {cause}")
        room.await_status(workloadLoad=1, workloadState="Normal", routablePods=3)
        assert room.pod_status(0)["loadState"] == 1
        assert 0 not in burst(room)
        assert room.get(own)["metadata"]["resourceVersion"] == version
        assert room.condition("Ready")[0] == "True"
    finally:
        revive(servers[0])
    room.await_condition("LoadFresh", "True")
    room.await_pod(0, loadStale=None)
    room.await_status(bestPodIndex=0)
    assert room.await_bound(room.link(f"late-{next(_numbers)}"))["podIndex"] == 0


def test_users_are_placed_by_links_alone_while_no_pod_answers(room: Service, servers: list[LoadServer]) -> None:
    set_loads(room, servers, 0, 1, 2)
    assert burst(room, 2) == {0: 2}
    for server in servers:
        server.kill()
    try:
        room.await_condition("LoadFresh", "False", "NoLoadReported")
        message = "no pod has reported its load lately, so new users are placed by the links that pods carry"
        pods = ", ".join(f"lobby-{index} refused the connection" for index in range(3))
        room.await_condition("LoadFresh", "False", "NoLoadReported", f"{message}: {pods}")
        assert burst(room, 7) == {0: 1, 1: 3, 2: 3}
        room.await_status(workloadState=None, workloadLoad=None)
        room.await_annotations(StatefulSet, "lobby", workload_state=None, workload_load=None)
    finally:
        for server in servers:
            server.start()


def test_response_may_drain_its_pod(room: Service, servers: list[LoadServer]) -> None:
    set_loads(room, servers, 0, 0, 0)
    own = room.link(f"own-{next(_numbers)}", podIndex=0)
    room.await_bound(own)
    servers[0].set_answer(loadState=0, routingState="DenyNewCall")
    room.await_pod(0, routingState="DenyNewCall")
    assert 0 not in burst(room)
    assert is_bound(room.get(own))
    servers[0].set_answer(loadState=0, routingState="Shutdown")
    room.await_moved(own, 0)
    room.await_pod(0, routingState="Shutdown")
    room.await_status(routablePods=2)
    servers[0].set_answer(loadState=0)
    room.await_pod(0, routingState="Ready")
    assert burst(room, 1) == {0: 1}


def test_condition_names_a_pod_with_an_invalid_response_and_the_error(room: Service, servers: list[LoadServer]) -> None:
    set_loads(room, servers, 0, 0, 0)
    servers[1].set_answer(loadState="high <script>")
    numbers = "loadState and waitingTasks must be whole numbers from 0 to 2147483647"
    states = "routingState one of Unknown, Ready, DenyNewCall, Shutdown"
    cause = f"lobby-1 (takes no new users) returned an invalid load: {numbers}, and {states}"
    eventually(lambda: room.condition("LoadFresh")[2].endswith(f": {cause}"), "the condition explains it")
    servers[1].set_answer(routingState="Ready")
    eventually(
        lambda: room.condition("LoadFresh")[2].endswith("it has neither loadState nor waitingTasks"),
        "the condition explains it",
    )
    servers[1].set_answer(loadState=0)


def test_redirect_is_not_followed(service: Service) -> None:
    port = free_port()
    service.create_pods(1)
    pod, elsewhere = LoadCounter(), LoadCounter()
    pod.status, pod.headers = "302 Found", {"Location": f"http://127.0.0.1:{port}/load"}
    ip = pod_ip(service, "game-0")
    with elsewhere.listening(["127.0.0.1"], port), pod.listening([ip], port):
        service.create_route(load={"source": "HTTP", "http": {"port": port}}, statePeriodSeconds=1)
        service.await_pods(1)
        eventually(
            lambda: service.condition("LoadFresh")[2].endswith(": game-0 answered with status 302"),
            "the condition explains it",
        )
        requests = pod.request_count()
        eventually(lambda: pod.request_count() > requests, "the pod is polled again")
    assert elsewhere.request_count() == 0


def is_ready(service: Service, pod: str) -> bool:
    """Returns whether the pod's own status is Ready."""
    return condition_of(service.client.get(Pod, pod, service.namespace)).get("status") == "True"


def test_pod_that_becomes_ready_is_polled_at_once_with_a_long_period(service: Service) -> None:
    port = free_port()
    service.create_pods(2)
    pods, ips = LoadCounter(), [pod_ip(service, f"game-{index}") for index in range(2)]
    service.annotate(1, NOT_READY)
    eventually(lambda: not is_ready(service, "game-1"), "the pod is not Ready before the route exists")
    with pods.listening(ips, port):
        service.create_route(load={"source": "HTTP", "http": {"port": port}}, statePeriodSeconds=A_DAY)
        service.await_status(replicas=2, readyReplicas=1)
        service.await_pod(0, loadState=1)
        assert (pods.request_count(ips[0]), pods.request_count(ips[1])) == (1, 0)
        service.annotate(1, READY)
        service.await_pod(1, serviceState="Ready", loadState=1)
        stays(
            lambda: (pods.request_count(ips[0]), pods.request_count(ips[1])) == (1, 1),
            "each pod was polled once",
            seconds=2.0,
        )
        assert service.condition("LoadFresh")[0] == "True"


def test_edit_of_the_load_source_takes_effect_at_once_with_a_long_period(service: Service) -> None:
    port, other, pods, others = free_port(), free_port(), LoadCounter(), LoadCounter()
    others.answer = {"loadState": 5}
    service.create_pods(2)
    ips = [pod_ip(service, f"game-{index}") for index in range(2)]
    with pods.listening(ips, port), others.listening(ips, other):
        service.create_route(load={"source": "HTTP", "http": {"port": port}}, statePeriodSeconds=A_DAY)
        service.await_pods(2)
        service.await_pod(1, loadState=1)
        service.report(0, 7, 7)
        assert service.pod_status(0)["loadState"] == 1
        service.edit_route(load={"source": "Reported"})
        service.await_pod(0, loadState=7)
        service.await_pod(1, loadState=None)
        asked = pods.request_count()
        service.edit_route(load={"source": "HTTP"})
        for index in range(2):
            service.await_pod(index, loadState=1)
        assert pods.request_count() == asked + 2
        service.edit_route(load={"http": {"port": other}})
        for index in range(2):
            service.await_pod(index, loadState=5)
        assert (pods.request_count(), others.request_count()) == (asked + 2, 2)
