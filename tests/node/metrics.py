"""Metrics over TLS with authentication, as a Prometheus in a pod reads them: with the token of its account."""

import base64
import json
from typing import Any, NamedTuple

from chart.releases import RESTRICTED_NAMESPACE
from localcluster.certificates import Authority
from node.images import CHAT
from support.kubectl import Kubectl

NAMESPACE, SECRET = "monitoring", "statefulroute-metrics"

#: The values of the chart.
VALUES = {"metrics": {"tls": {"secretName": SECRET}, "authentication": True}}

#: The port of each pod.
POD_PORT = 8443

#: Those of the operator and of the resolver, with their ports.
SERVICES = {"statefulroute-metrics": 8080, "statefulroute-resolver-metrics": 8081}

#: Runs in a pod: reads the metrics of a server of this name, with or without the token of the pod's account.
READ = """
import http.client, json, pathlib, socket, ssl, sys
name, host, port, has_token = sys.argv[1:]
account = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
headers = {"Authorization": f"Bearer {account.read_text()}"} if has_token == "True" else {}
connection = http.client.HTTPSConnection(name)
context = ssl.create_default_context(cafile="/ca/ca.crt")
connection.sock = context.wrap_socket(socket.create_connection((host, int(port)), 10), server_hostname=name)
serial = connection.sock.getpeercert()["serialNumber"]
connection.request("GET", "/metrics", headers=headers)
response = connection.getresponse()
print(json.dumps([response.status, "statefulroute_build_info{" in response.read().decode(), serial]))
"""


class Scrape(NamedTuple):
    """A response to a request for metrics.

    Attributes:
        status: the HTTP status.
        has_metrics: whether the body has metrics.
        serial: the serial number of the certificate.
    """

    status: int
    has_metrics: bool
    serial: str


class Monitoring:
    """A namespace with two pods, whose accounts are `prometheus`, which may read metrics, and `stranger`.

    Args:
        admin: a kubectl of the cluster's administrator.
    """

    def __init__(self, admin: Kubectl) -> None:
        self._admin = admin
        self._kubectl = admin.within(NAMESPACE)
        self._authority = Authority()

    def issue(self, *namespaces: str) -> None:
        """Creates or renews the certificate of the metrics' Services, in a Secret of these namespaces."""
        pair = self._authority.server((), tuple(f"{name}.{RESTRICTED_NAMESPACE}.svc" for name in SERVICES))
        files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": self._authority.certificate}
        data = {name: base64.b64encode(content).decode() for name, content in files.items()}
        for namespace in namespaces:
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": data}
            self._admin.within(namespace).run("apply", "--filename=-", stdin=secret).expect_success()

    def deploy(self) -> None:
        """Deploys the two pods with a copy of the Secret, as the page about monitoring describes."""
        self._admin.run("create", "namespace", NAMESPACE).expect_success()
        self.issue(RESTRICTED_NAMESPACE, NAMESPACE)
        account = f"--serviceaccount={NAMESPACE}:prometheus"
        role = "--clusterrole=statefulroute-metrics-reader"
        self._admin.run("create", "clusterrolebinding", "prometheus", role, account).expect_success()
        for name in ("prometheus", "stranger"):
            self._kubectl.run("create", "serviceaccount", name).expect_success()
            self._kubectl.create(_pod(name))

    def await_ready(self) -> None:
        """Waits until both pods run."""
        self._kubectl.run("wait", "--for=condition=Ready", "pod", "--all", "--timeout=50s").expect_success()

    def read(self, service: str, *, pod: str = "prometheus", host: str | None = None, has_token: bool = True) -> Scrape:
        """Reads metrics in a pod.

        Args:
            service: the name of the Service, which the certificate must have.
            pod: the pod that reads.
            host: the IP address of a pod; None sends the request to the Service.
            has_token: whether the request has the token of the reading pod's account.
        """
        name = f"{service}.{RESTRICTED_NAMESPACE}.svc"
        address = (name, str(SERVICES[service])) if host is None else (host, str(POD_PORT))
        command = ("exec", "--stdin", pod, "--", "python", "-", name, *address, str(has_token))
        return Scrape(*json.loads(self._kubectl.run(*command, stdin=READ).expect_success().stdout))

    def delete(self) -> None:
        """Deletes the namespace and the right, without waiting."""
        self._admin.run("delete", "clusterrolebinding", "prometheus").expect_success()
        self._admin.run("delete", "namespace", NAMESPACE, "--wait=false").expect_success()


def _pod(account: str) -> dict[str, Any]:
    sleeping = {
        "name": "reader",
        "image": CHAT,
        "command": ["python", "-c", "import time; time.sleep(3600)"],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": account},
        "spec": {
            "serviceAccountName": account,
            "containers": [sleeping],
            "volumes": [{"name": "ca", "secret": {"secretName": SECRET}}],
            "terminationGracePeriodSeconds": 0,
        },
    }
