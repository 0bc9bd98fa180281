"""The suite reports the same of replicas that link nothing: the resolver links their sessions from their responses."""

import pytest

from gateways.fleet import LINKING, GatewayFleet
from mcp_conformance.conftest import PODS
from mcp_conformance.servers import Replicas
from mcp_conformance.suite import REVISIONS, Reports
from support.scale import IS_LONG

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not IS_LONG, reason="only the long form runs the suite with a resolver that links sessions"),
]


@pytest.fixture(scope="module")
def servers_link() -> bool:
    """The servers do not link their sessions."""
    return False


@pytest.mark.parametrize("revision", REVISIONS)
def test_gateway_changes_nothing_that_the_suite_reports(
    reports: Reports, alone: str, fleet: GatewayFleet, replicas: Replicas, revision: str
) -> None:
    expected = reports.of("the server alone", alone)[revision]
    report = reports.of(LINKING, f"{fleet.gateway(LINKING).url}/mcp")[revision]
    assert report.differences(expected) == {}, replicas.last_lines(PODS)
