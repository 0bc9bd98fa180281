"""Runs the containers of the sandbox example as processes, in place of a kubelet: server and tools of each pod."""

import os
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pykube.exceptions import HTTPError, ObjectDoesNotExist
from pykube.objects import Pod
from requests import RequestException

from localcluster.ports import is_listening
from support.fork_server import ForkedProcess, shared_fork_server
from support.operator_process import NO_AUTHORITIES
from support.service import READY, Service
from support.waiting import eventually

EXAMPLE = Path(__file__).parents[2] / "examples" / "sandbox"

_POLL_SECONDS = 0.1
_END_SECONDS = 30.0

#: The exit code of a container that was killed.
_KILLED = 137

_NOT_FOUND = 404


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


class SandboxPods:
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
        self._starts = ThreadPoolExecutor(8)
        self._pods: dict[str, SandboxPod | None] = {}
        """By the uid of the pod; None while its containers start, or after they have ended."""
        self._stopped = threading.Event()
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)
        self._thread.start()

    def named(self, name: str) -> SandboxPod:
        """Returns a running pod."""
        return next(pod for pod in self.running() if pod.name == name)

    def running(self) -> list[SandboxPod]:
        """Returns the pods whose containers run."""
        return [pod for pod in list(self._pods.values()) if pod is not None]

    def stop(self) -> None:
        """Stops the containers."""
        self._stopped.set()
        self._thread.join()
        self._starts.shutdown()
        for pod in self.running():
            pod.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self) -> None:
        while not self._stopped.wait(_POLL_SECONDS):
            try:
                self._sync()
            except (HTTPError, RequestException):
                pass  # again with the next poll: the API server may be busy
            except Exception as error:  # noqa: BLE001 - shown by the fixture
                self.failures.append(repr(error))

    def _sync(self) -> None:
        """Starts and ends containers as the pods demand."""
        listed = self._service.client.all(Pod, self._service.namespace)
        present = {item["metadata"]["uid"]: item for item in listed if "deletionTimestamp" not in item["metadata"]}
        for uid, item in present.items():
            is_own = item["metadata"].get("labels", {}).get("app") == self._service.name
            if is_own and uid not in self._pods and item.get("status", {}).get("podIP"):
                self._pods[uid] = None
                self._starts.submit(self._start, uid, item)
        for uid, pod in list(self._pods.items()):
            if pod is None:
                continue
            assert pod.server is not None
            code = pod.server.poll()
            if uid not in present:
                self._end(uid, pod)
            elif code is not None:
                self._end(uid, pod)
                self._report_end(pod, code)

    def _start(self, uid: str, item: dict[str, Any]) -> None:
        folder = self._folder / uid[:8]
        folder.mkdir()
        pod = SandboxPod(self._service, item, self._port, self._idle_seconds, folder)
        try:
            pod.start()
        except (HTTPError, ObjectDoesNotExist):  # the pod is deleted
            pod.stop()
            return
        except Exception as error:  # noqa: BLE001 - shown by the fixture
            self.failures.append(f"{pod.name}: {error!r}\n{pod.log}")
            return
        self._pods[uid] = pod
        with suppress(HTTPError, ObjectDoesNotExist):
            self._service.annotate(pod.name, READY)

    def _end(self, uid: str, pod: SandboxPod) -> None:
        """Ends all containers of a pod, and removes its volumes."""
        self._pods[uid] = None
        pod.stop()
        shutil.rmtree(pod.folder, ignore_errors=True)  # a command that has outlived its tools may write

    def _report_end(self, pod: SandboxPod, code: int) -> None:
        """Sets the phase of a pod whose server has exited."""
        condition = {"type": "Ready", "status": "False", "reason": "PodCompleted"}
        phase = "Failed" if code else "Succeeded"
        state = {"terminated": {"exitCode": _KILLED if code else 0}}
        statuses = [{"name": "server", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}]
        change = {"phase": phase, "conditions": [condition], "containerStatuses": statuses}
        with suppress(ObjectDoesNotExist):
            eventually(lambda: self._patch_status(pod, change), f"the end of {pod.name} is reported")

    def _patch_status(self, pod: SandboxPod, change: dict[str, Any]) -> bool:
        try:
            self._service.client.patch_status(Pod, pod.name, self._service.namespace, change)
        except HTTPError as error:
            return error.code == _NOT_FOUND
        except RequestException:
            return False
        return True
