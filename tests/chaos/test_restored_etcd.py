"""Tests that operator, resolver and driver show the truth after etcd was restored from a backup, without a restart."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest
import requests
from pykube.query import Query

from chaos.system import store_url
from failover.pair import NAMESPACE
from localcluster import LocalCluster
from statefulroute.sync import ClientDriver
from support.independent_client import IndependentClient, PodLink, StatefulRoute
from support.kubectl import Kubectl
from support.metrics import http_get
from support.namespaces import fresh_namespace
from support.objects import pod_link
from support.operator_process import OperatorProcess
from support.resolver_process import ResolverProcess
from support.service import Service
from support.waiting import eventually

CRDS = Path(__file__).parents[2] / "crds"

#: The revisions that are lost, at least: more than the cluster writes during the test after the backup is restored.
LOST_REVISIONS = 1000

#: The parts whose caches are stale after a backup is restored, as documented for Kubernetes.
STALE_PARTS = ("controller-manager", "scheduler", "kwok")

#: The cluster's programs may have to be built first, which takes minutes.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def restorable_cluster() -> Iterator[LocalCluster]:
    """A cluster whose etcd may be stopped."""
    if os.environ.get("STATEFULROUTE_KUBECONFIG"):
        pytest.skip("replaces the data of etcd: not possible in STATEFULROUTE_KUBECONFIG's cluster")
    with LocalCluster.start(name=f"restored-{os.getpid()}", nodes=2) as started:
        yield started


@pytest.fixture(scope="module")
def admin(restorable_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    cache = tmp_path_factory.mktemp("kubectl-cache")
    kubectl = Kubectl(restorable_cluster.kubectl, restorable_cluster.kubeconfig, cache)
    kubectl.run("apply", "--filename", str(CRDS)).expect_success()
    kubectl.run("wait", "--for=condition=Established", "--filename", str(CRDS)).expect_success()
    eventually(lambda: not kubectl.run("get", "podlinks,statefulroutes").code, "both kinds can be listed")
    kubectl.run("create", "namespace", NAMESPACE).expect_success()  # of the Lease
    return kubectl


@pytest.fixture
def game(restorable_cluster: LocalCluster, admin: Kubectl) -> Iterator[Service]:
    """A service with three pods and a route, which no operator has observed yet."""
    with fresh_namespace(admin) as name:
        service = Service(admin.within(name), IndependentClient(restorable_cluster.kubeconfig))
        service.create_pods(3)
        service.create_route()
        yield service
        for route in service.client.all(StatefulRoute, name):
            service.client.patch(StatefulRoute, route["metadata"]["name"], name, {"metadata": {"finalizers": None}})


@contextmanager
def running(process: OperatorProcess) -> Iterator[OperatorProcess]:
    """Runs a process."""
    try:
        yield process.start()
        process.stop()
    finally:
        if process.is_running:
            process.kill()


@pytest.fixture(params=["--no-leader-elect", "--leader-elect"])
def operator(
    request: pytest.FixtureRequest, game: Service, restorable_cluster: LocalCluster, tmp_path: Path
) -> Iterator[OperatorProcess]:
    del game
    process = OperatorProcess(restorable_cluster.kubeconfig, tmp_path / "operator.log", request.param)
    with running(process):
        yield process


@pytest.fixture
def is_suspended(request: pytest.FixtureRequest) -> bool:
    """Whether the operator is suspended while etcd is restored: one that shares a Lease would lose it."""
    return bool(request.node.callspec.params["operator"] == "--no-leader-elect")


@dataclass(frozen=True, slots=True)
class Readers:
    """A resolver and a driver, which read links from their caches."""

    game: Service
    resolver: ResolverProcess
    driver: ClientDriver

    def show(self, pods: Mapping[str, int | None]) -> bool:
        """Returns whether both have these pods of users; None is a user without a link."""
        return all(self._resolve(uid) == self.driver.get_linked_pod(uid, self.game.name) == pods[uid] for uid in pods)

    def _resolve(self, uid: str) -> int | None:
        path = f"/v1/namespaces/{self.game.namespace}/routes/{self.game.name}/links/{uid}"
        response = http_get(self.resolver.lookups, path)
        return int(json.loads(response.text)["podIndex"]) if response.code == HTTPStatus.OK else None


@pytest.fixture
def readers(game: Service, restorable_cluster: LocalCluster, tmp_path: Path) -> Iterator[Readers]:
    kubeconfig = restorable_cluster.kubeconfig
    process = ResolverProcess(kubeconfig, tmp_path / "resolver.log", "--watch-namespace", game.namespace)
    with running(process), ClientDriver.connect(game.namespace, kubeconfig=kubeconfig) as driver:
        yield Readers(game, process, driver)


@contextmanager
def stopped_store(cluster: LocalCluster) -> Iterator[Path]:
    """Stops API server and etcd, and starts them again at the end; yields the folder of etcd's data."""
    cluster.part("apiserver").kill()
    cluster.part("etcd").end()
    yield cluster.folder / "etcd"
    cluster.guardian.restart("etcd")
    cluster.part("apiserver").restart()


def await_served(game: Service) -> None:
    """Waits until the API server serves both kinds; it starts with others."""
    eventually(lambda: not game.kubectl.run("get", "podlinks,statefulroutes").code, "both kinds are served")


def lose_revisions(cluster: LocalCluster) -> None:
    """Writes many revisions."""
    with requests.Session() as session:
        for _ in range(LOST_REVISIONS):
            session.post(f"{store_url(cluster)}/v3/kv/put", json={"key": "Lw==", "value": "Lw=="}, timeout=10)


def revision(game: Service) -> int:
    """Returns the present revision of etcd."""
    return int(Query(game.client.http, PodLink, game.namespace).response["metadata"]["resourceVersion"])


def bind_in_new_route(game: Service, route: str) -> None:
    """Creates another route to the pods, and binds a user."""
    game.create_route(route, workloadRef={"name": game.name})
    link = game.client.create(pod_link(routeName=route, uid="eve"), game.namespace)
    game.await_bound(link["metadata"]["name"])


def test_restored_objects_replace_newer_ones_without_a_restart(
    operator: OperatorProcess, readers: Readers, restorable_cluster: LocalCluster, tmp_path: Path, *, is_suspended: bool
) -> None:
    game = readers.game
    game.await_pods(3)
    for uid, pod in {"alice": 0, "carol": 1}.items():
        game.await_bound(game.link(uid, podIndex=pod))
    game.await_status(links=2)
    with stopped_store(restorable_cluster) as data:
        shutil.copytree(data, tmp_path / "backup")

    await_served(game)
    lose_revisions(restorable_cluster)
    game.client.patch(PodLink, "game.alice", game.namespace, {"spec": {"podIndex": 1}})
    game.client.delete(PodLink, "game.carol", game.namespace)
    game.await_bound(game.link("bob", podIndex=2))
    bind_in_new_route(game, "lost")
    eventually(lambda: readers.show({"alice": 1, "bob": 2, "carol": None}), "the present links are shown")
    lost = revision(game)

    if is_suspended:
        operator.freeze()  # a lost connection is the only sign of the restart
    with stopped_store(restorable_cluster) as data:
        shutil.rmtree(data)
        shutil.copytree(tmp_path / "backup", data)
    if is_suspended:
        await_served(game)
        operator.thaw()
    for part in STALE_PARTS:
        restorable_cluster.part(part).restart()
    eventually(lambda: readers.show({"alice": 0, "bob": None, "carol": 1}), "the links of the backup are shown")
    game.await_bound(game.link("dave", podIndex=2))
    game.await_status(links=3)
    for pod in range(3):
        game.await_pod(pod, links=1)
    for route in ("lost", "new"):
        bind_in_new_route(game, route)
    assert operator.is_running
    assert revision(game) < lost, "each version so far is older than the lost ones"
