"""The example's chat in real pods, and a guest pod that finds rooms by the hosts in the links' status."""

from typing import Any

from pykube.objects import Pod

from localcluster import LocalCluster
from localcluster.node import machine_exec
from node.images import CHAT, ROOT
from support.chat import EXAMPLE
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.service import Service
from support.waiting import eventually

NAMESPACE = "play"

#: Runs in the guest: prints the first message of a user's room at an address.
READ_GREETING = """
import asyncio, sys, aiohttp
async def main(address, uid):
    headers = {"x-user-id": uid}
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(f"http://{address}/rooms/{uid}", headers=headers) as room:
            print((await room.receive(timeout=10)).data)
asyncio.run(main(*sys.argv[1:]))
"""


def deploy_chat(admin: Kubectl, independent_client: IndependentClient) -> Service:
    """Deploys the chat as the example's README describes, with a guest pod, and waits until all pods are Ready."""
    admin.run("apply", f"--filename={EXAMPLE / 'namespace.yaml'}").expect_success()
    kubectl = admin.within(NAMESPACE)
    roles = [f"--filename={ROOT / 'deploy/rbac' / file}" for file in ("server.yaml", "client.yaml")]
    kubectl.run("apply", *roles).expect_success()
    kubectl.run("apply", f"--filename={EXAMPLE}").expect_success()
    kubectl.run("rollout", "status", "statefulset/chat", "--timeout=50s").expect_success()
    deploy_guest(kubectl)
    service = Service(kubectl, independent_client, "chat")
    service.await_pods(3)
    return service


def deploy_guest(kubectl: Kubectl) -> None:
    """Deploys a pod that does nothing, for programs of users inside the cluster, and waits until it is Ready."""
    kubectl.create(_guest())
    kubectl.run("wait", "--for=condition=Ready", "pod/guest", "--timeout=50s").expect_success()


def await_greeting(chat: Service, link: str, address: str | None = None) -> None:
    """Waits until the guest finds the user's room in the pod of the link.

    Args:
        chat: the chat.
        link: the link's name.
        address: HOST:PORT of a gateway; None uses the host in the link's status.
    """
    status = chat.get(link)["status"]
    assert status["host"] == f"{status['podName']}.chat.{NAMESPACE}.svc"
    uid = chat.get(link)["spec"]["uid"]
    await_message(chat, address or f"{status['host']}:8080", uid, f"* {uid} is at {status['podName']}")


def await_message(chat: Service, address: str, uid: str, message: str) -> None:
    """Waits until the first message in a user's room at an address starts with `message`."""
    received: list[str] = []

    def greets() -> bool:
        command = ("exec", "--stdin", "guest", "--", "python", "-", address, uid)
        answer = chat.kubectl.run(*command, stdin=READ_GREETING)
        received.append(answer.stdout.strip() or answer.stderr[-500:])
        return received[-1].startswith(message)

    try:
        eventually(greets, f"{uid} is greeted at {address}", poll_seconds=1.0)
    except TimeoutError as error:
        raise AssertionError(f"{error}; received {received[-1]!r}") from None


def await_handed_over(chat: Service, link: str, previous_pod: int, line: str) -> None:
    """Waits until a user's room is handed over to another pod, and checks that it has this line there."""
    eventually(lambda: chat.get(link)["spec"]["podIndex"] != previous_pod, f"{link} is at another pod")
    status, uid = chat.await_bound(link), chat.get(link)["spec"]["uid"]
    assert (status["previous"]["podIndex"], status["previous"]["reason"]) == (previous_pod, "HandedOver")
    await_message(chat, f"{status['host']}:8080", uid, f"* {uid} is at {status['podName']}\n{line}")


def container(chat: Service, pod: str) -> dict[str, Any]:
    """Returns the status of a chat pod's container."""
    return container_of(chat.client, pod, chat.namespace)


def container_of(independent_client: IndependentClient, pod: str, namespace: str) -> dict[str, Any]:
    """Returns the status of the only container of a pod."""
    (found,) = independent_client.get(Pod, pod, namespace)["status"]["containerStatuses"]
    return dict(found)


def kill_container(cluster: LocalCluster, independent_client: IndependentClient, pod: str, namespace: str) -> None:
    """Kills a container with SIGKILL, and waits until the kubelet has started it again."""
    before = container_of(independent_client, pod, namespace)
    name = before["containerID"].removeprefix("containerd://")
    killed = machine_exec.run(cluster.folder, "ctr", "--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", name)
    assert killed.returncode == 0, killed.stderr

    def is_back() -> bool:
        now = container_of(independent_client, pod, namespace)
        return bool(now["ready"] and now["restartCount"] == before["restartCount"] + 1)

    eventually(is_back, f"the container of {pod} runs again")
    last = container_of(independent_client, pod, namespace)["lastState"]["terminated"]
    assert last["exitCode"] == 128 + 9


def _guest() -> dict[str, Any]:
    sleeping = {"name": "guest", "image": CHAT, "command": ["python", "-c", "import time; time.sleep(3600)"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "guest"},
        "spec": {"containers": [sleeping], "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False},
    }
