"""Starts one cluster for the session, when the first test requests it, and provides the common fixtures."""

import gc
import os
import signal
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from localcluster import LocalCluster
from statefulroute.api.vocabulary import FOREIGN_NAMESPACE_MESSAGE
from support import skips
from support.distribution import SHARED_OPERATOR, Distribution, sort_longest_first
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import drained_namespace
from support.objects import pod_link
from support.operator_process import OperatorProcess, OperatorSlot
from support.used_clusters import used_clusters
from support.waiting import eventually

pytest_plugins = ("support.fixtures",)

ROOT = Path(__file__).parents[1]

#: The first test that needs the cluster may have to build its programs, which takes minutes.
BUILD_SECONDS = 1800

#: Settings of the Go programs that tests start. With Go's defaults, a quarter of the time of an API server is garbage
#: collection.
GO_SETTINGS = {"GOGC": "400", "GOMEMLIMIT": "2GiB"}

#: Other processes delay an example, and what makes it, beyond the limits of hypothesis.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

_uids = map("user-{}".format, count())
_OPERATOR_SLOT = pytest.StashKey[OperatorSlot]()


def pytest_configure() -> None:
    """Sets up the environment of the programs that tests start.

    They must receive Ctrl-C: background jobs of a shell, and their children, ignore it.
    """
    for name, value in GO_SETTINGS.items():
        os.environ.setdefault(name, value)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Distribution | None:
    """Returns the distribution of `--dist loadfile`."""
    return Distribution(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives the test that starts the cluster enough time to build it; sorts the tests of parallel processes."""
    if hasattr(config, "workerinput"):
        sort_longest_first(items)
    first = next((item for item in items if "cluster" in getattr(item, "fixturenames", ())), None)
    if first is not None and not _has_longer_timeout(first):
        first.add_marker(pytest.mark.timeout(BUILD_SECONDS))


def _has_longer_timeout(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("timeout")
    return marker is not None and marker.args[0] > BUILD_SECONDS


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spares the garbage collector the thousands of tests, which each process collects and keeps to its end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Records which tests use which clusters."""
    used_clusters.record_order(session.items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Stops the operator that modules share before a module that does not, and clusters that no test uses any more."""
    operator_slot = item.config.stash.get(_OPERATOR_SLOT, None)
    if operator_slot is not None and SHARED_OPERATOR not in getattr(item, "fixturenames", ()):
        operator_slot.stop_idle()
    used_clusters.stop_unused(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the operator's last log lines to the report of a failed test; shortens the reason of a skipped one."""
    report = yield
    operator_slot = item.config.stash.get(_OPERATOR_SLOT, None)
    if report.failed and operator_slot is not None and operator_slot.operator is not None:
        report.sections.append(("the operator's log", operator_slot.operator.last_lines))
    skips.shorten_report(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what installs that which skipped tests need."""
    skips.summarize(terminalreporter)


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """The session's cluster, or the one of STATEFULROUTE_KUBECONFIG.

    Its pods have addresses of this machine, so that a test can listen on them; each session has its own range.
    """
    pod_range = f"127.{16 + os.getpid() % 200}.0.0/16"
    options = {"name": f"tests-{os.getpid()}", "nodes": 3, "pod_range": pod_range}
    with used_clusters.start("cluster", **options) as started:
        yield started


@pytest.fixture(scope="session")
def kubectl(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """A kubectl with the rights of the cluster's administrator."""
    return Kubectl(cluster.kubectl, cluster.kubeconfig, tmp_path_factory.mktemp("kubectl-cache"))


@pytest.fixture(scope="session")
def installed(kubectl: Kubectl) -> Kubectl:
    """A kubectl for the cluster with both kinds and their admission policies installed."""
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
def namespace(installed: Kubectl, operator_slot: OperatorSlot, independent_client: IndependentClient) -> Iterator[str]:
    """The name of a namespace for this test; it is emptied afterwards, so that it makes no work for an operator."""
    with drained_namespace(installed, independent_client, operator_slot) as name:
        yield name


@pytest.fixture
def here(installed: Kubectl, namespace: str) -> Kubectl:
    """A kubectl in the test's namespace."""
    return installed.within(namespace)


@pytest.fixture
def uid() -> str:
    """A uid that no other test uses."""
    return next(_uids)


@pytest.fixture(scope="session")
def independent_client(cluster: LocalCluster) -> IndependentClient:
    """A client that shares no code with the product."""
    return IndependentClient(cluster.kubeconfig)


@pytest.fixture(scope="session")
def runs_pods(cluster: LocalCluster) -> None:
    """Skips the test if the cluster runs no pods."""
    if not cluster.has_controllers:
        pytest.skip("this cluster has no controllers and nodes: a StatefulSet gets no pods here")


@pytest.fixture(scope="session")
def operator_slot(
    cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[OperatorSlot]:
    """Holds the only running operator."""
    pytestconfig.stash[_OPERATOR_SLOT] = slot = OperatorSlot(cluster.kubeconfig, tmp_path_factory.mktemp("operators"))
    yield slot
    slot.stop_idle()
    assert not slot.is_occupied


@pytest.fixture(scope="session")
def sharing_slot(operator_slot: OperatorSlot) -> OperatorSlot:
    """The same slot; the operator that modules share keeps running before a test that depends on this fixture."""
    return operator_slot


@pytest.fixture(scope="module")
def operator(runs_pods: None, installed: Kubectl, sharing_slot: OperatorSlot) -> Iterator[OperatorProcess]:
    """An operator that serves the tests of this module, and of such modules before and after it."""
    del runs_pods, installed  # the kinds must exist before it starts
    with sharing_slot.share() as process:
        yield process


@pytest.fixture
def own_operator(runs_pods: None, installed: Kubectl, operator_slot: OperatorSlot) -> Iterator[OperatorProcess]:
    """A running operator for this test only, which the test may kill and start."""
    del runs_pods, installed
    with operator_slot.acquire() as process:
        yield process.start()


@pytest.fixture(scope="module")
def quiet_cluster(installed: Kubectl, independent_client: IndependentClient) -> None:
    """Waits until no objects of earlier tests are left: the API server's metrics count for the whole cluster."""
    del installed  # the kinds must exist
    eventually(lambda: not independent_client.leftovers(), "nothing of earlier tests is left")
