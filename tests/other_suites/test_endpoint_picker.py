"""Sends requests of the Gateway API Inference Extension's tests to a resolver, by their Go client."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pykube.objects import Pod

from localcluster import LocalCluster
from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress
from localcluster.toolchain import Go, find_go
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.resolver_process import ResolverProcess
from support.scale import IS_LONG
from support.service import Service
from support.waiting import eventually

pytestmark = [
    pytest.mark.skipif(not IS_LONG, reason="to build these tests takes a minute: make test-endpoint-picker"),
    pytest.mark.timeout(1800),
]

MODULE = Path(__file__).with_name("endpoint_picker")
UID_SOURCE = "header:x-gateway-inference-objective"
PORT = 7777


@pytest.fixture
def go() -> Go:
    """A Go toolchain; skips the test, with the reason, where there is none."""
    try:
        return find_go(PlainProgress())
    except LocalClusterError as error:
        pytest.skip(str(error).partition("\n")[0])


@pytest.fixture
def service(shared_kubectl: Kubectl, independent_client: IndependentClient) -> Service:
    """A service with three pods whose route has a port; alice is linked to pod 2."""
    service = Service(shared_kubectl, independent_client)
    service.start(port=PORT)
    service.await_bound(service.link("alice", podIndex=2))
    return service


@pytest.fixture
def picker(cluster: LocalCluster, service: Service, tmp_path: Path) -> Iterator[str]:
    """HOST:PORT of a resolver's endpoint picker."""
    options = ("--watch-namespace", service.namespace, "--default-route", f"{service.namespace}/{service.name}")
    options += ("--grpc-address", "127.0.0.1:0", "--uid-from", UID_SOURCE)
    process = ResolverProcess(cluster.kubeconfig, tmp_path / "resolver.log", *options)
    process.start()
    yield process.picker
    process.stop()
    assert process.errors() == []


def test_picker_answers_as_the_tests_of_the_inference_extension_expect(go: Go, service: Service, picker: str) -> None:
    def endpoints() -> list[str]:
        pods = [service.client.get(Pod, service.pod_name(index), service.namespace) for index in range(3)]
        return [f"{pod['status']['podIP']}:{PORT}" for pod in pods if pod["status"].get("podIP")]

    eventually(lambda: len(endpoints()) == 3, "the pods have addresses")
    environment = {**os.environ, **go.environment, "PICKER": picker, "ENDPOINTS": ",".join(endpoints())}
    command = [go.program, "test", "-count=1", "-v", "./..."]
    completed = subprocess.run(command, cwd=MODULE, env=environment, capture_output=True, text=True, check=False)
    passed, failed = (completed.stdout.count(f"--- {result}: ") for result in ("PASS", "FAIL"))
    assert (completed.returncode, failed) == (0, 0), completed.stdout + completed.stderr
    assert passed == 16, completed.stdout  # two tests, with 9 and 5 cases
