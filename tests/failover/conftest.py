"""A cluster of these tests' own, which writes down what operators ask for, and the chart's account for them."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from failover.pair import NAMESPACE, Pair
from harness.accounts import Person
from harness.audit import AuditLog
from harness.kubectl import Kubectl
from harness.namespaces import fresh_namespace
from harness.patience import eventually
from harness.recorder import Recorder, recording
from harness.service import Service
from harness.witness import StatefulRoute, Witness
from localcluster import LocalCluster

#: What the chart installs by default.
BASE = Path(__file__).parents[2] / "deploy" / "kustomize"

ACCOUNT = "statefulroute-operator"

#: The first test that needs the cluster may have to build its programs, which takes minutes.
BUILD_SECONDS = 1800


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the test that starts the cluster the time to build it."""
    first = next((item for item in items if "audited" in getattr(item, "fixturenames", ())), None)
    if first is not None:
        first.add_marker(pytest.mark.timeout(BUILD_SECONDS))


@pytest.fixture(scope="session")
def audit(tmp_path_factory: pytest.TempPathFactory) -> AuditLog:
    """What operators have asked the API server for."""
    return AuditLog(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="session")
def audited(audit: AuditLog) -> Iterator[LocalCluster]:
    """A cluster with an audit log."""
    if os.environ.get("STATEFULROUTE_KUBECONFIG"):
        pytest.skip("the API server's audit log is read, and it is ended: not in STATEFULROUTE_KUBECONFIG's cluster")
    with LocalCluster.start(name=f"failover-{os.getpid()}", nodes=3, apiserver_flags=audit.flags) as started:
        if not started.has_controllers:
            pytest.skip("this cluster has no controllers and nodes: a StatefulSet gets no pods here")
        yield started


@pytest.fixture(scope="session")
def chief(audited: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """A kubectl that talks to that cluster as its administrator; what the chart installs is in it."""
    kubectl = Kubectl(audited.kubectl, audited.kubeconfig, tmp_path_factory.mktemp("kubectl-cache"))
    kubectl.run("apply", "--server-side", "--kustomize", str(BASE)).expect_success()
    eventually(lambda: not kubectl.run("get", "podlinks,statefulroutes").code, "both kinds can be listed")
    return kubectl


@pytest.fixture(scope="session")
def witness(audited: LocalCluster) -> Witness:
    """A client that shares nothing with the product."""
    return Witness(audited.kubeconfig)


@pytest.fixture
def pair(audited: LocalCluster, chief: Kubectl, audit: AuditLog, tmp_path: Path) -> Iterator[Pair]:
    """The operators of the two pods of the chart's Deployment, not started yet; their tokens are bound to these."""
    here, administrator = chief.within(NAMESPACE), Person.of(audited.kubeconfig, NAMESPACE)
    here.run("rollout", "status", f"deployment/{ACCOUNT}", "--timeout=60s").expect_success()
    pods = {pod["metadata"]["name"]: pod for pod in here.get_json("pods")["items"]}
    tokens = {name: administrator.account(ACCOUNT, pod) for name, pod in pods.items()}
    made = Pair(
        here,
        audit,
        tmp_path,
        {name: who.write_kubeconfig(tmp_path / f"{name}.kubeconfig") for name, who in tokens.items()},
    )
    yield made
    made.end()


@pytest.fixture
def new_game(chief: Kubectl, witness: Witness, pair: Pair) -> Iterator[Callable[[], Service]]:
    """Gives services of which nothing exists yet, each in a namespace of its own."""
    made: list[Service] = []
    with ExitStack() as stack:

        def make() -> Service:
            made.append(Service(chief.within(stack.enter_context(fresh_namespace(chief))), witness))
            return made[-1]

        yield make
        pair.end()  # nobody works on what is removed
        for each in made:
            for route in witness.all(StatefulRoute, each.namespace):
                witness.patch(
                    StatefulRoute, route["metadata"]["name"], each.namespace, {"metadata": {"finalizers": None}}
                )


@pytest.fixture
def game(new_game: Callable[[], Service]) -> Service:
    """One such service."""
    return new_game()


@pytest.fixture
def recorder(witness: Witness, game: Service) -> Iterator[Recorder]:
    """Records every version of every link of the service."""
    with recording(witness, game.namespace) as made:
        yield made
