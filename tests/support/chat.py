"""Runs the chat example as local processes: servers at their pods' addresses, and clients with typed input."""

import asyncio
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp
import yaml
from pykube.objects import Pod
from yarl import URL

from support.load_servers import pod_ip
from support.operator_process import NO_AUTHORITIES
from support.service import Service
from support.waiting import eventually

T = TypeVar("T")

EXAMPLE = Path(__file__).parents[2] / "examples" / "chat"

TIMEOUT_SECONDS = 30.0

_HOLD = "example.com/hold"


def environment(kubeconfig: Path, **variables: str) -> dict[str, str]:
    """Returns this process's environment with these variables, with unbuffered output of Python."""
    return {**os.environ, **NO_AUTHORITIES, "PYTHONUNBUFFERED": "1", "KUBECONFIG": str(kubeconfig), **variables}


class Accounts:
    """The ServiceAccounts of the example, as kubeconfigs that contain a token only.

    Args:
        service: The chat.
        folder: The folder of the kubeconfigs.
    """

    def __init__(self, service: Service, folder: Path) -> None:
        self._kubectl = service.kubectl
        self._folder = folder

    def of_pod(self, pod: dict[str, Any]) -> Path:
        """Returns the kubeconfig of a pod's account, with a token bound to the pod, as a kubelet provides it."""
        return self._written(pod["metadata"]["name"], pod["spec"]["serviceAccountName"], *_bound_to(pod))

    def hand_over_tokens(self, pod: dict[str, Any]) -> Path:
        """Returns the folder of a pod's tokens for hand-overs, as a kubelet provides it."""
        name, volumes = pod["metadata"]["name"], pod["spec"]["volumes"]
        sources = next(each["projected"]["sources"] for each in volumes if each["name"] == "hand-over")
        folder = self._folder / f"{name}-tokens"
        folder.mkdir(exist_ok=True)
        for token in (source["serviceAccountToken"] for source in sources):
            text = self._token(pod["spec"]["serviceAccountName"], *_bound_to(pod), f"--audience={token['audience']}")
            (folder / token["path"]).write_text(text, encoding="ascii")
        return folder

    def of(self, account: str) -> Path:
        """Returns the kubeconfig of an account, with a token that is bound to no pod."""
        return self._written(account, account)

    def _token(self, account: str, *options: str) -> str:
        return self._kubectl.run("create", "token", account, *options).expect_success().stdout.strip()

    def _written(self, name: str, account: str, *options: str) -> Path:
        token = self._token(account, *options)
        config = yaml.safe_load(self._kubectl.kubeconfig.read_text(encoding="utf-8"))
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        path = self._folder / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path


def _bound_to(pod: dict[str, Any]) -> tuple[str, ...]:
    """Returns the options of kubectl for a token that is bound to a pod."""
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    return "--bound-object-kind=Pod", f"--bound-object-name={name}", f"--bound-object-uid={uid}"


class Container:
    """A server of the example that runs instead of a pod's container.

    Args:
        service: The chat.
        index: The index of the pod.
        port: The port to listen on.
        accounts: Creates the token.
        log: The log file of all runs.
    """

    def __init__(self, service: Service, index: int, port: int, accounts: Accounts, log: Path) -> None:
        self.index = index
        self.pod = service.pod_name(index)
        self._service = service
        self._port = port
        self._accounts = accounts
        self._log = log
        self._ip = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The address that it listens on, or last listened on."""
        return self._ip, self._port

    @property
    def last_lines(self) -> str:
        """The last lines of its log."""
        return "\n".join(self._log.read_text(encoding="utf-8").splitlines()[-40:])

    def start(self) -> None:
        """Starts the server for the present pod and waits until it listens."""
        self._ip = pod_ip(self._service, self.pod)
        pod = self._service.client.get(Pod, self.pod, self._service.namespace)
        options = ["--host", self._ip, "--port", str(self._port), "--tokens", str(self._accounts.hand_over_tokens(pod))]
        command = [sys.executable, str(EXAMPLE / "server.py"), *options]
        variables = environment(self._accounts.of_pod(pod), **_variables(pod))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def await_listening(self) -> None:
        """Waits until it responds."""
        eventually(lambda: self.rooms() is not None, f"the server of {self.pod} listens")

    def rooms(self) -> dict[str, int] | None:
        """Returns the number of guests in each room; None while it does not respond."""
        if self._process is None or self._process.poll() is not None:
            return None
        try:
            with urlopen(f"http://{self._ip}:{self._port}/rooms", timeout=TIMEOUT_SECONDS) as answer:
                return dict(json.load(answer))
        except (URLError, ConnectionError):
            return None

    def kill(self) -> None:
        """Kills the process."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(TIMEOUT_SECONDS)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Deletes the pod as a kubelet does, and checks in the context that the container stops cleanly.

        Then the pod is removed, and the next pod of the same name starts.
        """
        independent_client, namespace = self._service.client, self._service.namespace
        before = independent_client.get(Pod, self.pod, namespace)["metadata"]["uid"]
        independent_client.patch(Pod, self.pod, namespace, {"metadata": {"finalizers": [_HOLD]}})
        independent_client.delete(Pod, self.pod, namespace)
        assert self._process is not None
        self._process.terminate()
        yield
        code = self._process.wait(TIMEOUT_SECONDS)
        assert code == 0, f"the server of {self.pod} ended with {code}:\n{self.last_lines}"
        independent_client.patch(Pod, self.pod, namespace, {"metadata": {"finalizers": None}})
        eventually(lambda: self._is_replaced(before), f"{self.pod} is replaced")
        self.start()
        self.await_listening()

    def _is_replaced(self, uid: str) -> bool:
        if not self._service.exists(Pod, self.pod):
            return False
        pod = self._service.client.get(Pod, self.pod, self._service.namespace)
        return bool(pod["metadata"]["uid"] != uid)


def _variables(pod: dict[str, Any]) -> dict[str, str]:
    """Returns the environment of a pod's container, from its manifest."""
    fields = {f"metadata.{name}": pod["metadata"][name] for name in ("name", "namespace")}
    variables = pod["spec"]["containers"][0]["env"]
    return {each["name"]: each.get("value") or fields[each["valueFrom"]["fieldRef"]["fieldPath"]] for each in variables}


class Guest:
    """A client of the example with typed input.

    Attributes:
        received: Every line that it printed, up to the last line that was awaited.
    """

    def __init__(self, uid: str, namespace: str, kubeconfig: Path) -> None:
        self.uid = uid
        self.received: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, EXAMPLE / "client.py", uid],
            env=environment(kubeconfig, POD_NAMESPACE=namespace),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._pending_lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def pods(self) -> list[str]:
        """The pods where it joined its room, in order."""
        greeting = f"* {self.uid} is at "
        return [line.removeprefix(greeting) for line in self.received if line.startswith(greeting)]

    def await_line(self, text: str) -> str:
        """Waits for the next line with this beginning, and returns it."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (line := self._next(deadline, text)) is not None:
            self.received.append(line)
            if line.startswith(text):
                return line
        raise AssertionError(f"{self.uid} left without receiving {text!r}:\n" + "\n".join(self.received))

    def await_joined(self) -> str:
        """Waits until it joined its room, and returns the pod."""
        self.await_line(f"* {self.uid} is at ")
        return self.pods[-1]

    def send(self, line: str) -> None:
        """Sends a line and waits until the room repeats it."""
        self.write_line(line)
        self.await_line(line)

    def write_line(self, line: str) -> None:
        """Types a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def leave(self) -> None:
        """Quits, and checks that it stops cleanly."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        code = self._process.wait(TIMEOUT_SECONDS)
        self._end()
        assert code == 0, f"the client of {self.uid} ended with {code}:\n" + "\n".join(self._remaining_lines())

    def kill(self) -> None:
        """Kills the process if it runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(TIMEOUT_SECONDS)
        self._end()

    def _end(self) -> None:
        self._reader.join(TIMEOUT_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def _remaining_lines(self) -> list[str]:
        while not self._pending_lines.empty():
            self.received.append(self._pending_lines.get() or "")
        return self.received

    def _next(self, deadline: float, awaited: str) -> str | None:
        try:
            return self._pending_lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            output = "\n".join(self.received)
            raise AssertionError(f"{self.uid} does not receive {awaited!r}; received:\n{output}") from None

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._pending_lines.put(line.rstrip("\n"))
        self._pending_lines.put(None)


@dataclass(frozen=True, slots=True)
class CloseFrame:
    """The close frame by which a room disconnected a guest."""

    code: int
    reason: str


def stay(address: tuple[str, int], uid: str) -> CloseFrame:
    """Joins a room at an address without reading links, and stays until the room disconnects."""

    async def staying(room: aiohttp.ClientWebSocketResponse) -> CloseFrame:
        while (heard := await room.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert heard.type is aiohttp.WSMsgType.CLOSE, heard
        return CloseFrame(heard.data, heard.extra or "")

    return _join(address, uid, staying)


def visit(address: tuple[str, int], uid: str) -> str:
    """Joins a room at an address without reading links, leaves at once, and returns the greeting."""
    return _join(address, uid, aiohttp.ClientWebSocketResponse.receive_str)


def _join(address: tuple[str, int], uid: str, session: Callable[[aiohttp.ClientWebSocketResponse], Awaitable[T]]) -> T:
    async def joining() -> T:
        host, port = address
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(URL.build(scheme="ws", host=host, port=port, path=f"/rooms/{uid}")) as room,
        ):
            return await session(room)

    return asyncio.run(asyncio.wait_for(joining(), TIMEOUT_SECONDS))
