"""Operator and resolver under a limit of memory: with enough they work, with too little they say nothing wrong."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from chaos import memory
from chaos.memory import MemoryGroup
from chaos.seeding import seed_bound_links
from chaos.system import store_url
from localcluster import LocalCluster
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess
from support.resolver_process import ResolverProcess
from support.scale import scaled
from support.service import Service
from support.waiting import eventually

ROOT = Path(__file__).parents[2]

log = logging.getLogger(__name__)

NUMBER = scaled(5_000, 100_000)
PODS = 3

#: What is promised for 100,000 links.
ENOUGH_MEBIBYTES = 256

#: What does not do for so many: whoever lists them is killed in the middle of it; for few links, while it starts.
TOO_FEW_MEBIBYTES = scaled(40, 70)

START_SECONDS = 300.0
PATIENCE_SECONDS = 10.0

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kubectl, LocalCluster]]:
    if (lacking := memory.unsupported_reason()) is not None:
        pytest.skip(lacking)
    if os.environ.get("STATEFULROUTE_KUBECONFIG"):
        pytest.skip("links are put into the cluster's store: not in STATEFULROUTE_KUBECONFIG's cluster")
    with LocalCluster.start(name=f"memory-{os.getpid()}", nodes=PODS) as cluster:
        if not cluster.has_controllers:
            pytest.skip("this cluster has no controllers and nodes: a StatefulSet gets no pods here")
        made = Kubectl(cluster.kubectl, cluster.kubeconfig, tmp_path_factory.mktemp("kubectl-cache"))
        made.run("apply", "--filename", str(ROOT / "crds")).expect_success()
        eventually(lambda: not made.run("get", "podlinks,statefulroutes").code, "both kinds can be listed")
        made.run("create", "namespace", "crowded").expect_success()
        yield made, cluster


@pytest.fixture(scope="module")
def crowded(kubectl: tuple[Kubectl, LocalCluster]) -> Service:
    """A service with very many users."""
    admin, cluster = kubectl
    service = Service(admin.within("crowded"), IndependentClient(cluster.kubeconfig))
    service.create_pods(PODS)
    service.create_route()
    pods = f"--for=jsonpath={{.status.readyReplicas}}={PODS}"
    service.kubectl.run("wait", pods, "statefulset/game", "--timeout=60s").expect_success()
    seed_bound_links(store_url(cluster), service, NUMBER, PODS)
    return service


@pytest.fixture
def limited(request: pytest.FixtureRequest) -> Iterator[Callable[[int], MemoryGroup]]:
    """Gives groups with so many MiB."""
    made: list[MemoryGroup] = []

    def make(mebibytes: int) -> MemoryGroup:
        made.append(MemoryGroup(f"{request.node.originalname}-{len(made)}", mebibytes))
        return made[-1]

    yield make
    for group in made:
        group.close()


Start = Callable[[type[OperatorProcess], MemoryGroup], Any]


@pytest.fixture
def start(kubectl: tuple[Kubectl, LocalCluster], tmp_path: Path) -> Iterator[Start]:
    """Starts a process of ours in a group, and does not wait for it."""
    made: list[OperatorProcess] = []

    def launch(kind: type[OperatorProcess], group: MemoryGroup) -> OperatorProcess:
        made.append(kind(kubectl[1].kubeconfig, tmp_path / f"{len(made)}.log"))
        return made[-1].launch(prefix=group.prefix)

    yield launch
    for process in made:
        if process.is_running:
            process.kill()


def say_what_it_took(process: OperatorProcess, group: MemoryGroup, began: float) -> None:
    log.info(
        "%s with %s links: %.0f MiB now, %.0f MiB at the most, after %.0f s",
        type(process).__name__,
        NUMBER,
        group.used_mebibytes,
        group.peak_mebibytes,
        time.monotonic() - began,
    )


def test_an_operator_under_the_limit_starts_and_binds(
    crowded: Service, limited: Callable[[int], MemoryGroup], start: Start
) -> None:
    began, group = time.monotonic(), limited(ENOUGH_MEBIBYTES)
    operator = start(OperatorProcess, group)
    eventually(lambda: "the caches are synced" in operator.text, "it serves", seconds=START_SECONDS)
    names = crowded.link_all(f"late-{number}" for number in range(200))
    for name in names:
        crowded.await_bound(name)
    say_what_it_took(operator, group, began)
    assert group.oom_kills == 0
    operator.stop()
    crowded.client.in_parallel(lambda name: crowded.client.delete(PodLink, name, crowded.namespace), names)


def look_up(resolver: ResolverProcess, service: Service, uid: str, method: str = "GET") -> requests.Response:
    path = f"/v1/namespaces/{service.namespace}/routes/{service.name}/links/{uid}"
    return requests.request(method, f"http://{resolver.lookups}{path}", timeout=PATIENCE_SECONDS)


def test_a_resolver_under_the_limit_starts_and_answers(
    crowded: Service, limited: Callable[[int], MemoryGroup], start: Start
) -> None:
    began, group = time.monotonic(), limited(ENOUGH_MEBIBYTES)
    resolver = start(ResolverProcess, group)
    eventually(lambda: "the caches are synced" in resolver.text, "it serves", seconds=START_SECONDS)
    for number in range(0, NUMBER, NUMBER // 100):
        assert look_up(resolver, crowded, f"user-{number}").json()["podIndex"] == number % PODS
    assert look_up(resolver, crowded, "newcomer", "POST").json()["podIndex"] in range(PODS)
    say_what_it_took(resolver, group, began)
    assert group.oom_kills == 0
    resolver.stop()
    crowded.client.delete(PodLink, "game.newcomer", crowded.namespace)


def await_killed(process: OperatorProcess) -> None:
    eventually(lambda: not process.is_running, "it is killed", seconds=START_SECONDS)
    assert process.wait() == -signal.SIGKILL


def test_an_operator_with_too_little_memory_is_killed_and_has_done_no_harm(
    crowded: Service, limited: Callable[[int], MemoryGroup], start: Start
) -> None:
    before = {link["metadata"]["name"]: link["spec"]["podIndex"] for link in crowded.links()}
    group = limited(TOO_FEW_MEBIBYTES)
    operator = start(OperatorProcess, group)
    await_killed(operator)
    operator.launch(prefix=group.prefix)  # as a kubelet does, and in vain
    await_killed(operator)
    assert group.oom_kills == 2
    assert {link["metadata"]["name"]: link["spec"]["podIndex"] for link in crowded.links()} == before


def test_a_resolver_with_too_little_memory_is_killed_and_has_answered_nothing_wrong(
    crowded: Service, limited: Callable[[int], MemoryGroup], start: Start
) -> None:
    group = limited(TOO_FEW_MEBIBYTES)
    resolver = start(ResolverProcess, group)
    answers: list[requests.Response] = []

    def is_killed() -> bool:
        if "answering look-ups" in resolver.text:
            with suppress(requests.RequestException):  # it is no more
                answers.append(look_up(resolver, crowded, "user-1"))
        return not resolver.is_running

    eventually(is_killed, "it is killed", seconds=START_SECONDS)
    await_killed(resolver)
    assert group.oom_kills == 1
    assert all(answer.status_code == 503 or answer.json()["podIndex"] == 1 for answer in answers)
