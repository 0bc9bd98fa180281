"""Serves requests at the addresses of a service's pods, in place of their containers, and records the pods."""

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pykube.exceptions import HTTPError, ObjectDoesNotExist
from pykube.objects import Pod

from support.link_recorder import ObjectRecorder
from support.load_servers import pod_ip
from support.service import NOT_READY, READY, Service
from support.waiting import eventually

PORT = 7777


class _Listener(ThreadingHTTPServer):
    """Listens at the address of a pod; answers with the name of the pod."""

    daemon_threads = True

    def __init__(self, address: str, pod: str) -> None:
        self.pod = pod
        super().__init__((address, PORT), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), name=pod, daemon=True).start()

    def stop(self) -> None:
        """Ends: new connections are refused."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answers with the name of the pod."""
        assert isinstance(self.server, _Listener)
        body = self.server.pod.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Logs nothing."""


class PodServers(ObjectRecorder):
    """Listens at the address of each pod from before it is Ready until it is deleted, and records all pods.

    Args:
        service: the service, whose pods are not Ready by their template.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._listeners: dict[str, _Listener] = {}
        """By the uid of the pod."""
        super().__init__(service.client, Pod, service.namespace)

    def stop(self) -> None:
        """Stops the servers and the recording."""
        super().stop()
        self._thread.join()
        for listener in self._listeners.values():
            listener.stop()

    def _record(self, event: str, item: dict[str, Any]) -> None:
        super()._record(event, item)
        metadata, address = item["metadata"], item.get("status", {}).get("podIP")
        if event == "DELETED" or "deletionTimestamp" in metadata:
            if (listener := self._listeners.pop(metadata["uid"], None)) is not None:
                listener.stop()
        elif address and metadata["uid"] not in self._listeners:
            self._listeners[metadata["uid"]] = _Listener(address, metadata["name"])
            with suppress(HTTPError, ObjectDoesNotExist):  # the pod is deleted
                self._service.annotate(metadata["name"], READY)


def create_pods(service: Service, kind: str) -> None:
    """Creates a workload with a pod that is not Ready before something listens at its address.

    A StatefulSet replaces no pods by itself. Skips the test if this machine cannot listen at the address of a pod.
    """
    template = service.pod_template()
    template["metadata"]["annotations"] = dict(NOT_READY)
    if kind == "StatefulSet":
        service.create_pods(1, template=template, updateStrategy={"type": "OnDelete"})
    else:
        service.create_workload(kind, 1, template=template)
    eventually(service.pod_ids, "there is a pod")
    (first,) = service.client.all(Pod, service.namespace)
    pod_ip(service, first["metadata"]["name"])
