"""Tests the recipes as programs, against a real API server and an operator."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import grpc
import pytest
from celery import Celery
from pykube.objects import Pod

from localcluster.ports import free_port
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.service import Service
from support.waiting import eventually

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"


@pytest.fixture(scope="module")
def shared_service(shared_kubectl: Kubectl, independent_client: IndependentClient) -> Service:
    """A service with a port."""
    service = Service(shared_kubectl, independent_client)
    service.start(port=7777)
    return service


@pytest.fixture
def game(shared_service: Service, in_a_pod: pytest.MonkeyPatch) -> Iterator[Service]:
    """The service, and its environment for a gateway; its links are deleted after the test."""
    in_a_pod.setenv("NAMESPACE", shared_service.namespace)
    in_a_pod.setenv("SERVICE", "game")
    in_a_pod.setenv("PYTHONPATH", os.pathsep.join([str(RECIPES), os.environ.get("PYTHONPATH", "")]))
    yield shared_service
    shared_service.client.delete_all(PodLink, shared_service.namespace)


@contextmanager
def running(*arguments: str, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a Python program for the duration of the context, and then ends it as Kubernetes does."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=log.parent, env=os.environ | environment, stdout=output, stderr=output
        )
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) in (0, -signal.SIGTERM), log.read_text()
        finally:
            process.kill()
            process.wait()


def fetch(port: int, path: str) -> tuple[int, str]:
    """Returns the status and the body of a response; the status is 0 while the server does not listen."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except URLError as error:
        return 0, str(error)


def ip_of(game: Service, pod: int) -> str:
    item = game.client.get(Pod, game.pod_name(pod), game.namespace)
    return str(item["status"]["podIP"])


def check_gateway(game: Service, port: int) -> None:
    """Checks what the gateways of the recipes have in common."""

    def address_of(uid: str) -> dict[str, Any]:
        address: dict[str, Any] = json.loads(fetch(port, f"/users/{uid}")[1])
        return address

    eventually(lambda: fetch(port, "/healthz")[0] == 200, "it is healthy")
    game.link("alice", podIndex=2)
    expected = {"pod": "game-2", "endpoint": f"{ip_of(game, 2)}:7777"}
    eventually(lambda: address_of("alice") == expected, "the pod of a user is found")
    bound = address_of("bob")
    assert bound["pod"] == game.pod_name(game.get("game.bob")["spec"]["podIndex"])
    assert address_of("bob") == bound
    assert fetch(port, f"/users/{'a' * 190}")[0] == 400


def test_aiohttp(game: Service, tmp_path: Path) -> None:
    port = free_port()
    with running(str(RECIPES / "aiohttp_gateway.py"), log=tmp_path / "log", PORT=str(port)):
        check_gateway(game, port)


def test_fastapi(game: Service, tmp_path: Path) -> None:
    port = free_port()
    with running("-m", "uvicorn", "fastapi_gateway:app", "--port", str(port), log=tmp_path / "log"):
        check_gateway(game, port)
        metrics = fetch(port, "/metrics/")[1]
        assert f'statefulroute_driver_link_writes_total{{change="bound",namespace="{game.namespace}"}} 1.0' in metrics
        assert f'statefulroute_driver_cached_links{{namespace="{game.namespace}"}} 2.0' in metrics


def test_grpc(game: Service, tmp_path: Path) -> None:
    port = free_port()
    game.link("bob", podIndex=1)
    with (
        running(str(RECIPES / "grpc_server.py"), log=tmp_path / "log", PORT=str(port)),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        enter = channel.unary_unary("/play.Rooms/Enter")
        assert enter(b"", metadata=(("x-uid", "alice"),), wait_for_ready=True, timeout=30) == b"welcome"
        assert game.get("game.alice")["spec"]["podIndex"] == 0
        with pytest.raises(grpc.RpcError, match="bob is on pod 1"):
            enter(b"", metadata=(("x-uid", "bob"),), timeout=30)
        game.client.delete_all(PodLink, game.namespace)  # so that it need not wait for its users
    annotations = game.client.get(Pod, "game-0", game.namespace)["metadata"]["annotations"]
    assert annotations["statefulroute.io/routing-state"] == "DenyNewCall"
    assert "statefulroute.io/load-state" in annotations


def test_celery(game: Service, tmp_path: Path) -> None:
    queue = tmp_path / "queue"
    for folder in (queue, tmp_path / "results"):
        folder.mkdir()
    settings = {  # a broker in files
        "broker_url": "filesystem://",
        "broker_transport_options": {
            "data_folder_in": str(queue),
            "data_folder_out": str(queue),
            "control_folder": str(tmp_path),
        },
        "result_backend": f"file://{tmp_path / 'results'}",
    }
    (tmp_path / "settings.py").write_text(f"from celery_worker import app\n\napp.conf.update({settings!r})\n")
    sender = Celery("sender", set_as_current=False, config_source=settings)
    game.link("alice", podIndex=2)

    def endpoint_of(uid: str) -> tuple[int, str]:
        process, endpoint = sender.send_task("celery_worker.endpoint_of", (uid,)).get(timeout=60)
        return process, endpoint

    # A process ends after a task, and the worker forks another one, which opens its own driver.
    options = ("worker", "--pool", "prefork", "--concurrency", "2", "--max-tasks-per-child", "1")
    with running("-m", "celery", "-A", "settings", *options, log=tmp_path / "log") as worker:
        process, endpoint = endpoint_of("alice")
        assert endpoint == f"{ip_of(game, 2)}:7777"
        bound = [endpoint_of("bob") for _ in range(3)]
        assert len({worker.pid, process, *(other for other, _ in bound)}) == 5
        assert {endpoint for _, endpoint in bound} == {f"{ip_of(game, game.get('game.bob')['spec']['podIndex'])}:7777"}
