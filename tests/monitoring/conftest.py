"""An operator that is watched over, against a real API server."""

from collections.abc import Iterator

import pytest

from harness.kubectl import Kubectl
from harness.namespaces import quiet_namespace
from harness.operator import OperatorSeat
from harness.promtool import Promtool
from harness.scraping import ANYWHERE, Watched
from harness.service import Service
from harness.witness import Witness
from localcluster import LocalClusterError


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Prometheus' own tool."""
    try:
        return Promtool.find()
    except LocalClusterError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def watched(runs_pods: None, installed: Kubectl, seat: OperatorSeat) -> Iterator[Watched]:
    """The operator of a module's tests; it has complained of nothing at the end."""
    del runs_pods, installed  # the kinds must be known before it starts
    with seat.taken(None, *ANYWHERE) as process:
        yield Watched(process.start())
        process.stop()
        assert process.complaints() == []


@pytest.fixture(scope="module")
def game(watched: Watched, installed: Kubectl, witness: Witness, seat: OperatorSeat) -> Iterator[Service]:
    """A service with three pods for all tests of a module, whose timers have a turn each second."""
    del watched  # it has to serve
    with quiet_namespace(installed, witness, seat) as name:
        service = Service(installed.within(name), witness)
        service.start(statePeriodSeconds=1, workloadPeriodSeconds=1)
        yield service
