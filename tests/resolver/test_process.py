"""Tests the resolver as an installed process."""

import json
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from localcluster import LocalCluster
from resolver.envoy import picked_endpoint, request_headers
from resolver.stub_service import StubService
from statefulroute.resolver.grpc.ext_proc import SERVICE
from statefulroute.resolver.grpc.extproc_pb2 import ProcessingRequest, ProcessingResponse
from support.metrics import http_get
from support.operator_process import PROGRAM
from support.resolver_process import ANY_PORT, ResolverProcess
from support.waiting import eventually


@pytest.fixture
def process(cluster: LocalCluster, stub_service: StubService, tmp_path: Path) -> Iterator[ResolverProcess]:
    """A resolver that is not started, with a drain period."""
    resolver = ResolverProcess(
        cluster.kubeconfig, tmp_path / "log", "--watch-namespace", stub_service.namespace, "--drain-seconds", "3"
    )
    yield resolver
    if resolver.is_running:
        resolver.kill()


def fetch(
    address: str, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"http://{address}{path}", method=method, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def is_kept(connection: HTTPConnection, path: str) -> bool:
    """Sends a successful look-up; returns whether the connection stays open."""
    connection.request("GET", path)
    with connection.getresponse() as response:
        response.read()
        assert response.status == 200
        return not response.will_close


def test_process_serves_exposes_metrics_and_drains(process: ResolverProcess, stub_service: StubService) -> None:
    stub_service.link("alice", 1)
    process.start()
    assert fetch(process.lookups, f"{stub_service.path}/links/alice")[1]["podName"] == "game-1"
    assert fetch(process.lookups, f"{stub_service.path}/links/bob", "POST")[0] == 200
    assert fetch(process.lookups, f"{stub_service.path}/links/nobody")[0] == 404
    assert [http_get(process.probes, path).code for path in ("/healthz", "/readyz")] == [200, 200]
    metrics = http_get(process.probes, "/metrics", seconds=10).text
    for line in (
        'statefulroute_resolver_answers_total{code="200",operation="get_link"} 1.0',
        'statefulroute_resolver_answers_total{code="404",operation="get_link"} 1.0',
        'statefulroute_resolver_answer_duration_seconds_count{operation="bind_link"} 1.0',
        'statefulroute_resolver_links_total{outcome="bound"} 1.0',
        'statefulroute_cache_objects{resource="podlinks"} 2.0',
        'statefulroute_api_requests_total{code="201",resource="podlinks",verb="create"} 1.0',
    ):
        assert line in metrics, metrics
    lookups, probes = process.lookups, process.probes
    kept = HTTPConnection(lookups, timeout=10)
    assert is_kept(kept, f"{stub_service.path}/links/alice")
    process.request_stop()
    eventually(lambda: http_get(probes, "/readyz").code == 503, "its probe fails")
    assert "[-]ping failed: the process is stopping" in http_get(probes, "/readyz").text
    assert http_get(probes, "/healthz").code == 200
    assert fetch(lookups, f"{stub_service.path}/links/alice")[0] == 200  # it continues to serve
    assert not is_kept(kept, f"{stub_service.path}/links/alice")  # the connection is closed after the response
    process.stop()
    assert process.errors() == []


def test_invalid_http_is_rejected_and_not_logged(process: ResolverProcess, stub_service: StubService) -> None:
    process.start()
    host, _, port = process.lookups.rpartition(":")
    before = process.log_text
    for garbage in (
        b"nonsense\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(garbage)
            assert connection.recv(100).startswith(b"HTTP/1.0 400 ")
    assert fetch(process.lookups, stub_service.path)[0] == 200
    assert process.log_text == before
    process.stop()


def test_process_picks_endpoints_and_reports_its_stop(process: ResolverProcess, stub_service: StubService) -> None:
    stub_service.link("alice", 1)
    process.with_options(
        "--grpc-address", "127.0.0.1:0", "--default-route", f"{stub_service.namespace}/{stub_service.name}"
    ).start()
    with grpc.insecure_channel(process.picker) as channel:
        call = channel.stream_stream(
            f"/{SERVICE}/Process",
            request_serializer=ProcessingRequest.SerializeToString,
            response_deserializer=ProcessingResponse.FromString,
        )
        health = health_pb2_grpc.HealthStub(channel)

        def state() -> int:
            return int(health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=10).status)

        for _ in range(100):
            (answer,) = call(iter([request_headers([("x-user-id", "alice")])]), timeout=10)
            assert picked_endpoint(answer) == stub_service.endpoint(1)
        assert state() == health_pb2.HealthCheckResponse.SERVING
        process.request_stop()
        eventually(lambda: state() == health_pb2.HealthCheckResponse.NOT_SERVING, "it reports its stop")
        (answer,) = call(iter([request_headers([("x-user-id", "alice")])]), timeout=10)
        assert picked_endpoint(answer) == stub_service.endpoint(1)
    process.stop()
    assert process.errors() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--uid-from", "body:uid"], "'body:uid' is not a source of the uid"),
        (["--default-route", "game"], "'game' is not NAMESPACE/NAME of a StatefulRoute; for example play/game"),
        (["--http-address", "here"], "'here' is not HOST:PORT"),
        (["--tls-key", "x"], "--tls-certificate and --tls-key belong together"),
        (["--client-ca", "x"], "--client-ca needs --tls-certificate and --tls-key"),
        (["--allow-user", "x"], "--allow-user needs --token-audience"),
        (["--tls-key", "x", "--tls-certificate", "y"], "the TLS files cannot be loaded"),
        (["--kubeconfig", "/nowhere"], "cannot load the cluster's configuration"),
    ],
)
def test_invalid_option_exits_with_a_message(cluster: LocalCluster, options: list[str], message: str) -> None:
    command = [PROGRAM, "resolver", "--kubeconfig", cluster.kubeconfig, *ANY_PORT, *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode != 0
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr


def test_http_address_in_use_exits_with_a_message(
    cluster: LocalCluster, process: ResolverProcess, tmp_path: Path
) -> None:
    process.start()
    other = ResolverProcess(cluster.kubeconfig, tmp_path / "other", "--http-address", process.lookups)
    assert other.launch().wait() == 1
    assert (
        f"statefulroute: cannot listen at {process.lookups}: another process listens there; choose another port with "
        "--http-address"
    ) in other.log_text


def test_grpc_address_in_use_exits_with_a_message(
    cluster: LocalCluster, process: ResolverProcess, tmp_path: Path
) -> None:
    process.with_options("--grpc-address", "127.0.0.1:0").start()
    other = ResolverProcess(cluster.kubeconfig, tmp_path / "other", "--grpc-address", process.picker)
    assert other.launch().wait() == 1
    assert f"statefulroute: cannot listen at {process.picker}: another process listens there" in other.log_text
    assert "Traceback" not in other.log_text
