"""A separate cluster with an audit log of the operators' requests, and the account of the chart."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from failover.pair import NAMESPACE, OperatorPair
from localcluster import LocalCluster
from support.api_user import APIUser
from support.audit import AuditLog
from support.independent_client import IndependentClient, StatefulRoute
from support.kubectl import Kubectl
from support.link_recorder import LinkRecorder, recording
from support.namespaces import fresh_namespace
from support.service import Service
from support.used_clusters import used_clusters
from support.waiting import eventually

#: The manifests that the chart renders by default.
BASE = Path(__file__).parents[2] / "deploy" / "kustomize"

ACCOUNT = "statefulroute-operator"

#: The first test that needs the cluster may have to build its programs, which takes minutes.
BUILD_SECONDS = 1800


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives the test that starts the cluster enough time to build it."""
    first = next((item for item in items if "audited_cluster" in getattr(item, "fixturenames", ())), None)
    if first is not None:
        first.add_marker(pytest.mark.timeout(BUILD_SECONDS))


@pytest.fixture(scope="session")
def audit(tmp_path_factory: pytest.TempPathFactory) -> AuditLog:
    """The requests of operators to the API server."""
    return AuditLog(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="session")
def audited_cluster(audit: AuditLog) -> Iterator[LocalCluster]:
    """A cluster with an audit log."""
    if os.environ.get("STATEFULROUTE_KUBECONFIG"):
        pytest.skip("the API server's audit log is read, and it is ended: not in STATEFULROUTE_KUBECONFIG's cluster")
    options = {"name": f"failover-{os.getpid()}", "nodes": 3, "apiserver_flags": audit.flags}
    with used_clusters.start("audited_cluster", **options) as started:
        if not started.has_controllers:
            pytest.skip("this cluster has no controllers and nodes: a StatefulSet gets no pods here")
        yield started


@pytest.fixture(scope="session")
def admin(audited_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """A kubectl with the rights of that cluster's administrator; the chart's manifests are installed."""
    kubectl = Kubectl(audited_cluster.kubectl, audited_cluster.kubeconfig, tmp_path_factory.mktemp("kubectl-cache"))
    kubectl.run("apply", "--server-side", "--kustomize", str(BASE)).expect_success()
    eventually(lambda: not kubectl.run("get", "podlinks,statefulroutes").code, "both kinds can be listed")
    return kubectl


@pytest.fixture(scope="session")
def independent_client(audited_cluster: LocalCluster) -> IndependentClient:
    """A client that shares no code with the product."""
    return IndependentClient(audited_cluster.kubeconfig)


@pytest.fixture
def pair(audited_cluster: LocalCluster, admin: Kubectl, audit: AuditLog, tmp_path: Path) -> Iterator[OperatorPair]:
    """The operators of the two pods of the chart's Deployment, not started yet, with tokens bound to these pods."""
    here, administrator = admin.within(NAMESPACE), APIUser.of(audited_cluster.kubeconfig, NAMESPACE)
    here.run("rollout", "status", f"deployment/{ACCOUNT}", "--timeout=60s").expect_success()
    pods = {pod["metadata"]["name"]: pod for pod in here.get_json("pods")["items"]}
    accounts = {name: administrator.as_account(ACCOUNT, pod) for name, pod in pods.items()}
    operators = OperatorPair(
        here,
        audit,
        tmp_path,
        {name: account.write_kubeconfig(tmp_path / f"{name}.kubeconfig") for name, account in accounts.items()},
    )
    yield operators
    operators.stop()


@pytest.fixture
def new_game(
    admin: Kubectl, independent_client: IndependentClient, pair: OperatorPair
) -> Iterator[Callable[[], Service]]:
    """Returns services of which nothing exists yet, each in its own namespace."""
    services: list[Service] = []
    with ExitStack() as stack:

        def create() -> Service:
            services.append(Service(admin.within(stack.enter_context(fresh_namespace(admin))), independent_client))
            return services[-1]

        yield create
        pair.stop()  # no operator works on the objects that are removed
        for service in services:
            for route in independent_client.all(StatefulRoute, service.namespace):
                independent_client.patch(
                    StatefulRoute, route["metadata"]["name"], service.namespace, {"metadata": {"finalizers": None}}
                )


@pytest.fixture
def game(new_game: Callable[[], Service]) -> Service:
    """A service of which nothing exists yet."""
    return new_game()


@pytest.fixture
def recorder(independent_client: IndependentClient, game: Service) -> Iterator[LinkRecorder]:
    """Records every version of every link of the service."""
    with recording(independent_client, game.namespace) as link_recorder:
        yield link_recorder
