"""Runs the chats of `examples/go` and `examples/typescript`: for each pod a server and a sidecar, at its address."""

import json
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import yaml
from pykube.objects import Pod

from support.chat import Accounts
from support.chat_programs import ROOT, ChatPrograms
from support.load_servers import pod_ip
from support.pod_tokens import AUDIENCES
from support.service import Service
from support.sidecar_process import SidecarProcess
from support.waiting import eventually

EXAMPLE = ROOT / "examples" / "sidecar"

TIMEOUT_SECONDS = 60.0

_GREETING = re.compile(r"\* (?P<uid>.+) is at (?P<pod>\S+), token (?P<token>\d+)")


def create_service(service: Service, port: int, replicas: int) -> None:
    """Creates the objects of the example with another port, and waits until the pods are Ready."""
    for manifest in sorted(EXAMPLE.glob("*.yaml")):
        text = manifest.read_text(encoding="utf-8").replace("namespace: play", f"namespace: {service.namespace}")
        for item in yaml.safe_load_all(text):
            if item["kind"] == "Namespace":
                continue
            if item["kind"] == "StatefulSet":
                item["spec"]["replicas"] = replicas
            service.kubectl.create(item)
    service.edit_route(port=port)
    service.await_pods(replicas)


class ChatPod:
    """A pod whose containers run as processes: the sidecar, with the rights of the pod, and a server.

    Args:
        service: the chat.
        index: the index of the pod.
        port: the port of the servers.
        accounts: creates the token of the pod.
        folder: the folder of the logs and tokens.
        hand_over_port: the port by which the sidecars send states to each other.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what the kubelet gives a pod
        self, service: Service, index: int, port: int, accounts: Accounts, folder: Path, hand_over_port: int
    ) -> None:
        self.name = service.pod_name(index)
        self._service = service
        self._log = folder / f"{self.name}.log"
        ip = pod_ip(service, self.name)
        self.address = f"{ip}:{port}"
        pod = service.client.get(Pod, self.name, service.namespace)
        kubeconfig = accounts.of_pod(pod)
        tokens = folder / self.name
        _write_tokens(service, pod, tokens)
        options = (
            "--state-period-seconds=0.2",
            "--drain-seconds=10",
            f"--hand-over-port={hand_over_port}",
            f"--hand-over-host={ip}",
            f"--hand-over-tokens={tokens}",
        )
        self.sidecar = SidecarProcess(
            kubeconfig, folder / f"{self.name}-sidecar.log", service.namespace, self.name, *options
        )
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of the pod that the sidecar writes, without their prefix."""
        annotations = self._service.client.get(Pod, self.name, self._service.namespace)["metadata"]["annotations"]
        return {key.partition("/")[2]: value for key, value in annotations.items() if key.startswith("statefulroute")}

    @property
    def last_lines(self) -> str:
        """The last lines of the server's log."""
        return "\n".join(self._log.read_text(encoding="utf-8").splitlines()[-40:])

    def start_server(self, programs: ChatPrograms, store: Path | None) -> None:
        """Starts a server; without a store, its rooms are in memory."""
        options: tuple[str | Path, ...] = ("--listen", self.address, "--sidecar", self.sidecar.url)
        if store is not None:
            options = (*options, "--store", store)
        with self._log.open("ab") as log:
            command = [*programs.server, *options]
            self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def await_listening(self) -> None:
        """Waits until the server answers."""
        eventually(lambda: self.rooms() is not None, f"the server of {self.name} listens")

    def rooms(self) -> dict[str, int] | None:
        """Returns the number of guests in each room; None while the server does not answer."""
        assert self._server is not None
        assert self._server.poll() is None, f"the server of {self.name} ended:\n{self.last_lines}"
        try:
            with urlopen(f"http://{self.address}/rooms", timeout=TIMEOUT_SECONDS) as answer:
                return dict(json.load(answer))
        except URLError:
            return None

    def say(self, uid: str, line: str) -> tuple[int, str]:
        """Says a line at this pod, wherever the room is; returns the status and the text of the answer."""
        request = Request(f"http://{self.address}/rooms/{uid}", data=line.encode(), method="POST")
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - a URL of this module
                return answer.status, ""
        except HTTPError as error:
            with error:
                return error.code, error.read().decode().strip()

    def request_stop(self) -> None:
        """Sends SIGTERM to the server, as the kubelet does before it stops the sidecar."""
        assert self._server is not None
        self._server.terminate()

    def await_end(self) -> None:
        """Waits until the server has ended, and checks that it did so cleanly."""
        assert self._server is not None
        code = self._server.wait(TIMEOUT_SECONDS)
        assert code == 0, f"the server of {self.name} ended with {code}:\n{self.last_lines}"

    def freeze_server(self) -> None:
        """Stops the server without ending it."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def thaw_server(self) -> None:
        """Lets the server go on."""
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def kill_server(self) -> None:
        """Kills the server if it runs."""
        if self._server is not None and self._server.poll() is None:
            self._server.kill()
            self._server.wait(TIMEOUT_SECONDS)


class ChatGuest:
    """A client of the chat with typed input.

    Args:
        programs: the programs of the chat.
        uid: the uid of the room.
        resolver: HOST:PORT of the resolver.
        namespace: the namespace of the chat.

    Attributes:
        received: every line that it printed, up to the last one that was awaited.
    """

    def __init__(self, programs: ChatPrograms, uid: str, resolver: str, namespace: str) -> None:
        self.uid = uid
        self.received: list[str] = []
        command = [*programs.client, "--resolver", f"http://{resolver}", "--namespace", namespace, uid]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._pending: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def await_line(self, text: str) -> str:
        """Waits for the next line with this beginning, and returns it."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                line = self._pending.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"{self.uid} does not receive {text!r}; received:\n" + "\n".join(self.received)
            self.received.append(line)
            if line.startswith(text):
                return line

    def await_joined(self) -> tuple[str, int]:
        """Waits until it joins its room; returns the pod and the token."""
        match = _GREETING.fullmatch(self.await_line(f"* {self.uid} is at "))
        assert match is not None
        return match["pod"], int(match["token"])

    def say(self, line: str) -> None:
        """Types a line and waits until the room repeats it."""
        self.type(line)
        self.await_line(line)

    def type(self, line: str) -> None:
        """Types a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def leave(self) -> None:
        """Ends the input, and checks that the client ends cleanly."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        code = self._process.wait(TIMEOUT_SECONDS)
        assert code == 0, f"the client of {self.uid} ended with {code}:\n" + "\n".join(self.received)

    def kill(self) -> None:
        """Ends the process, and everything that belongs to it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(TIMEOUT_SECONDS)
        self._reader.join(TIMEOUT_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._pending.put(line.rstrip("\n"))
        self._pending.put(None)


def _write_tokens(service: Service, pod: dict[str, Any], folder: Path) -> None:
    """Writes the tokens that authenticate pods to each other, as the kubelet does."""
    folder.mkdir()
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={name}", f"--bound-object-uid={uid}")
    for kind, audience in AUDIENCES.items():
        create = ("create", "token", pod["spec"]["serviceAccountName"], f"--audience={audience}", *bound)
        (folder / kind).write_text(service.kubectl.run(*create).expect_success().stdout.strip(), encoding="utf-8")


def holders(pods: Sequence[ChatPod], uid: str) -> list[str]:
    """Returns the pods that have a room."""
    return [pod.name for pod in pods if uid in (pod.rooms() or {})]


def pod_named(pods: Sequence[ChatPod], name: str) -> ChatPod:
    """Returns the pod of this name."""
    return next(pod for pod in pods if pod.name == name)


def other_pod(pods: Sequence[ChatPod], pod: ChatPod) -> ChatPod:
    """Returns the other one of two pods."""
    (other,) = (each for each in pods if each is not pod)
    return other


def index_of(pod: ChatPod) -> dict[str, Any]:
    """Returns the binding of a link to a pod."""
    return {"podIndex": int(pod.name.rpartition("-")[2])}
