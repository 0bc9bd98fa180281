"""An operator that is watched over, against a real API server."""

from collections.abc import Generator, Iterator

import pytest

from harness.kubectl import Kubectl
from harness.namespaces import fresh_namespace
from harness.operator import OperatorSeat
from harness.patience import eventually
from harness.promtool import Promtool
from harness.scraping import ANYWHERE, Watched
from harness.service import Service
from harness.witness import PodLink, StatefulRoute, Witness
from localcluster import LocalCluster, LocalClusterError

_SEAT = pytest.StashKey[OperatorSeat]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what the operator has logged."""
    report = yield
    seat = item.config.stash.get(_SEAT, None)
    if report.failed and seat is not None and seat.operator is not None:
        report.sections.append(("the operator's log", seat.operator.last_lines))
    return report


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Prometheus' own tool."""
    try:
        return Promtool.find()
    except LocalClusterError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def witness(cluster: LocalCluster) -> Witness:
    """A client that shares nothing with the product."""
    return Witness(cluster.kubeconfig)


@pytest.fixture(scope="session")
def seat(
    cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[OperatorSeat]:
    """The one place for an operator."""
    if not cluster.has_controllers:
        pytest.skip("this cluster has no controllers and nodes: a StatefulSet gets no pods here")
    pytestconfig.stash[_SEAT] = made = OperatorSeat(cluster.kubeconfig, tmp_path_factory.mktemp("operators"))
    yield made
    assert not made.is_taken


@pytest.fixture(scope="module")
def watched(installed: Kubectl, seat: OperatorSeat) -> Iterator[Watched]:
    """The operator of a module's tests; it has complained of nothing at the end."""
    del installed  # the kinds must be known before it starts
    with seat.taken(None, *ANYWHERE) as process:
        yield Watched(process.start())
        process.stop()
        assert process.complaints() == []


@pytest.fixture(scope="module")
def game(watched: Watched, installed: Kubectl, witness: Witness) -> Iterator[Service]:
    """A service with three pods for all tests of a module, whose timers have a turn each second."""
    del watched  # it has to serve
    with fresh_namespace(installed) as name:
        service = Service(installed.within(name), witness)
        service.start(statePeriodSeconds=1, workloadPeriodSeconds=1)
        yield service
        witness.delete_all(PodLink, name)
        witness.delete(StatefulRoute, service.name, name)
        eventually(lambda: not witness.all(StatefulRoute, name), "the route is gone")
