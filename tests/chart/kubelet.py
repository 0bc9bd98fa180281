"""Runs what is in a release's pods, where the cluster's own pods are kwok's and run nothing.

Each container becomes a process of this machine, with the container's arguments and a token that is bound to the pod.
The operator's pods and the resolver's are Ready once their probe says so, and gone once their process has ended.
"""

import json
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from support.api_user import APIUser
from support.operator_process import PROGRAM
from support.service import NOT_READY, READY

POLL_SECONDS = 0.1
COMMAND_SECONDS = 120.0
STOP_SECONDS = 30.0
PROBE_SECONDS = 2.0

#: Every address of the machine is a container's own; here it is one port of loopback that is free.
_PUBLIC, _LOOPBACK = re.compile(r"0\.0\.0\.0:\d+"), "127.0.0.1:0"

#: The parts that run for ever.
_SERVERS = {"operator", "resolver"}

#: Where a resolver's Service is; here one of its processes is meant.
_RESOLVER = re.compile(r"//[\w-]*resolver\.[\w-]+\.svc:\d+")

_ANSWERS, _IS_PROBED = "answering look-ups", "answering probes and Prometheus"

#: Annotations of pods that are to be Ready only when this kubelet says so.
NOT_READY_ANNOTATION = NOT_READY

_BAD = {"error", "critical"}
_RETRY = re.compile(r"Request attempt #\d+/\d+ failed; (will retry|TCP closed; will re-authenticate)")

_FINALIZER = "example.com/kubelet"

Pod = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CompletedContainer:
    """A process that has ended.

    Attributes:
        container: the container's name.
        arguments: its command line.
        code: how it ended.
        output: all that it wrote.
    """

    container: str
    arguments: tuple[str, ...]
    code: int
    output: str


@dataclass
class Kubelet:
    """Runs the pods of one namespace.

    Attributes:
        kubeconfig: the administrator's.
        namespace: whose pods.
        folder: where it keeps tokens and logs.
        completed: what has ended, in order.
    """

    kubeconfig: Path
    namespace: str
    folder: Path
    completed: list[CompletedContainer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._live_pods: set[str] = set()
        """The unique ids of the pods that are there, and not being deleted."""
        self._threads: dict[str, threading.Thread] = {}
        self._servers: dict[str, _Server] = {}
        self._done = threading.Event()

    @property
    def operators(self) -> int:
        """How many operators run."""
        return len(self._running("operator"))

    @property
    def resolvers(self) -> int:
        """How many resolvers run."""
        return len(self._running("resolver"))

    def errors(self) -> list[str]:
        """What operators and resolvers have logged as an error, or as a line that is no log line at all.

        Not what kopf says of a request that it tries again.
        """
        lines = [line for file in sorted(self.folder.glob("*.log")) for line in file.read_text().splitlines()]
        told = [json.loads(line) if line.startswith("{") else {"event": line, "level": "error"} for line in lines]
        return [line["event"] for line in told if line["level"] in _BAD and not _RETRY.match(line["event"])]

    def commands(self, container: str) -> list[CompletedContainer]:
        """What has ended in containers of this name."""
        return [each for each in self.completed if each.container == container]

    def run(self) -> None:
        """Look after the pods until `end`."""
        person = self._api_user()
        while not self._done.wait(POLL_SECONDS):
            with suppress(OSError):  # a server that is slow
                self._sync_pods(person.request("GET", "pods").expect_success()["items"])

    def stop(self) -> None:
        """Stop everything that runs."""
        self._done.set()
        for thread in list(self._threads.values()):
            thread.join()

    def _sync_pods(self, pods: list[Pod]) -> None:
        self._live_pods = {pod["metadata"]["uid"] for pod in pods if not pod["metadata"].get("deletionTimestamp")}
        for pod in pods:
            uid = pod["metadata"]["uid"]
            if uid in self._live_pods - self._threads.keys() and pod.get("status", {}).get("phase") == "Running":
                is_server = pod["metadata"]["labels"].get("app.kubernetes.io/component") in _SERVERS
                run = self._run_server if is_server else self._run_commands
                self._threads[uid] = threading.Thread(target=run, args=(pod, self._api_user()))
                self._threads[uid].start()

    def _running(self, part: str) -> list["_Server"]:
        return [each for each in list(self._servers.values()) if each.part == part and each.process.poll() is None]

    def _api_user(self) -> APIUser:
        """An administrator, for one thread."""
        return APIUser.of(self.kubeconfig, self.namespace)

    def _environment(self, pod: Pod, person: APIUser) -> dict[str, str]:
        """With a kubeconfig that has a token which is bound to the pod, as a kubelet asks for."""
        bound = {"apiVersion": "v1", "kind": "Pod", **{key: pod["metadata"][key] for key in ("name", "uid")}}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": bound}}
        account = pod["spec"]["serviceAccountName"]
        token = person.request("POST", f"serviceaccounts/{account}/token", request).expect_success()
        known = yaml.safe_load(self.kubeconfig.read_text())
        for user in known["users"]:
            user["user"] = {"token": token["status"]["token"]}
        for context in known["contexts"]:
            context["context"]["namespace"] = self.namespace
        file = self.folder / f"{pod['metadata']['uid']}.kubeconfig"
        file.write_text(json.dumps(known))
        return {"KUBECONFIG": str(file), "PATH": "/usr/bin:/bin", "NO_COLOR": "1"}

    def _run_server(self, pod: Pod, person: APIUser) -> None:
        """Run it for as long as the pod is there, and let the pod go then."""
        path, uid = f"pods/{pod['metadata']['name']}", pod["metadata"]["uid"]
        held = person.patch(path, {"metadata": {"uid": uid, "finalizers": [_FINALIZER]}})
        if held.error_message is None:
            environment = self._environment(pod, person)
            while uid in self._live_pods and not self._done.is_set():
                self._run_once(pod, person, environment)
            person.patch(path, {"metadata": {"uid": uid, "finalizers": None}})

    def _run_once(self, pod: Pod, person: APIUser, environment: Mapping[str, str]) -> None:
        """One life of a server's process: until it ends, or its pod is deleted."""
        (container,) = pod["spec"]["containers"]
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        arguments = [_PUBLIC.sub(_LOOPBACK, argument) for argument in container["args"]]
        file = self.folder / f"{name}.log"
        with file.open("ab") as log:
            process = subprocess.Popen(
                [PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**environment}
            )
        self._servers[uid] = _Server(container["name"], process, file)
        is_ready = False
        while process.poll() is None and uid in self._live_pods and not self._done.wait(POLL_SECONDS):
            if not is_ready and (is_ready := _is_probe_ok(file, container["readinessProbe"]["httpGet"]["path"])):
                person.patch(f"pods/{name}", {"metadata": {"uid": uid, "annotations": READY}})
        process.terminate()
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self.completed.append(CompletedContainer(container["name"], tuple(arguments), code, ""))

    def _run_commands(self, pod: Pod, person: APIUser) -> None:
        """Run init containers, then the others, until one fails; then say so in the pod's status."""
        code = 0
        environment = self._environment(pod, person)
        for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]:
            done = subprocess.run(
                self._command(container),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=COMMAND_SECONDS,
                env=environment,
            )
            code = done.returncode
            self.completed.append(CompletedContainer(container["name"], tuple(container["args"]), code, done.stdout))
            if code:
                break
        ended = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
        containers = [
            {**{key: each[key] for key in ("name", "image")}, "imageID": "", "ready": False, "restartCount": 0}
            | {"state": ended}
            for each in pod["spec"]["containers"]
        ]
        status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": containers}
        person.patch(f"pods/{pod['metadata']['name']}/status", {"status": status})

    def _command(self, container: Mapping[str, Any]) -> list[str | Path]:
        """What a container runs, with the address of a resolver in the place of its Service's."""
        program: list[str | Path] = [PROGRAM]
        if "command" in container:
            python, *rest = container["command"]
            assert python == "python3"
            program = [sys.executable, *rest]
        resolvers = [address for each in self._running("resolver") if (address := _address(each.log, _ANSWERS))]
        arguments = container["args"]
        return [*program, *(_RESOLVER.sub(f"//{resolvers[0]}", each) if resolvers else each for each in arguments)]


@dataclass(frozen=True, slots=True)
class _Server:
    """A process that runs until its pod is deleted."""

    part: str
    process: subprocess.Popen[bytes]
    log: Path


def _address(log: Path, event: str) -> str | None:
    """Where a server can be asked, as it has logged; None as long as it has not."""
    lines = (line for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}"))
    told = [json.loads(line) for line in lines]
    addresses = [line["addresses"][0] for line in told if line["event"] == event]
    return addresses[-1] if addresses else None


def _is_probe_ok(log: Path, probe: str) -> bool:
    """Whether a server answers a probe well."""
    address = _address(log, _IS_PROBED)
    if address is None:
        return False
    try:
        with urllib.request.urlopen(f"http://{address}{probe}", timeout=PROBE_SECONDS) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def kubelet(kubeconfig: Path, namespace: str, folder: Path) -> Iterator[Kubelet]:
    """A kubelet that runs the namespace's pods as long as the context lasts."""
    folder.mkdir(exist_ok=True)
    runner = Kubelet(kubeconfig, namespace, folder)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield runner
    finally:
        runner.stop()
        thread.join()
