"""One cluster for the whole session, started when the first test asks for it."""

import os
import signal
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path

import pytest

from localcluster import LocalCluster
from statefulroute.api.vocabulary import FOREIGN_NAMESPACE_MESSAGE
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.objects import pod_link
from support.operator_process import OperatorProcess, OperatorSlot
from support.waiting import eventually

ROOT = Path(__file__).parents[1]

#: The first test that needs the cluster may have to build its programs, which takes minutes.
BUILD_SECONDS = 1800

_uids = map("user-{}".format, count())
_OPERATOR_SLOT = pytest.StashKey[OperatorSlot]()


def pytest_configure() -> None:
    """Let Ctrl-C reach the commands that tests start: a shell has its background jobs, and so theirs, ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the test that starts the cluster the time to build it."""
    first = next((item for item in items if "cluster" in getattr(item, "fixturenames", ())), None)
    if first is not None:
        first.add_marker(pytest.mark.timeout(BUILD_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what the operator has logged."""
    report = yield
    operator_slot = item.config.stash.get(_OPERATOR_SLOT, None)
    if report.failed and operator_slot is not None and operator_slot.operator is not None:
        report.sections.append(("the operator's log", operator_slot.operator.last_lines))
    return report


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """A cluster of this session's own; with STATEFULROUTE_KUBECONFIG, the one that it names.

    Its pods get addresses of this machine, so that a test can listen on them; other sessions' pods get others.
    """
    pod_range = f"127.{16 + os.getpid() % 200}.0.0/16"
    with LocalCluster.start(name=f"tests-{os.getpid()}", nodes=3, pod_range=pod_range) as started:
        yield started


@pytest.fixture(scope="session")
def kubectl(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """A kubectl that talks to the cluster as its administrator."""
    return Kubectl(cluster.kubectl, cluster.kubeconfig, tmp_path_factory.mktemp("kubectl-cache"))


@pytest.fixture(scope="session")
def installed(kubectl: Kubectl) -> Kubectl:
    """A kubectl that talks to a cluster where the two kinds and their admission policy are in force."""
    kubectl.run("apply", "--filename", str(ROOT / "crds")).expect_success()
    kubectl.run(
        "wait", "--for=condition=Established", "--timeout=30s", "--filename", str(ROOT / "crds")
    ).expect_success()
    eventually(lambda: not kubectl.run("get", "podlinks,statefulroutes").code, "both kinds can be listed")
    kubectl.run("apply", "--filename", str(ROOT / "deploy/admission")).expect_success()
    elsewhere = pod_link(namespace="kube-system")
    eventually(
        lambda: FOREIGN_NAMESPACE_MESSAGE in kubectl.within("default").dry_run(elsewhere).stderr,
        "the admission policy refuses a link into another namespace",
    )
    return kubectl


@pytest.fixture
def namespace(installed: Kubectl) -> Iterator[str]:
    """The name of a namespace that this test has for itself."""
    with fresh_namespace(installed) as name:
        yield name


@pytest.fixture
def here(installed: Kubectl, namespace: str) -> Kubectl:
    """A kubectl in the test's own namespace."""
    return installed.within(namespace)


@pytest.fixture
def uid() -> str:
    """A user that no other test knows."""
    return next(_uids)


@pytest.fixture(scope="session")
def independent_client(cluster: LocalCluster) -> IndependentClient:
    """A client that shares nothing with the product."""
    return IndependentClient(cluster.kubeconfig)


@pytest.fixture(scope="session")
def runs_pods(cluster: LocalCluster) -> None:
    """A test that asks for this needs pods."""
    if not cluster.has_controllers:
        pytest.skip("this cluster has no controllers and nodes: a StatefulSet gets no pods here")


@pytest.fixture(scope="session")
def operator_slot(
    cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[OperatorSlot]:
    """The one place for an operator."""
    pytestconfig.stash[_OPERATOR_SLOT] = made = OperatorSlot(cluster.kubeconfig, tmp_path_factory.mktemp("operators"))
    yield made
    assert not made.is_occupied


@pytest.fixture(scope="module")
def operator(runs_pods: None, installed: Kubectl, operator_slot: OperatorSlot) -> Iterator[OperatorProcess]:
    """An operator that serves the tests of a module."""
    del runs_pods, installed  # the kinds must be known before it starts
    with operator_slot.acquire() as process:
        yield process.start()
        process.stop()
        assert process.errors() == []


@pytest.fixture
def own_operator(runs_pods: None, installed: Kubectl, operator_slot: OperatorSlot) -> Iterator[OperatorProcess]:
    """An operator for this test alone, to be killed and started as it likes; it serves already."""
    del runs_pods, installed
    with operator_slot.acquire() as process:
        yield process.start()


@pytest.fixture(scope="module")
def quiet_cluster(installed: Kubectl, independent_client: IndependentClient) -> None:
    """The API server counts for the whole cluster: wait until nothing of earlier tests is left in it."""
    del installed  # the kinds must be known
    eventually(lambda: not independent_client.leftovers(), "nothing of earlier tests is left")
