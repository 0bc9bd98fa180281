"""Runs the server for the suite: alone, and as the replicas of a service."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pykube.objects import Pod

from gateways.fake_kubelet import PORT
from localcluster.ports import free_port, is_listening
from support.api_user import APIUser
from support.mcp_sdk import sdk_python
from support.operator_process import NO_AUTHORITIES
from support.service import Service
from support.waiting import eventually

#: The ServiceAccount of the pods.
ACCOUNT = "mcp"

_PROGRAM = Path(__file__).with_name("server")
_TOKEN_SECONDS = 3600
_STOP_SECONDS = 10.0


class Replicas:
    """Starts the server of each pod.

    Args:
        service: the service.
        folder: the folder for the files of the servers.
        shared: a folder whose path is short, with what the servers share.
        link: whether the servers link their sessions, with the rights of their pods.
    """

    def __init__(self, service: Service, folder: Path, shared: Path, *, link: bool) -> None:
        self._service = service
        self._folder = folder
        self._shared = shared
        self._link = link

    def start(self, index: int, ip: str) -> "subprocess.Popen[bytes]":
        """Starts the server of a pod at its address."""
        environment = self._environment(index) if self._link else {}
        return _start(ip, PORT, self._shared, self._log(index), environment)

    def requests(self, pods: int) -> Sequence[int]:
        """Returns how many requests the server of each pod has answered."""
        return [self._log(index).read_text(encoding="utf-8").count("HTTP/1.1") for index in range(pods)]

    def last_lines(self, pods: int) -> str:
        """Returns the last lines of the logs, without those about requests."""
        lines = [line for index in range(pods) for line in self._log(index).read_text(encoding="utf-8").splitlines()]
        return "\n".join([line for line in lines if "HTTP/1.1" not in line][-40:])

    def _environment(self, index: int) -> dict[str, str]:
        pod = self._service.client.get(Pod, self._service.pod_name(index), self._service.namespace)
        administrator = APIUser.of(self._service.kubectl.kubeconfig, self._service.namespace)
        user = administrator.with_token(administrator.create_token(ACCOUNT, pod, seconds=_TOKEN_SECONDS))
        return {
            "KUBECONFIG": str(user.write_kubeconfig(self._folder / f"{index}.kubeconfig")),
            "POD_NAME": self._service.pod_name(index),
            "POD_NAMESPACE": self._service.namespace,
            "STATEFULROUTE_NAME": self._service.name,
        }

    def _log(self, index: int) -> Path:
        return self._folder / f"{index}.log"


@contextmanager
def running_alone(folder: Path, shared: Path) -> Iterator[str]:
    """Runs a server without a cluster while the context lasts, and yields its URL."""
    port = free_port()
    process = _start("127.0.0.1", port, shared, folder / "alone.log", {})
    try:
        eventually(lambda: is_listening(port), "the server listens")
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)


def _start(ip: str, port: int, shared: Path, log: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    options = ["--host", ip, "--port", str(port), "--shared", str(shared)]
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(sdk_python()), str(_PROGRAM), *options],
            env={**os.environ, **NO_AUTHORITIES, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
