"""Tests operator and resolver under memory limits: with enough they work, with too little they do no harm."""

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

NUMBER = scaled(2_000, 100_000)
PODS = 3

#: The limit that is promised for 100,000 links.
SUFFICIENT_MEBIBYTES = 256

#: Too little: with many links, the processes are killed while they list; with few, during their start.
INSUFFICIENT_MEBIBYTES = scaled(40, 70)

START_SECONDS = 300.0
TIMEOUT_SECONDS = 10.0

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kubectl, LocalCluster]]:
    if (reason := memory.unsupported_reason()) is not None:
        pytest.skip(reason)
    if os.environ.get("STATEFULROUTE_KUBECONFIG"):
        pytest.skip("writes links to the cluster's store: not possible in STATEFULROUTE_KUBECONFIG's cluster")
    with LocalCluster.start(name=f"memory-{os.getpid()}", nodes=PODS) as cluster:
        if not cluster.has_controllers:
            pytest.skip("this cluster has no controllers and nodes: a StatefulSet gets no pods here")
        kubectl = Kubectl(cluster.kubectl, cluster.kubeconfig, tmp_path_factory.mktemp("kubectl-cache"))
        kubectl.run("apply", "--filename", str(ROOT / "crds")).expect_success()
        eventually(lambda: not kubectl.run("get", "podlinks,statefulroutes").code, "both kinds can be listed")
        kubectl.run("create", "namespace", "crowded").expect_success()
        yield kubectl, cluster


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
    """Creates control groups with a limit in MiB."""
    groups: list[MemoryGroup] = []

    def make(mebibytes: int) -> MemoryGroup:
        groups.append(MemoryGroup(f"{request.node.originalname}-{len(groups)}", mebibytes))
        return groups[-1]

    yield make
    for group in groups:
        group.close()


Start = Callable[[type[OperatorProcess], MemoryGroup], Any]


@pytest.fixture
def start(kubectl: tuple[Kubectl, LocalCluster], tmp_path: Path) -> Iterator[Start]:
    """Starts a process of the product in a group, without waiting."""
    processes: list[OperatorProcess] = []

    def launch(kind: type[OperatorProcess], group: MemoryGroup) -> OperatorProcess:
        processes.append(kind(kubectl[1].kubeconfig, tmp_path / f"{len(processes)}.log"))
        return processes[-1].launch(prefix=group.prefix)

    yield launch
    for process in processes:
        if process.is_running:
            process.kill()


def log_memory_usage(process: OperatorProcess, group: MemoryGroup, started: float) -> None:
    log.info(
        "%s with %s links: %.0f MiB now, %.0f MiB at most, after %.0f s",
        type(process).__name__,
        NUMBER,
        group.used_mebibytes,
        group.peak_mebibytes,
        time.monotonic() - started,
    )


def test_operator_starts_and_binds_within_the_memory_limit(
    crowded: Service, limited: Callable[[int], MemoryGroup], start: Start
) -> None:
    started, group = time.monotonic(), limited(SUFFICIENT_MEBIBYTES)
    operator = start(OperatorProcess, group)
    eventually(lambda: "the caches are synced" in operator.log_text, "it serves", seconds=START_SECONDS)
    names = crowded.link_all(f"late-{number}" for number in range(200))
    for name in names:
        crowded.await_bound(name)
    log_memory_usage(operator, group, started)
    assert group.oom_kills == 0
    operator.stop()
    crowded.client.in_parallel(lambda name: crowded.client.delete(PodLink, name, crowded.namespace), names)


def look_up(resolver: ResolverProcess, service: Service, uid: str, method: str = "GET") -> requests.Response:
    path = f"/v1/namespaces/{service.namespace}/routes/{service.name}/links/{uid}"
    return requests.request(method, f"http://{resolver.lookups}{path}", timeout=TIMEOUT_SECONDS)


def test_resolver_starts_and_responds_within_the_memory_limit(
    crowded: Service, limited: Callable[[int], MemoryGroup], start: Start
) -> None:
    started, group = time.monotonic(), limited(SUFFICIENT_MEBIBYTES)
    resolver = start(ResolverProcess, group)
    eventually(lambda: "the caches are synced" in resolver.log_text, "it serves", seconds=START_SECONDS)
    for number in range(0, NUMBER, NUMBER // 100):
        assert look_up(resolver, crowded, f"user-{number}").json()["podIndex"] == number % PODS
    assert look_up(resolver, crowded, "newcomer", "POST").json()["podIndex"] in range(PODS)
    log_memory_usage(resolver, group, started)
    assert group.oom_kills == 0
    resolver.stop()
    crowded.client.delete(PodLink, "game.newcomer", crowded.namespace)


def await_killed(process: OperatorProcess) -> None:
    eventually(lambda: not process.is_running, "it is killed", seconds=START_SECONDS)
    assert process.wait() == -signal.SIGKILL


def test_operator_with_too_little_memory_is_killed_and_changes_no_binding(
    crowded: Service, limited: Callable[[int], MemoryGroup], start: Start
) -> None:
    before = {link["metadata"]["name"]: link["spec"]["podIndex"] for link in crowded.links()}
    group = limited(INSUFFICIENT_MEBIBYTES)
    operator = start(OperatorProcess, group)
    await_killed(operator)
    operator.launch(prefix=group.prefix)  # like a kubelet; it is killed again
    await_killed(operator)
    assert group.oom_kills == 2
    assert {link["metadata"]["name"]: link["spec"]["podIndex"] for link in crowded.links()} == before


def test_resolver_with_too_little_memory_is_killed_and_returns_no_wrong_answer(
    crowded: Service, limited: Callable[[int], MemoryGroup], start: Start
) -> None:
    group = limited(INSUFFICIENT_MEBIBYTES)
    resolver = start(ResolverProcess, group)
    answers: list[requests.Response] = []

    def is_killed() -> bool:
        if "serving look-ups" in resolver.log_text:
            with suppress(requests.RequestException):  # the resolver was killed
                answers.append(look_up(resolver, crowded, "user-1"))
        return not resolver.is_running

    eventually(is_killed, "it is killed", seconds=START_SECONDS)
    await_killed(resolver)
    assert group.oom_kills == 1
    assert all(answer.status_code == 503 or answer.json()["podIndex"] == 1 for answer in answers)
