"""Runs the containers of a service's pods as local processes, at the addresses of the pods."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pykube.exceptions import HTTPError, ObjectDoesNotExist
from pykube.objects import Pod

from support.load_servers import pod_ip
from support.service import NOT_READY, READY, Service
from support.waiting import eventually

PORT = 7777

_BACKEND = Path(__file__).with_name("backend.py")
#: While a container starts, and between changes: each list of the pods costs 5 ms of CPU.
_SHORT_PAUSE_SECONDS, _PAUSE_SECONDS = 0.1, 0.25


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request in the log of a pod.

    Attributes:
        pod: the index of the pod.
        at: the time, in monotonic seconds.
        number: the number of the request.
        uid: the user.
    """

    pod: int
    at: float
    number: str
    uid: str


@dataclass
class _Container:
    index: int
    ip: str
    process: "subprocess.Popen[bytes]"
    is_ready: bool = False
    ready_at: float = field(default=0.0)


class FakeKubelet:
    """Starts a container for each pod with an address, marks the pod ready, and stops the container with the pod.

    The pods' template keeps them unready until then.

    Args:
        service: the service.
        folder: the folder for the containers' request logs.
        start: starts the container of a pod by its index and address; the default is the server of `backend.py`.

    Attributes:
        unpublished: the pods that are missing in DNS.
    """

    def __init__(
        self, service: Service, folder: Path, start: "Callable[[int, str], subprocess.Popen[bytes]] | None" = None
    ) -> None:
        self._service = service
        self._folder = folder
        self._start = start or self._start_backend
        self.unpublished: set[int] = set()
        self._containers: dict[str, _Container] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._failure: BaseException | None = None

    def addresses(self) -> list[str]:
        """Returns the addresses of all pods in order, ready or not, as a headless Service publishes them."""
        containers = sorted(self._containers.values(), key=lambda each: each.index)
        return [each.ip for each in containers if each.index not in self.unpublished]

    def ready_addresses(self) -> list[str]:
        """Returns the addresses of the ready pods in order, as other Services publish them."""
        containers = sorted(self._containers.values(), key=lambda each: each.index)
        return [each.ip for each in containers if each.is_ready]

    def endpoint(self, pod: int) -> str:
        """Returns the IP and port of a pod."""
        return next(f"{each.ip}:{PORT}" for each in list(self._containers.values()) if each.index == pod)

    def arrivals(self) -> list[Arrival]:
        """Returns all requests that reached a pod."""
        arrivals = []
        for file in self._folder.glob("*.log"):
            pod = int(file.name.partition(".")[0])
            lines = (line.split("\t") for line in file.read_text(encoding="utf-8").splitlines())
            arrivals += [Arrival(pod, float(at), number, uid) for at, number, uid in lines]
        return sorted(arrivals, key=lambda arrival: arrival.at)

    def clear_arrivals(self) -> None:
        """Clears the request logs."""
        for file in self._folder.glob("*.log"):
            file.write_bytes(b"")

    def kill(self, pod: int) -> None:
        """Kills a pod's container, marks the pod unready, and starts the container again."""
        with self._lock:
            container = next(each for each in self._containers.values() if each.index == pod)
            container.process.kill()
            container.process.wait()
            container.is_ready = False
            self._service.annotate(pod, NOT_READY)
            container.process = self._start(pod, container.ip)

    def await_ready(self, pods: int) -> None:
        """Waits until a number of containers are ready."""

        def are_ready() -> bool:
            if self._failure is not None:
                raise AssertionError("the kubelet has failed") from self._failure
            return sum(each.is_ready for each in list(self._containers.values())) == pods

        eventually(are_ready, f"{pods} containers are ready")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs the kubelet in a thread while the context lasts."""
        thread = threading.Thread(target=self._run, name="kubelet", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()
            for container in self._containers.values():
                container.process.kill()
                container.process.wait()

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._pause_seconds()):
                with self._lock:
                    self._sync_pods()
        except BaseException as error:  # noqa: BLE001 - raised by `await_ready`
            self._failure = error

    def _pause_seconds(self) -> float:
        is_starting = not all(each.is_ready for each in list(self._containers.values()))
        return _SHORT_PAUSE_SECONDS if is_starting else _PAUSE_SECONDS

    def _sync_pods(self) -> None:
        independent_client, namespace = self._service.client, self._service.namespace
        pods = {each["metadata"]["uid"]: each for each in independent_client.all(Pod, namespace)}
        for uid in self._containers.keys() - pods.keys():
            container = self._containers.pop(uid)
            container.process.terminate()
            container.process.wait()
        for uid, pod in pods.items():
            if uid not in self._containers and (ip := pod.get("status", {}).get("podIP")):
                index = int(pod["metadata"]["name"].rpartition("-")[2])
                self._containers[uid] = _Container(index, ip, self._start(index, ip))
        for container in self._containers.values():
            if not container.is_ready and _listens(container.ip):
                self._mark_ready(container)

    def _mark_ready(self, container: _Container) -> None:
        try:
            self._service.annotate(container.index, READY)
        except (HTTPError, ObjectDoesNotExist):
            return  # the pod is deleted
        container.is_ready, container.ready_at = True, time.monotonic()

    def _start_backend(self, index: int, ip: str) -> "subprocess.Popen[bytes]":
        arguments = [ip, str(PORT), self._service.pod_name(index), str(self._folder / f"{index}.log")]
        return subprocess.Popen([sys.executable, str(_BACKEND), *arguments], stdin=subprocess.DEVNULL)


def create_service(service: Service, replicas: int, **pod: Any) -> None:
    """Creates a service whose pods wait for their kubelet. Skips the test if the machine lacks their addresses.

    Args:
        service: the service.
        replicas: the number of its pods.
        pod: further fields of the spec of the pods.
    """
    template: dict[str, Any] = service.pod_template()
    template["metadata"]["annotations"] = NOT_READY
    template["spec"] |= pod
    service.create_pods(replicas, template=template)
    service.create_route(port=PORT, onPodLost={"action": "Rebind", "graceSeconds": 30})
    pod_ip(service, service.pod_name(0))


def _listens(ip: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return not probe.connect_ex((ip, PORT))
