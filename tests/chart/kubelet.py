"""Runs the containers of a release's pods, because kwok only simulates the cluster's pods.

Each container becomes a process on this machine, with the container's arguments and a token that is bound to the pod.
The pods of the operator and the resolver become Ready when their probe succeeds, and are removed when their process has
exited.
"""

import json
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from support.api_user import APIUser
from support.fork_server import ForkedProcess
from support.operator_process import NO_AUTHORITIES, start_process
from support.service import NOT_READY, READY

POLL_SECONDS = 0.1
COMMAND_SECONDS = 120.0
STOP_SECONDS = 30.0
PROBE_SECONDS = 2.0

#: A container listens on all of its addresses; the process here listens on a free port of loopback.
#: Charts before 0.2.0 name the family.
_PUBLIC, _LOOPBACK = re.compile(r"=(0\.0\.0\.0)?:\d+$"), "=127.0.0.1:0"

#: The components that run until they are stopped.
_SERVERS = {"operator", "resolver"}

#: The address of a resolver's Service, which stands for one of its processes here.
_RESOLVER = re.compile(r"//[\w-]*resolver\.[\w-]+\.svc:\d+")

_ANSWERS, _IS_PROBED = "serving look-ups", "serving probes and metrics"

#: Annotations of pods that become Ready only when this kubelet reports it.
NOT_READY_ANNOTATION = NOT_READY

_BAD = {"error", "critical"}
_RETRY = re.compile(r"Request attempt #\d+/\d+ failed; (will retry|TCP closed; will re-authenticate)")

_FINALIZER = "example.com/kubelet"

Pod = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CompletedContainer:
    """A process that has exited.

    Attributes:
        container: the container's name.
        arguments: its arguments.
        code: its exit code.
        output: its output.
    """

    container: str
    arguments: tuple[str, ...]
    code: int
    output: str


@dataclass
class Kubelet:
    """Runs the pods of one namespace.

    Attributes:
        kubeconfig: the administrator's kubeconfig.
        namespace: the namespace of the pods.
        folder: the folder of tokens and logs.
        completed: the processes that have exited, in order.
    """

    kubeconfig: Path
    namespace: str
    folder: Path
    completed: list[CompletedContainer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._live_pods: set[str] = set()
        """The uids of the pods that exist and are not being deleted."""
        self._threads: dict[str, threading.Thread] = {}
        self._servers: dict[str, _Server] = {}
        self._done = threading.Event()

    @property
    def operators(self) -> int:
        """The number of running operators."""
        return len(self._running("operator"))

    @property
    def resolvers(self) -> int:
        """The number of running resolvers."""
        return len(self._running("resolver"))

    def errors(self) -> list[str]:
        """Returns the errors that operators and resolvers have logged, and lines that are not log lines.

        Excludes kopf's messages about requests that it retries.
        """
        lines = [line for file in sorted(self.folder.glob("*.log")) for line in file.read_text().splitlines()]
        log_lines = [json.loads(line) if line.startswith("{") else {"event": line, "level": "error"} for line in lines]
        return [line["event"] for line in log_lines if line["level"] in _BAD and not _RETRY.match(line["event"])]

    def commands(self, container: str) -> list[CompletedContainer]:
        """Returns the processes that have exited in containers with this name."""
        return [each for each in self.completed if each.container == container]

    def run(self) -> None:
        """Runs the pods until `stop`."""
        person = self._api_user()
        while not self._done.wait(POLL_SECONDS):
            with suppress(OSError):  # a slow server
                self._sync_pods(person.request("GET", "pods").expect_success()["items"])

    def stop(self) -> None:
        """Stops everything that runs."""
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
        """Returns an administrator's client for one thread."""
        return APIUser.of(self.kubeconfig, self.namespace)

    def _environment(self, pod: Pod, person: APIUser) -> dict[str, str]:
        """Returns the environment with a kubeconfig whose token is bound to the pod, as a kubelet requests it."""
        bound = {"apiVersion": "v1", "kind": "Pod", **{key: pod["metadata"][key] for key in ("name", "uid")}}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": bound}}
        account = pod["spec"]["serviceAccountName"]
        token = person.request("POST", f"serviceaccounts/{account}/token", request).expect_success()
        config = yaml.safe_load(self.kubeconfig.read_text())
        for user in config["users"]:
            user["user"] = {"token": token["status"]["token"]}
        for context in config["contexts"]:
            context["context"]["namespace"] = self.namespace
        file = self.folder / f"{pod['metadata']['uid']}.kubeconfig"
        file.write_text(json.dumps(config))
        return {**NO_AUTHORITIES, "KUBECONFIG": str(file), "PATH": "/usr/bin:/bin", "NO_COLOR": "1"}

    def _run_server(self, pod: Pod, person: APIUser) -> None:
        """Runs the process as long as the pod exists, then removes the pod's finalizer."""
        path, uid = f"pods/{pod['metadata']['name']}", pod["metadata"]["uid"]
        patched = person.patch(path, {"metadata": {"uid": uid, "finalizers": [_FINALIZER]}})
        if patched.error_message is None:
            environment = self._environment(pod, person)
            while uid in self._live_pods and not self._done.is_set():
                self._run_once(pod, person, environment)
            person.patch(path, {"metadata": {"uid": uid, "finalizers": None}})

    def _run_once(self, pod: Pod, person: APIUser, environment: Mapping[str, str]) -> None:
        """Runs a server's process until it exits or its pod is deleted."""
        (container,) = pod["spec"]["containers"]
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        arguments = [_PUBLIC.sub(_LOOPBACK, argument) for argument in container["args"]]
        file = self.folder / f"{name}.log"
        with file.open("ab") as log:
            process = start_process([*arguments, *self._defaults(arguments)], environment, log)
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

    def _defaults(self, arguments: Sequence[str]) -> Sequence[str]:
        """Returns what a process has from the ServiceAccount of its pod, and not from a kubeconfig."""
        is_named = any(argument.startswith("--lease-namespace=") for argument in arguments)
        return () if "--leader-elect" not in arguments or is_named else (f"--lease-namespace={self.namespace}",)

    def _run_commands(self, pod: Pod, person: APIUser) -> None:
        """Runs the init containers, then the others, until one fails; then writes the result into the pod's status."""
        code = 0
        environment = self._environment(pod, person)
        for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]:
            file = self.folder / f"{pod['metadata']['uid']}-{container['name']}.output"
            with file.open("wb") as output:
                process = self._start(container, environment, output)
            try:
                code = process.wait(COMMAND_SECONDS)
            finally:
                process.kill()
            self.completed.append(
                CompletedContainer(container["name"], tuple(container["args"]), code, file.read_text())
            )
            if code:
                break
        state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
        containers = [
            {**{key: each[key] for key in ("name", "image")}, "imageID": "", "ready": False, "restartCount": 0}
            | {"state": state}
            for each in pod["spec"]["containers"]
        ]
        status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": containers}
        person.patch(f"pods/{pod['metadata']['name']}/status", {"status": status})

    def _start(
        self, container: Mapping[str, Any], environment: Mapping[str, str], output: BinaryIO
    ) -> subprocess.Popen[bytes] | ForkedProcess:
        """Starts the command of a container, with a resolver's address instead of its Service's."""
        resolvers = [address for each in self._running("resolver") if (address := _address(each.log, _ANSWERS))]
        arguments = [_RESOLVER.sub(f"//{resolvers[0]}", each) if resolvers else each for each in container["args"]]
        if "command" not in container:
            return start_process(arguments, environment, output)
        python, *rest = container["command"]
        assert python == "python3"
        command = [sys.executable, *rest, *arguments]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**environment})


@dataclass(frozen=True, slots=True)
class _Server:
    """A process that runs until its pod is deleted."""

    part: str
    process: subprocess.Popen[bytes] | ForkedProcess
    log: Path


def _address(log: Path, event: str) -> str | None:
    """Returns the address of a server from its log; None before it is logged."""
    lines = (line for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}"))
    log_lines = [json.loads(line) for line in lines]
    addresses = [line["addresses"][0] for line in log_lines if line["event"] == event]
    return addresses[-1] if addresses else None


def _is_probe_ok(log: Path, probe: str) -> bool:
    """Returns whether a server's probe succeeds."""
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
    """Runs the namespace's pods until the context exits."""
    folder.mkdir(exist_ok=True)
    runner = Kubelet(kubeconfig, namespace, folder)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield runner
    finally:
        runner.stop()
        thread.join()
