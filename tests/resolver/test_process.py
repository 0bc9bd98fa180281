"""Tests the resolver as an installed process."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
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
from support.resolver_process import ResolverProcess
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
            return response.status, json.loads(response.read() or b"{}")
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


def test_lookups_fail_while_the_cache_is_older_than_allowed(
    process: ResolverProcess, stub_service: StubService
) -> None:
    stub_service.link("alice", 1)
    process.with_options("--max-age", "3").start()
    authorize = f"/authorize/{stub_service.namespace}/{stub_service.name}"
    requests = [
        ("GET", f"{stub_service.path}/links/alice", 200),
        ("GET", f"{stub_service.path}/links/alice?consistency=strong", 200),
        ("GET", f"{stub_service.path}/links/nobody", 404),
        ("POST", f"{stub_service.path}/links/alice", 200),
        ("GET", stub_service.path, 200),
    ]

    def codes() -> list[int]:
        return [fetch(process.lookups, path, method)[0] for method, path, _ in requests]

    def updated_codes() -> list[int]:
        stub_service.move("alice", 1 - stub_service.get("alice")["spec"]["podIndex"])
        stub_service.patch_route_status(links=int(time.time()) % 1000)
        stub_service.patch_pod_status(0, ip=f"10.9.1.{int(time.time()) % 250 + 1}")
        return codes()

    # Without events, the cache ages until the next bookmark of the API server, about a minute later.
    eventually(lambda: codes() == [503] * len(requests), "the cache is too old")
    code, problem = fetch(process.lookups, f"{stub_service.path}/links/bob", "POST")
    assert (code, problem["type"].rpartition(":")[2]) == (503, "too-old")
    assert problem["detail"].endswith("s ago, and --max-age is 3 s")
    assert fetch(process.lookups, f"{stub_service.path}/moves")[0] == 503
    assert fetch(process.lookups, authorize, headers={"x-user-id": "alice"})[0] == 503
    assert set(stub_service.stored_pods()) == {"alice"}
    metrics = http_get(process.probes, "/metrics", seconds=10).text
    (line,) = (line for line in metrics.splitlines() if line.startswith("statefulroute_resolver_too_old_total "))
    assert float(line.split()[1]) >= len(requests) + 3
    eventually(lambda: updated_codes() == [code for _, _, code in requests], "the cache is up to date")
    process.stop()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--uid-from", "body:uid"], "'body:uid' is not a source of the uid"),
        (["--default-route", "game"], "'game' is not NAMESPACE/NAME of a StatefulRoute; for example play/game"),
        (["--http-address", "here"], "'here' is not HOST:PORT"),
        (["--tls-key", "x"], "--tls-certificate and --tls-key belong together"),
        (["--client-ca", "x"], "--client-ca needs --tls-certificate and --tls-key"),
        (
            ["--tls-cipher-suites", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,ECDHE-RSA-AES256-GCM-SHA384"],
            "--tls-cipher-suites has 'ECDHE-RSA-AES256-GCM-SHA384': write one or more of TLS_ECDHE_ECDSA_WITH_AES_128_",
        ),
        (["--metrics-tls-cipher-suites", "TLS_AES_128_GCM_SHA256"], "--metrics-tls-cipher-suites has 'TLS_AES_128_GCM"),
        (["--tls-min-version", "VersionTLS11"], "'VersionTLS11' is not one of 'VersionTLS12', 'VersionTLS13'"),
        (["--allow-user", "x"], "--allow-user needs --token-audience"),
        (["--uid-from-response", "x"], "--uid-from-response needs --grpc-address"),
        (["--tls-key", "x", "--tls-certificate", "y"], "the TLS files cannot be loaded"),
        (["--kubeconfig", "/nowhere"], "cannot load the cluster's configuration"),
    ],
)
def test_invalid_option_exits_with_a_message(
    cluster: LocalCluster, options: list[str], message: str, tmp_path: Path
) -> None:
    process = ResolverProcess(cluster.kubeconfig, tmp_path / "log", *options)
    assert process.launch().wait() != 0
    assert message in " ".join(process.log_text.replace("│", " ").split())
    assert "Traceback" not in process.log_text


def test_warns_of_sessions_that_everyone_may_link_or_that_do_not_begin(process: ResolverProcess) -> None:
    process.with_options("--uid-from-response", "x", "--grpc-address", "127.0.0.1:0", "--unknown-uid", "refuse").start()
    open_to_all, no_session = [line["event"] for line in process.lines if line["level"] == "warning"]
    assert open_to_all.startswith("every client may link uids to any pod: --uid-from-response is set")
    assert no_session.startswith("no response names a uid: --unknown-uid is refuse")


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


def test_held_requests_are_answered_before_the_resolver_stops(
    process: ResolverProcess, stub_service: StubService
) -> None:
    for pod in stub_service.pods.values():
        pod["routingState"] = "DenyNewCall"
    stub_service.patch_route_status()
    process.with_options("--hold-seconds", "60", "--max-held", "1").start()
    authorize = f"/authorize/{stub_service.namespace}/{stub_service.name}"
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(fetch, process.lookups, authorize, headers={"x-user-id": "alice"})
        eventually(
            lambda: "statefulroute_resolver_held_requests 1.0" in http_get(process.probes, "/metrics").text,
            "the request is held",
        )
        code, problem = fetch(process.lookups, authorize, headers={"x-user-id": "bob"})
        assert (code, problem["type"].rpartition(":")[2]) == (503, "too-many-held")
        process.request_stop()
        code, problem = held.result()
    assert (code, problem["detail"]) == (503, "this resolver stops: try again, at another one")
