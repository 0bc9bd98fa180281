"""A wrong clock of an API server hides no link from gateways."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaos.proxy import FaultProxy
from localcluster import LocalCluster
from resolver.stub_service import StubService
from support.metrics import Scrape, http_get
from support.resolver_process import ResolverProcess

HOUR, TTL = 3600, 600


@pytest.fixture
def proxy(cluster: LocalCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(cluster.kubeconfig, tmp_path / "proxy") as proxy:
        yield proxy


@pytest.fixture
def process(proxy: FaultProxy, stub_service: StubService, tmp_path: Path) -> Iterator[ResolverProcess]:
    """A resolver behind the proxy that is not started."""
    process = ResolverProcess(proxy.kubeconfig, tmp_path / "log", "--watch-namespace", stub_service.namespace)
    yield process
    if process.is_running:
        process.kill()


@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_resolver_finds_a_temporary_link_while_the_api_server_has_a_wrong_clock(
    process: ResolverProcess, stub_service: StubService, proxy: FaultProxy, seconds: int
) -> None:
    stub_service.link("alice", 1, ttlSeconds=TTL, renewTime=datetime.now(UTC).isoformat())
    proxy.skew_date(seconds)
    process.start()
    reply = http_get(process.lookups, f"{stub_service.path}/links/alice")
    assert (reply.code, '"podIndex":1' in reply.text.replace(" ", "")) == (200, True), reply.text
    metrics = Scrape(http_get(process.probes, "/metrics").text)
    assert metrics.value("statefulroute_clock_difference_seconds") == pytest.approx(seconds, abs=3)
    warnings = [line for line in process.lines if "clocks" in line["event"]]
    assert [(line["level"], round(line["seconds"] / HOUR)) for line in warnings] == [("warning", seconds // HOUR)]
