"""The system of a run: the operator, a resolver, a server for each pod, the store, and the users."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.error import URLError
from urllib.request import urlopen

from pykube.objects import Pod

from hand_over.record import AnyEntry, FileWriter, Writer, read_entries
from localcluster import LocalCluster
from support.api_user import APIUser
from support.load_servers import pod_ip
from support.operator_process import NO_AUTHORITIES, OperatorProcess
from support.resolver_process import ResolverProcess
from support.service import Service
from support.waiting import eventually

PORT = 7777

#: The audiences of the tokens of a hand-over, by their files.
AUDIENCES = {each: f"statefulroute.io/hand-over/{each}" for each in ("send", "receive")}

ACCOUNT = "game"

_FOLDER = Path(__file__).parent
_TIMEOUT_SECONDS = 30.0

#: Longer than any run.
_TOKEN_SECONDS = 24 * 3600


class Program:
    """A program of this folder that runs as a process, again and again.

    Args:
        name: its file.
        arguments: its arguments.
        log: the file of its standard error.
        environment: additional environment variables.
    """

    def __init__(
        self, name: str, arguments: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = [sys.executable, _FOLDER / name, *arguments]
        self._log = log
        path = os.pathsep.join(map(str, (_FOLDER.parent, _FOLDER.parents[1] / "operator")))
        self._environment = {**os.environ, **NO_AUTHORITIES, "PYTHONPATH": path, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_text(self) -> str:
        """What it has logged in all its runs."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    @property
    def is_running(self) -> bool:
        """Whether it runs; also true while it is suspended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it without waiting."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(each) for each in self._command], env=self._environment, stdin=subprocess.PIPE, stderr=log
            )

    def send(self, number: int) -> None:
        """Sends a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kills it if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_TIMEOUT_SECONDS)
            assert self._process.stdin is not None
            self._process.stdin.close()

    def write_line(self, line: str) -> None:
        """Writes a line to its input."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def finish(self) -> None:
        """Closes its input, and waits for its end."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(_TIMEOUT_SECONDS) == 0, self.log_text[-3000:]


ProgramKind = TypeVar("ProgramKind", bound=Program)


class Server(Program):
    """The server of a pod.

    Args:
        service: the service.
        index: the index of the pod.
        store_port: the port of the store.
        folder: the folder of its files.
    """

    def __init__(self, service: Service, index: int, store_port: str, folder: Path) -> None:
        self.index = index
        self.ip = pod_ip(service, service.pod_name(index))
        pod = service.client.get(Pod, service.pod_name(index), service.namespace)
        administrator = APIUser.of(service.kubectl.kubeconfig, service.namespace)
        tokens = folder / f"tokens-{index}"
        tokens.mkdir()
        for name, audience in AUDIENCES.items():
            (tokens / name).write_text(
                administrator.create_token(ACCOUNT, pod, audience=audience, seconds=_TOKEN_SECONDS)
            )
        user = administrator.with_token(administrator.create_token(ACCOUNT, pod, seconds=_TOKEN_SECONDS))
        kubeconfig = user.write_kubeconfig(folder / f"{index}.kubeconfig")
        environment = {
            "KUBECONFIG": str(kubeconfig),
            "POD_NAME": service.pod_name(index),
            "POD_NAMESPACE": service.namespace,
            "STATEFULROUTE_NAME": service.name,
        }
        arguments = (self.ip, str(PORT), store_port, tokens, folder / f"server-{index}.record")
        super().__init__("server.py", arguments, folder / f"server-{index}.log", environment)

    def users(self) -> list[str] | None:
        """Returns the users whose state it has; None while it does not answer."""
        try:
            with urlopen(f"http://{self.ip}:{PORT}/users", timeout=_TIMEOUT_SECONDS) as response:
                return list(json.load(response))
        except (URLError, ConnectionError):
            return None


@dataclass(frozen=True, slots=True)
class Parts:
    """What exists before the servers and the users.

    Attributes:
        cluster: the control plane.
        service: the service.
        operator: the operator.
        resolver: the resolver.
    """

    cluster: LocalCluster
    service: Service
    operator: OperatorProcess
    resolver: ResolverProcess


@dataclass(frozen=True, slots=True)
class System:
    """The parts that faults affect, and the users.

    Attributes:
        parts: what exists without it.
        servers: the servers of the pods.
        users: the process of the users.
        write: records what is done to the system.
        folder: the folder of the records and the logs.
    """

    parts: Parts
    servers: Sequence[Server]
    users: Program
    write: Writer
    folder: Path

    @property
    def service(self) -> Service:
        """The service."""
        return self.parts.service

    def hurry(self, uid: str) -> None:
        """Lets a user write quickly until another pod answers."""
        self.users.write_line(uid)

    def revive(self) -> None:
        """Starts what has ended by itself, as a kubelet does."""
        if not self.parts.operator.is_running:
            self.parts.operator.launch()
        for server in self.servers:
            if not server.is_running:
                server.start()

    def entries(self) -> list[AnyEntry]:
        """Returns what was recorded."""
        return read_entries(sorted(self.folder.glob("*.record")))


@contextmanager
def running(parts: Parts, pods: int, users: int, folder: Path) -> Iterator[System]:
    """Runs servers for pods, which exist, and users, whose links exist, for the duration of the context."""
    with ExitStack() as stack:

        def start(program: ProgramKind) -> ProgramKind:
            stack.callback(program.kill)
            program.start()
            return program

        start(Program("store.py", [folder / "store.record", folder / "port"], folder / "store.log"))
        eventually((folder / "port").exists, "the store listens")
        store_port = (folder / "port").read_text(encoding="ascii")
        servers = [start(Server(parts.service, index, store_port, folder)) for index in range(pods)]
        for server in servers:
            eventually(lambda server=server: server.users() is not None, f"server {server.index} listens")
        path = f"/v1/namespaces/{parts.service.namespace}/routes/{parts.service.name}/links"
        arguments = [parts.resolver.lookups, path, str(users), folder / "users.record"]
        program = start(Program("users.py", arguments, folder / "users.log"))
        yield System(parts, servers, program, FileWriter(folder / "faults.record"), folder)
