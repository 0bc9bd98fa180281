"""Runs the containers of the sandbox example as processes, in place of a kubelet: server and tools of each pod."""

import os
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pykube.exceptions import HTTPError, ObjectDoesNotExist
from pykube.objects import Pod

from localcluster.ports import is_listening
from support.fork_server import ForkedProcess, shared_fork_server
from support.link_recorder import ObjectRecorder
from support.operator_process import NO_AUTHORITIES
from support.service import READY, Service
from support.waiting import eventually

EXAMPLE = Path(__file__).parents[2] / "examples" / "sandbox"

_POLL_SECONDS = 0.05
_END_SECONDS = 30.0

#: The exit code of a container that was killed.
_KILLED = 137


class SandboxPod:
    """The containers of one pod.

    Args:
        service: the service.
        pod: the pod, with an address.
        port: the port of the server.
        idle_seconds: after which an idle session is over.
        folder: an empty folder, which has the volumes of the pod.
    """

    def __init__(self, service: Service, pod: dict[str, Any], port: int, idle_seconds: float, folder: Path) -> None:
        self.name = str(pod["metadata"]["name"])
        self.address = f"{pod['status']['podIP']}:{port}"
        self.folder = folder
        self._service = service
        self._pod = pod
        self._port = port
        self._idle_seconds = idle_seconds
        self.server: ForkedProcess | None = None
        self._tools: ForkedProcess | None = None

    @property
    def owner(self) -> str:
        """The user of the pod; empty if it has had none."""
        return self._owner_file.read_text(encoding="utf-8") if self._owner_file.exists() else ""

    @property
    def _owner_file(self) -> Path:
        return self.folder / "owner"

    @property
    def log(self) -> str:
        """What the containers have written."""
        return (self.folder / "log").read_text(encoding="utf-8")

    def start(self) -> None:
        """Starts the tools, then the server, and waits until it listens."""
        workspace, socket = self.folder / "workspace", self.folder / "socket"
        workspace.mkdir(exist_ok=True)
        self._tools = self._start("tools.py", {}, "--socket", socket, "--workspace", workspace)
        eventually(socket.exists, f"the tools of {self.name} listen", poll_seconds=_POLL_SECONDS)
        variables = {"KUBECONFIG": str(self._kubeconfig()), **self._identity()}
        ip, _, _ = self.address.partition(":")
        options = ("--host", ip, "--port", self._port, "--socket", socket, "--owner-file", self._owner_file)
        self.server = self._start("server.py", variables, *options, "--idle-seconds", self._idle_seconds)
        eventually(self._is_started, f"the server of {self.name} listens", poll_seconds=_POLL_SECONDS)

    def stop(self) -> None:
        """Kills what runs."""
        for process in (self.server, self._tools):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(_END_SECONDS)

    def _is_started(self) -> bool:
        assert self.server is not None
        ip, _, _ = self.address.partition(":")
        return self.server.poll() is not None or is_listening(self._port, ip)

    def _start(self, file: str, variables: dict[str, str], *options: object) -> ForkedProcess:
        environment = {**os.environ, **NO_AUTHORITIES, "PYTHONUNBUFFERED": "1", **variables}
        with (self.folder / "log").open("ab") as log:
            arguments = [str(each) for each in options]
            return shared_fork_server().start(arguments, environment, log.fileno(), EXAMPLE / file)

    def _identity(self) -> dict[str, str]:
        fields = {f"metadata.{name}": str(self._pod["metadata"][name]) for name in ("name", "namespace")}
        variables = self._pod["spec"]["containers"][0]["env"]
        return {
            each["name"]: each.get("value") or fields[each["valueFrom"]["fieldRef"]["fieldPath"]] for each in variables
        }

    def _kubeconfig(self) -> Path:
        """Returns a kubeconfig with a token that is bound to the pod, as the kubelet provides it."""
        metadata, account = self._pod["metadata"], self._pod["spec"]["serviceAccountName"]
        reference = {"kind": "Pod", "apiVersion": "v1", "name": self.name, "uid": metadata["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"boundObjectRef": reference},
        }
        http = self._service.client.http
        answer = http.post(url=f"serviceaccounts/{account}/token", namespace=metadata["namespace"], json=request)
        http.raise_for_status(answer)
        config = yaml.safe_load(self._service.kubectl.kubeconfig.read_text(encoding="utf-8"))
        token = answer.json()["status"]["token"]
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        path = self.folder / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path


class SandboxPods(ObjectRecorder):
    """Runs the containers of each pod from its creation until the server exits or the pod is deleted.

    A pod whose server has exited has ended, as by `restartPolicy: Never`: its volumes are removed, and its phase is
    `Succeeded` or `Failed`, so that its ReplicaSet creates another one.

    Args:
        service: the service, whose pods are not Ready by their template.
        port: the port of the servers.
        idle_seconds: after which an idle session is over.

    Attributes:
        failures: what went wrong with the containers.
    """

    def __init__(self, service: Service, port: int, idle_seconds: float) -> None:
        self._service = service
        self._port = port
        self._idle_seconds = idle_seconds
        self._folder = Path(tempfile.mkdtemp(prefix="sb-"))  # sockets have short names
        self._pool = ThreadPoolExecutor(8)
        self._pods: dict[str, SandboxPod | None] = {}
        """By the uid of the pod; None while its containers start, or after they have ended."""
        self._lock = threading.Lock()
        self.failures: list[str] = []
        super().__init__(service.client, Pod, service.namespace)
        self._monitor = threading.Thread(target=self._watch_servers, name="kubelet", daemon=True)
        self._monitor.start()

    def named(self, name: str) -> SandboxPod:
        """Returns a running pod."""
        return next(pod for pod in list(self._pods.values()) if pod is not None and pod.name == name)

    def running(self) -> list[SandboxPod]:
        """Returns the pods whose containers run."""
        return [pod for pod in list(self._pods.values()) if pod is not None]

    def stop(self) -> None:
        """Stops the containers and the recording."""
        super().stop()
        self._thread.join()
        self._monitor.join()
        self._pool.shutdown()
        for pod in self.running():
            pod.stop()
        shutil.rmtree(self._folder)

    def _record(self, event: str, item: dict[str, Any]) -> None:
        super()._record(event, item)
        metadata, status = item["metadata"], item.get("status", {})
        if event == "DELETED" or "deletionTimestamp" in metadata:
            if (pod := self._pods.get(metadata["uid"])) is not None:
                self._end(metadata["uid"], pod)
        elif status.get("podIP") and metadata.get("labels", {}).get("app") == self._service.name:
            if metadata["uid"] in self._pods:
                return
            self._pods[metadata["uid"]] = None
            self._pool.submit(self._start, item)

    def _start(self, item: dict[str, Any]) -> None:
        folder = self._folder / item["metadata"]["uid"][:8]
        folder.mkdir()
        pod = SandboxPod(self._service, item, self._port, self._idle_seconds, folder)
        try:
            pod.start()
            self._pods[item["metadata"]["uid"]] = pod
            self._service.annotate(pod.name, READY)
        except (HTTPError, ObjectDoesNotExist):  # the pod is deleted
            pod.stop()
        except Exception as error:  # noqa: BLE001 - shown by the test
            self.failures.append(f"{pod.name}: {error!r}\n{pod.log}")

    def _watch_servers(self) -> None:
        while not self._stopped.is_set():
            for uid, pod in list(self._pods.items()):
                if pod is None or pod.server is None or (code := pod.server.poll()) is None:
                    continue
                if code not in {0, -9} and self._service.exists(Pod, pod.name):
                    self.failures.append(f"{pod.name} has ended with {code}:\n{pod.log}")
                self._end(uid, pod)
                with suppress(HTTPError, ObjectDoesNotExist):
                    self._report_end(pod, code)
            time.sleep(_POLL_SECONDS)

    def _end(self, uid: str, pod: SandboxPod) -> None:
        """Ends all containers of a pod, and removes its volumes."""
        with self._lock:  # the server may exit while the pod is deleted
            if self._pods.get(uid) is None:
                return
            self._pods[uid] = None
        pod.stop()
        shutil.rmtree(pod.folder)

    def _report_end(self, pod: SandboxPod, code: int) -> None:
        condition = {"type": "Ready", "status": "False", "reason": "PodCompleted"}
        phase = "Failed" if code else "Succeeded"
        state = {"terminated": {"exitCode": _KILLED if code else 0}}
        statuses = [{"name": "server", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}]
        change = {"phase": phase, "conditions": [condition], "containerStatuses": statuses}
        self._service.client.patch_status(Pod, pod.name, self._service.namespace, change)
