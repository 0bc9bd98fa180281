"""The suite reports the same of a server alone and of three replicas of it behind each gateway."""

from pathlib import Path

import pytest

from gateways.fleet import (
    DUPLEX,
    EXT_AUTHZ,
    EXT_AUTHZ_GRPC,
    EXT_PROC,
    HAPROXY,
    NGINX,
    ROUND_ROBIN,
    TRAEFIK,
    GatewayFleet,
)
from mcp_conformance.conftest import PODS
from mcp_conformance.servers import Replicas
from mcp_conformance.suite import NOT_APPLICABLE, REVISIONS, WITH_SESSIONS, Reports
from support.scale import IS_LONG

#: The first test may have to fetch Node.js and the suite.
pytestmark = pytest.mark.timeout(900)

#: The gateways; `make test` takes one that calls the resolver over gRPC, and one that calls it over HTTP.
GATEWAYS = (EXT_PROC, NGINX, *((EXT_AUTHZ, EXT_AUTHZ_GRPC, DUPLEX, HAPROXY, TRAEFIK) if IS_LONG else ()))

ALONE = "the server alone"

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "other-suites.md"


@pytest.mark.parametrize("revision", REVISIONS)
def test_server_alone_passes_all_that_applies_to_it(reports: Reports, alone: str, revision: str) -> None:
    report = reports.of(ALONE, alone)[revision]
    assert [name for name in report.failed if not NOT_APPLICABLE.fullmatch(name)] == []
    assert len(report.applicable) > 30


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("kind", GATEWAYS)
def test_gateway_changes_nothing_that_the_suite_reports(  # noqa: PLR0913, PLR0917 - what is compared
    reports: Reports, alone: str, fleet: GatewayFleet, replicas: Replicas, kind: str, revision: str
) -> None:
    expected = reports.of(ALONE, alone)[revision]
    report = reports.of(kind, f"{fleet.gateway(kind).url}/mcp")[revision]
    assert report.differences(expected) == {}, replicas.last_lines(PODS)


@pytest.mark.skipif(not IS_LONG, reason="only the long form runs the suite without a resolver")
def test_sessions_are_lost_without_a_resolver(reports: Reports, alone: str, fleet: GatewayFleet) -> None:
    """Shows that the comparison finds requests that reach another pod than that of their session."""
    expected = reports.of(ALONE, alone)[WITH_SESSIONS]
    report = reports.of(ROUND_ROBIN, f"{fleet.gateway(ROUND_ROBIN).url}/mcp")[WITH_SESSIONS]
    assert len(report.differences(expected)) > len(report.applicable) / 2


def test_each_pod_has_served_requests(replicas: Replicas) -> None:
    requests = replicas.requests(PODS)
    assert min(requests) > sum(requests) / PODS / 2


@pytest.mark.parametrize("revision", REVISIONS)
def test_results_are_in_the_documents(reports: Reports, alone: str, revision: str) -> None:
    report = reports.of(ALONE, alone)[revision]
    result = f"{len(report.applicable)} scenarios with {report.counts.total()} checks | all, through each gateway"
    assert f"{result} | 0 |" in DOCUMENT.read_text(encoding="utf-8")
