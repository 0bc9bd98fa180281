"""The example's chat as processes of this machine: servers at their pods' own addresses, and guests at a keyboard."""

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
from support.service import Service
from support.waiting import eventually

T = TypeVar("T")

EXAMPLE = Path(__file__).parents[2] / "examples" / "chat"

TIMEOUT_SECONDS = 30.0

_HOLD = "example.com/hold"


def environment(kubeconfig: Path, **variables: str) -> dict[str, str]:
    """This process's environment with these variables: Python that does not wait with what it prints."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", "KUBECONFIG": str(kubeconfig), **variables}


class Accounts:
    """The accounts of the example, as kubeconfigs that hold a token and nothing else.

    Args:
        service: The chat.
        folder: Where the kubeconfigs are written.
    """

    def __init__(self, service: Service, folder: Path) -> None:
        self._kubectl = service.kubectl
        self._folder = folder

    def of_pod(self, pod: dict[str, Any]) -> Path:
        """The account of a pod, with a token that is bound to it, as its kubelet would hand it to the container."""
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        bound = ("--bound-object-kind=Pod", f"--bound-object-name={name}", f"--bound-object-uid={uid}")
        return self._written(name, pod["spec"]["serviceAccountName"], *bound)

    def of(self, account: str) -> Path:
        """An account, with a token that is bound to no pod."""
        return self._written(account, account)

    def _written(self, name: str, account: str, *options: str) -> Path:
        token = self._kubectl.run("create", "token", account, *options).expect_success().stdout.strip()
        config = yaml.safe_load(self._kubectl.kubeconfig.read_text(encoding="utf-8"))
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        path = self._folder / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path


class Container:
    """The example's server in the place of a pod's container.

    Args:
        service: The chat.
        index: Which of its pods.
        port: Where it listens.
        accounts: Who gives it its token.
        log: Where it writes, over all its lives.
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
        """Where it listens, or did."""
        return self._ip, self._port

    @property
    def last_lines(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(encoding="utf-8").splitlines()[-40:])

    def start(self) -> None:
        """Start it for the pod that there is now, and wait until it listens."""
        self._ip = pod_ip(self._service, self.pod)
        pod = self._service.client.get(Pod, self.pod, self._service.namespace)
        command = [sys.executable, str(EXAMPLE / "server.py"), "--host", self._ip, "--port", str(self._port)]
        variables = environment(self._accounts.of_pod(pod), **_variables(pod))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def await_listening(self) -> None:
        """Wait until it answers."""
        eventually(lambda: self.rooms() is not None, f"the server of {self.pod} listens")

    def rooms(self) -> dict[str, int] | None:
        """How many guests each of its rooms has; None where it does not answer."""
        if self._process is None or self._process.poll() is not None:
            return None
        try:
            with urlopen(f"http://{self._ip}:{self._port}/rooms", timeout=TIMEOUT_SECONDS) as answer:
                return dict(json.load(answer))
        except (URLError, ConnectionError):
            return None

    def kill(self) -> None:
        """End it in a way that it cannot notice."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(TIMEOUT_SECONDS)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Its pod is deleted, as a kubelet does it: the container is asked to end, and has to end well in the context.

        Then the pod goes, and the next one of its name is started.
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
        eventually(lambda: self._is_replaced(before), f"there is another {self.pod}")
        self.start()
        self.await_listening()

    def _is_replaced(self, uid: str) -> bool:
        if not self._service.exists(Pod, self.pod):
            return False
        pod = self._service.client.get(Pod, self.pod, self._service.namespace)
        return bool(pod["metadata"]["uid"] != uid)


def _variables(pod: dict[str, Any]) -> dict[str, str]:
    """The environment of a pod's container, as its manifest says."""
    fields = {f"metadata.{name}": pod["metadata"][name] for name in ("name", "namespace")}
    said = pod["spec"]["containers"][0]["env"]
    return {each["name"]: each.get("value") or fields[each["valueFrom"]["fieldRef"]["fieldPath"]] for each in said}


class Guest:
    """The example's client, and who sits before it.

    Attributes:
        received: All that it has printed up to now, as far as it was waited for.
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
        """The pods at which it was in its room, one after the other."""
        greeting = f"* {self.uid} is at "
        return [line.removeprefix(greeting) for line in self.received if line.startswith(greeting)]

    def await_line(self, text: str) -> str:
        """The next line that begins so."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (line := self._next(deadline, text)) is not None:
            self.received.append(line)
            if line.startswith(text):
                return line
        raise AssertionError(f"{self.uid} has left, and never heard {text!r}:\n" + "\n".join(self.received))

    def await_joined(self) -> str:
        """Wait until it is in its room; gives the pod."""
        self.await_line(f"* {self.uid} is at ")
        return self.pods[-1]

    def send(self, line: str) -> None:
        """Say a line, and wait until the room has repeated it."""
        self.write_line(line)
        self.await_line(line)

    def write_line(self, line: str) -> None:
        """Type a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def leave(self) -> None:
        """End, and hold it to ending well."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        code = self._process.wait(TIMEOUT_SECONDS)
        self._end()
        assert code == 0, f"the client of {self.uid} ended with {code}:\n" + "\n".join(self._remaining_lines())

    def kill(self) -> None:
        """End it, if it has not ended."""
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
            said = "\n".join(self.received)
            raise AssertionError(f"{self.uid} does not hear {awaited!r}; heard was:\n{said}") from None

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._pending_lines.put(line.rstrip("\n"))
        self._pending_lines.put(None)


@dataclass(frozen=True, slots=True)
class CloseFrame:
    """How a room has sent somebody away."""

    code: int
    reason: str


def stay(address: tuple[str, int], uid: str) -> CloseFrame:
    """Join a room at an address, whatever the links say, and stay there until one is sent away."""

    async def staying(room: aiohttp.ClientWebSocketResponse) -> CloseFrame:
        while (heard := await room.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert heard.type is aiohttp.WSMsgType.CLOSE, heard
        return CloseFrame(heard.data, heard.extra or "")

    return _join(address, uid, staying)


def visit(address: tuple[str, int], uid: str) -> str:
    """Join a room at an address, whatever the links say, and leave at once; gives the greeting."""
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
