"""The pods of examples/mcp, whose servers run as processes at the addresses of the pods."""

import subprocess
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from pykube.objects import Pod

from gateways.fake_kubelet import PORT
from hand_over.system import AUDIENCES
from support.api_user import APIUser
from support.chat import environment
from support.service import NOT_READY, Service

EXAMPLE = Path(__file__).parents[2] / "examples" / "mcp"

#: Longer than any run.
_TOKEN_SECONDS = 24 * 3600


def create_service(service: Service, replicas: int) -> None:
    """Creates the objects of the example with another port; the pods wait for their kubelet."""
    for manifest in sorted(EXAMPLE.glob("*.yaml")):
        text = manifest.read_text(encoding="utf-8").replace("namespace: play", f"namespace: {service.namespace}")
        for item in yaml.safe_load_all(text.replace("8080", str(PORT))):
            if item["kind"] != "Namespace":
                service.kubectl.create(_adapted(item, replicas))


def _adapted(item: dict[str, Any], replicas: int) -> dict[str, Any]:
    if item["kind"] in {"StatefulSet", "StatefulRoute"}:
        item["spec"]["replicas"] = replicas
    if item["kind"] == "StatefulSet":
        item["spec"]["template"]["metadata"]["annotations"] = dict(NOT_READY)
        item["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    return item


class NotebookServers:
    """Starts the servers of pods, with the rights of the pods.

    Args:
        service: the service.
        python: the interpreter of the environment with the SDK.
        folder: the folder of their tokens and logs.
    """

    def __init__(self, service: Service, python: Path, folder: Path) -> None:
        self._service = service
        self._python = python
        self._folder = folder
        self._numbers = count()

    def start(self, index: int, ip: str) -> "subprocess.Popen[bytes]":
        """Starts the server of a pod."""
        name = self._service.pod_name(index)
        pod = self._service.client.get(Pod, name, self._service.namespace)
        administrator = APIUser.of(self._service.kubectl.kubeconfig, self._service.namespace)
        account = pod["spec"]["serviceAccountName"]
        tokens = self._folder / f"{name}-{next(self._numbers)}"
        tokens.mkdir()
        for kind, audience in AUDIENCES.items():
            token = administrator.create_token(account, pod, audience=audience, seconds=_TOKEN_SECONDS)
            (tokens / kind).write_text(token, encoding="ascii")
        user = administrator.with_token(administrator.create_token(account, pod, seconds=_TOKEN_SECONDS))
        variables = environment(
            user.write_kubeconfig(tokens / "kubeconfig"),
            POD_NAME=name,
            POD_NAMESPACE=self._service.namespace,
            STATEFULROUTE_NAME=self._service.name,
        )
        command = [self._python, EXAMPLE / "server.py", "--host", ip, "--port", str(PORT), "--tokens", tokens]
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
