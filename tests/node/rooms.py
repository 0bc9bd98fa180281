"""A server that keeps its users in memory, in real pods, and users who visit it through a gateway."""

import json
import subprocess
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from localcluster.node.components import DNS_SECONDS
from node.images import CHAT
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.service import Service
from support.waiting import eventually

NAMESPACE = "hotel"
VERSION = "VERSION"

TIMEOUT_SECONDS = 30.0

#: Answers each request with the pod, the version, and how many requests of the user the pod has answered.
SERVE = """
import collections, os
from aiohttp import web
visits = collections.Counter()
async def answer(request):
    uid = request.headers["x-user-id"]
    visits[uid] += 1
    return web.json_response([os.environ["POD_NAME"], os.environ["VERSION"], visits[uid]])
async def ready(request):
    return web.Response()
app = web.Application()
app.add_routes([web.get("/ready", ready), web.get("/", answer)])
web.run_app(app, port=8080)
"""

#: Runs in a guest: the user of each line comes, and leaves with the second line. Prints all answers to who has left.
VISIT = """
import asyncio, json, sys, aiohttp
async def stay(http, url, uid, leaving):
    answers = []
    while not leaving.is_set():
        async with http.get(url, headers={"x-user-id": uid}) as answer:
            answers.append([answer.status, await answer.text()])
        await asyncio.sleep(0.1)
    print(json.dumps(answers), flush=True)
async def main(url):
    lines, present = asyncio.StreamReader(), {}
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as users:
        async for line in lines:
            uid = line.decode().strip()
            if uid in present:
                present.pop(uid).set()
            else:
                present[uid] = asyncio.Event()
                users.create_task(stay(http, url, uid, present[uid]))
asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(frozen=True)
class Stay:
    """What a user has seen from the first request to the last.

    Attributes:
        failures: The answers that are errors, with their status.
        places: The pods and versions that have answered.
        visits: The numbers by which the pods have counted the requests.
    """

    failures: list[tuple[int, str]]
    places: set[tuple[str, str]]
    visits: list[int]

    @classmethod
    def from_answers(cls, answers: list[tuple[int, str]]) -> Self:
        """Reads the answers of the server, in their order."""
        bodies = [json.loads(text) for status, text in answers if status == 200]
        return cls(
            failures=[(status, text) for status, text in answers if status != 200],
            places={(pod, version) for pod, version, _ in bodies},
            visits=[visit for _, _, visit in bodies],
        )


class Users:
    """Users who send ten requests a second each, one after another, from a guest pod."""

    def __init__(self, rooms: Service, address: str) -> None:
        kubectl = rooms.kubectl
        command = ("exec", "--stdin", "guest", "--", "python", "-c", VISIT, f"http://{address}/")
        placed = (kubectl.program, "--kubeconfig", kubectl.kubeconfig, "--namespace", rooms.namespace)
        self._rooms = rooms
        self._process = subprocess.Popen(
            [*placed, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.present: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def come(self, uid: str) -> str:
        """Starts the requests of a user; returns the pod to which the first one has bound them."""
        self._write(uid)
        link = f"{self._rooms.name}.{uid}"
        eventually(lambda: self._rooms.exists(PodLink, link), f"{uid} has a link")
        self.present[uid] = str(self._rooms.await_bound(link)["podName"])
        return self.present[uid]

    def leave(self, uid: str) -> Stay:
        """Ends the requests of a user, then deletes the link; returns what the user has seen."""
        self._write(uid)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._end()
        self._rooms.client.delete(PodLink, f"{self._rooms.name}.{uid}", self._rooms.namespace)
        del self.present[uid]
        return Stay.from_answers(json.loads(line))

    def _write(self, uid: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{uid}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._end() from None

    def _end(self) -> AssertionError:
        assert self._process.stderr is not None
        return AssertionError(f"the program of the users has ended: {self._process.stderr.read()}")


def await_gateway(rooms: Service, address: str, uid: str) -> None:
    """Waits until a linked user's first request at a gateway succeeds: its own address may be unknown for a moment."""
    request = f"Request('http://{address}/', headers={{'x-user-id': '{uid}'}})"
    code = f"from urllib.request import Request, urlopen; urlopen({request}, timeout=5)"

    def answers() -> bool:
        return rooms.kubectl.run("exec", "guest", "--", "python", "-c", code).code == 0

    eventually(answers, f"the gateway answers {uid}")


def deploy_rooms(admin: Kubectl, independent_client: IndependentClient) -> Service:
    """Deploys three pods, whose route rolls out a new template when users have left, and waits until they are Ready."""
    admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    rooms = Service(admin.within(NAMESPACE), independent_client, "room")
    # Gateways know a pod by DNS before it is Ready, as deploy/gateways/service.yaml recommends.
    service = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"app": rooms.name}}
    rooms.kubectl.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": rooms.name}, "spec": service})
    rooms.create_stateful_set(3, updateStrategy={"type": "OnDelete"}, template=_template(rooms.name))
    rooms.create_route(port="http", disruption={}, rollout={"strategy": "WhenEmpty"})
    rooms.await_pods(3)
    rooms.await_condition("RolledOut", "True", "RolledOut")
    return rooms


def _template(name: str) -> dict[str, Any]:
    pod_name = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "initialDelaySeconds": 2 * DNS_SECONDS, "periodSeconds": 1}
    server = {
        "name": "room",
        "image": CHAT,  # it has Python and aiohttp
        "command": ["python", "-c", SERVE],
        "env": [pod_name, {"name": VERSION, "value": "1"}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": probe,
    }
    spec = {"containers": [server], "terminationGracePeriodSeconds": 5, "automountServiceAccountToken": False}
    return {"metadata": {"labels": {"app": name}}, "spec": spec}
