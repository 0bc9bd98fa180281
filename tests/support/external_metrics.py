"""An external metrics API for HorizontalPodAutoscalers, which the API server aggregates."""

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from localcluster.certificates import Authority
from support.kubectl import Kubectl
from support.waiting import eventually

_GROUP_VERSION = "external.metrics.k8s.io/v1beta1"
_API_SERVICE = "v1beta1.external.metrics.k8s.io"

#: Returns the value of a metric in a namespace.
Read = Callable[[str, str], int]


@contextmanager
def external_metrics(kubectl: Kubectl, namespace: str, folder: Path, read: Read) -> Iterator[None]:
    """Serves metrics on loopback, and makes the API server aggregate them, until the context ends.

    Args:
        kubectl: a kubectl with the rights of an administrator.
        namespace: where the Service for the API server is created.
        folder: where the server's key is stored.
        read: called with the namespace and the name of a requested metric.
    """
    server = _Server(read)
    pair = Authority().server(("127.0.0.1",), ("localhost",))
    (folder / "tls.pem").write_bytes(pair.key + pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        for item in _registration(namespace, server.server_address[1]):
            kubectl.create(item)
        ready = ("wait", "apiservice", _API_SERVICE, "--for=condition=Available", "--timeout=1s")
        eventually(lambda: not kubectl.run(*ready).code, "the metrics are aggregated")
        yield
    finally:
        kubectl.run("delete", "apiservice", _API_SERVICE, "--ignore-not-found")
        server.shutdown()
        server.server_close()
        thread.join()


def _registration(namespace: str, port: int) -> list[dict[str, Any]]:
    """Returns the Service and the APIService by which the API server finds a port of this machine."""
    service = {"name": "external-metrics", "namespace": namespace}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": service,
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": _API_SERVICE},
            "spec": {
                "service": {**service, "port": port},
                "group": "external.metrics.k8s.io",
                "version": "v1beta1",
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    ]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, read: Read) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.read = read

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores connections that the API server breaks off."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answers discovery, and requests like `.../namespaces/play/links`."""
        path = self.path.partition("?")[0]
        prefix = f"/apis/{_GROUP_VERSION}"
        if path == prefix:
            self._respond(
                {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": _GROUP_VERSION, "resources": []}
            )
        elif path.startswith(f"{prefix}/namespaces/"):
            namespace, metric = path.removeprefix(f"{prefix}/namespaces/").split("/")
            self._respond(self._values(metric, self.server.read(namespace, metric)))
        else:
            self._respond({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}, code=404)

    def _values(self, metric: str, value: int) -> dict[str, Any]:
        time = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        item = {"metricName": metric, "metricLabels": {}, "timestamp": time, "value": str(value)}
        return {"kind": "ExternalMetricValueList", "apiVersion": _GROUP_VERSION, "metadata": {}, "items": [item]}

    def _respond(self, body: dict[str, Any], code: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature of the library
        """Logs nothing."""
