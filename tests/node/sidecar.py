"""The example of the sidecar in a real pod, with a server that uses it."""

from typing import Any

import yaml
from pykube.objects import Pod

from localcluster import LocalCluster
from localcluster.node import machine_exec
from node.images import OURS, ROOT
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.waiting import eventually

EXAMPLE = ROOT / "examples/sidecar"
#: A namespace of its own: others have services of the same name in that of the examples.
NAMESPACE = "sidecar"

#: A server that uses the sidecar and nothing else of this project: it claims a user, and drains when it is to end.
SERVER = """
import json, os, signal, sys, urllib.request
def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(os.environ["STATEFULROUTE_SIDECAR"] + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read() or b"null")
def stop(*_):
    call("POST", "/v1/server/stop", {"drainSeconds": 0})
    print("stopped, running:", call("GET", "/v1/server")["isRunning"], flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("started, running:", call("GET", "/v1/server")["isRunning"], flush=True)
print("won:", call("POST", "/v1/routes/rooms/links/" + os.environ["HOSTNAME"] + "/claim")["won"], flush=True)
while True:
    signal.pause()
"""


class SidecarPod:
    """The pod `rooms-0` of the example, whose server is in Python.

    Args:
        cluster: the cluster, in which an operator runs.
        admin: a kubectl of its administrator.
        client: a client of the cluster.

    Attributes:
        kubectl: a kubectl in the namespace of the pod.
    """

    def __init__(self, cluster: LocalCluster, admin: Kubectl, client: IndependentClient) -> None:
        self.kubectl = admin.within(NAMESPACE)
        self._cluster = cluster
        self._admin = admin
        self._client = client

    def deploy(self) -> None:
        """Deploys the example with one pod, and waits until it is Ready."""
        for file in ("namespace.yaml", "service.yaml", "statefulroute.yaml", "rbac.yaml", "statefulset.yaml"):
            text = (EXAMPLE / file).read_text(encoding="utf-8").replace("namespace: play", f"namespace: {NAMESPACE}")
            for item in yaml.safe_load_all(text.replace("name: play", f"name: {NAMESPACE}")):
                (self._admin if item["kind"] == "Namespace" else self.kubectl).create(_with_server(item))
        self.kubectl.run("apply", f"--filename={ROOT / 'deploy/rbac/server.yaml'}").expect_success()
        self.await_ready()

    def delete(self) -> None:
        """Deletes the namespace, without waiting."""
        self._admin.run("delete", "namespace", NAMESPACE, "--wait=false").expect_success()

    def await_ready(self) -> None:
        """Waits until the pod is Ready."""
        self.kubectl.run("rollout", "status", "statefulset/rooms", "--timeout=120s").expect_success()

    def await_log(self, text: str) -> None:
        """Waits until the server has logged this text, and nothing else: a container may be Ready before its log is."""
        eventually(lambda: self.kubectl.run("logs", "rooms-0").stdout == text, f"the log is {text!r}")

    def read(self) -> dict[str, Any]:
        """Returns the pod as it is now."""
        return self._client.get(Pod, "rooms-0", NAMESPACE)

    def sidecar(self) -> dict[str, Any]:
        """Returns the status of the container of the sidecar."""
        return dict(self.read()["status"]["initContainerStatuses"][0])

    def kill_sidecar(self) -> None:
        """Kills the sidecar, and waits until the kubelet has started it again."""
        name = self.sidecar()["containerID"].removeprefix("containerd://")
        command = ("ctr", "--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", name)
        killed = machine_exec.run(self._cluster.folder, *command)
        assert killed.returncode == 0, killed.stderr
        eventually(lambda: self.sidecar()["restartCount"] == 1 and self.sidecar()["ready"], "the sidecar runs again")


def _with_server(item: dict[str, Any]) -> dict[str, Any]:
    """Returns an object of the example; the StatefulSet has one pod, with the server."""
    if item["kind"] == "StatefulSet":
        item["spec"]["replicas"] = 1
        (server,) = item["spec"]["template"]["spec"]["containers"]
        server |= {"image": OURS, "command": ["/opt/statefulroute/bin/python", "-c", SERVER]}
    return item
