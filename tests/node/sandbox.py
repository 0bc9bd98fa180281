"""The sandbox example in real pods, and a guest pod that sends the requests of users to them, as a gateway does."""

import json
from subprocess import CompletedProcess
from typing import Any

from pykube.objects import Pod

from localcluster import LocalCluster
from localcluster.node import machine_exec
from node.chat import deploy_guest
from node.images import ROOT
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.service import Service
from support.waiting import eventually

EXAMPLE = ROOT / "examples" / "sandbox"
NAMESPACE = "sandboxes"

#: Runs in the guest: sends a request of a user to an address, and prints the status and the text of the answer.
SEND = """
import json, sys, urllib.error, urllib.request
method, url, uid, body = sys.argv[1:]
request = urllib.request.Request(url, body.encode(), {"x-user-id": uid}, method=method)
try:
    with urllib.request.urlopen(request, timeout=60) as answer:
        print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
"""


class RealSandboxes:
    """The example, and its users.

    Args:
        cluster: the cluster, in which an operator runs.
        admin: a kubectl of its administrator.
        client: a client of the cluster.
    """

    def __init__(self, cluster: LocalCluster, admin: Kubectl, client: IndependentClient) -> None:
        self._cluster = cluster
        self._admin = admin
        self._guest = admin.within("default")
        self.service = Service(admin.within(NAMESPACE), client, "sandbox")

    def deploy(self) -> None:
        """Deploys the example as its guide describes, and the guest."""
        self._admin.run("apply", f"--filename={EXAMPLE / 'namespace.yaml'}").expect_success()
        self.service.kubectl.run("apply", f"--filename={ROOT / 'deploy/rbac/server.yaml'}").expect_success()
        self.service.kubectl.run("apply", f"--filename={EXAMPLE}").expect_success()
        deploy_guest(self._guest)

    def delete(self) -> None:
        """Deletes the guest and the namespace, without waiting."""
        self._guest.run("delete", "pod", "guest", "--wait=false").expect_success()
        self._admin.run("delete", "namespace", NAMESPACE, "--wait=false").expect_success()

    def open(self, uid: str) -> dict[str, Any]:
        """Begins the session of a user; returns its pod when it is Ready."""
        name = self.service.await_bound(self.service.link(uid, ttlSeconds=1800))["podName"]
        return self.service.client.get(Pod, name, NAMESPACE)

    def send(
        self, pod: dict[str, Any], uid: str, body: str = "", method: str = "POST", path: str = "/run"
    ) -> list[Any]:
        """Sends a request of a user; returns the status and the text of the answer."""
        url = f"http://{pod['status']['podIP']}:8080{path}"
        command = ("exec", "--stdin", "guest", "--", "python", "-", method, url, uid, body)
        return list(json.loads(self._guest.run(*command, stdin=SEND).expect_success().stdout))

    def end(self, pod: dict[str, Any], uid: str) -> None:
        """Ends the session of a user."""
        assert self.send(pod, uid, method="DELETE", path="/session") == [204, ""]

    def await_phase(self, pod: dict[str, Any], phase: str) -> None:
        """Waits until a pod has ended."""
        name = pod["metadata"]["name"]
        eventually(lambda: self._read(name)["status"]["phase"] == phase, f"{name} is {phase}", seconds=90)

    def restarts(self, pod: dict[str, Any]) -> int:
        """Returns how often the container of the server was started again."""
        (server,) = self._read(pod["metadata"]["name"])["status"]["containerStatuses"]
        return int(server["restartCount"])

    def files_of(self, pod: dict[str, Any]) -> str:
        """Returns the files in the workspaces of a pod on the node's disk."""
        folder = f"/var/lib/kubelet/pods/{pod['metadata']['uid']}/volumes"
        return self._on_node("find", folder, "-path", "*/workspace/*").stdout

    def processes(self, text: str) -> str:
        """Returns the processes on the node with this text in their command line."""
        pattern = f"[{text[0]}]{text[1:]}"  # which is not in its own command line
        return self._on_node("sh", "-c", f"grep -al '{pattern}' /proc/[0-9]*/cmdline").stdout

    def kill_server(self, pod: dict[str, Any]) -> None:
        """Kills the container of the server with SIGKILL."""
        (server,) = self._read(pod["metadata"]["name"])["status"]["containerStatuses"]
        name = server["containerID"].removeprefix("containerd://")
        killed = self._on_node("ctr", "--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", name)
        assert killed.returncode == 0, killed.stderr

    def _read(self, name: str) -> dict[str, Any]:
        return self.service.client.get(Pod, name, NAMESPACE)

    def _on_node(self, *command: str) -> CompletedProcess[str]:
        return machine_exec.run(self._cluster.folder, *command)
