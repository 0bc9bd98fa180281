"""Tests the Certificates of the chart with the controllers of cert-manager, in the long form: their build is long."""

import base64
import http.client
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chart.kinds import containers, documents
from chart.releases import ROOT, Helm, Release
from helmchart import programs
from localcluster import LocalCluster
from localcluster.progress import PlainProgress
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.resolver_process import ResolverProcess
from support.scale import IS_LONG
from support.waiting import eventually

pytestmark = pytest.mark.skipif(not IS_LONG, reason="building cert-manager takes minutes: `make test-chart` runs this")

#: How long cert-manager may take for three Certificates, and a resolver to load another one.
SECONDS = 120

FILES = ("tls.crt", "tls.key", "ca.crt")

#: A release of one namespace without running pods, whose resolver is a process of the test.
VALUES: dict[str, Any] = {
    "fullnameOverride": "sticky",
    "replicas": 0,
    "crds": {"install": False},
    "admissionPolicies": {"install": False},
    "releaseOnUninstall": {"enabled": False},
    "metrics": {"tls": {"certificate": {"create": True}}},
    "resolver": {
        "enabled": True,
        "replicas": 0,
        "tls": {"clientCertificates": True, "certificate": {"create": True, "duration": "1h", "renewBefore": "30m"}},
    },
}


@pytest.fixture
def namespace(admin: Kubectl) -> Iterator[Kubectl]:
    """A kubectl in the namespace of the release, in a cluster with the CRDs of cert-manager and of the chart."""
    folders = (str(programs.certificate_definitions(PlainProgress())), str(ROOT / "crds"))
    files = [option for folder in folders for option in ("--filename", folder)]
    admin.run("apply", "--server-side", *files).expect_success()
    admin.run("wait", "--for=condition=Established", "--timeout=60s", *files).expect_success()
    with fresh_namespace(admin) as made:
        yield admin.within(made)
    admin.run("delete", *files).expect_success()


@contextmanager
def cert_manager(kubeconfig: Path, namespace: str, log: Path) -> Iterator[None]:
    """Runs the controllers of cert-manager for a namespace."""
    program = programs.cert_manager(PlainProgress())
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"], stdout=output, stderr=output
        )
        try:
            yield
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()
            process.wait(30)


def secret_files(kubectl: Kubectl, name: str) -> dict[str, bytes]:
    """Returns the files of a Secret; none if it does not exist, or is not complete."""
    result = kubectl.run("get", "secret", name, "--output=json", "--ignore-not-found")
    data = json.loads(result.expect_success().stdout or "{}").get("data", {})
    return {file: base64.b64decode(data[file]) for file in FILES} if data.keys() >= {*FILES} else {}


def mount(files: dict[str, bytes], folder: Path) -> None:
    """Writes the files of a Secret, as a kubelet does."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def serial(address: str, name: str, folder: Path, authority: Path) -> str:
    """Returns the serial number of the certificate of a resolver, as a client that verifies it sees it."""
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=name) as secure,
    ):
        client = http.client.HTTPConnection(name)
        client.sock = secure
        client.request("GET", "/v1/namespaces/play/routes/none/links/nobody")
        assert client.getresponse().status == 404
        certificate = secure.getpeercert()
        assert certificate
        return str(certificate["serialNumber"])


def renew(kubectl: Kubectl, certificate: str) -> None:
    """Renews a certificate, as `cmctl renew` does."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    issuing = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "lastTransitionTime": now}
    stored = kubectl.get_json("certificate", certificate)
    others = [each for each in stored["status"]["conditions"] if each["type"] != "Issuing"]
    patch = json.dumps({"status": {"conditions": [*others, issuing]}})
    kubectl.run(
        "patch", "certificate", certificate, "--subresource=status", "--type=merge", f"--patch={patch}"
    ).expect_success()


def test_resolver_serves_and_renews_the_certificate_of_cert_manager(
    helm4: Helm, dedicated_cluster: LocalCluster, namespace: Kubectl, tmp_path: Path
) -> None:
    where = str(namespace.namespace)
    values = VALUES | {"watchNamespaces": [where]}
    release = Release(helm4.within(dedicated_cluster.kubeconfig), "sticky", where, values)
    with ExitStack() as stack:
        stack.enter_context(cert_manager(dedicated_cluster.kubeconfig, where, tmp_path / "cert-manager.log"))
        release.install()
        for name in ("sticky-metrics-tls", "sticky-resolver-tls", "sticky-ca"):
            eventually(lambda name=name: secret_files(namespace, name), f"Secret {name} exists", seconds=SECONDS)
        first = secret_files(namespace, "sticky-resolver-tls")
        authority = secret_files(namespace, "sticky-ca")
        assert first["ca.crt"] == secret_files(namespace, "sticky-metrics-tls")["ca.crt"] == authority["tls.crt"]

        folder, trusted = tmp_path / "tls", tmp_path / "authority.crt"
        mount(first, folder)
        trusted.write_bytes(authority["tls.crt"])
        rendering = helm4.render(values, f"--namespace={where}", release="sticky").expect_success().stdout
        (arguments,) = (each["args"] for each in containers(documents(rendering)) if each["name"] == "resolver")
        tls = [each.replace("/tls/", f"{folder}/") for each in arguments if "=/tls/" in each]
        assert len(tls) == 3
        process = ResolverProcess(
            dedicated_cluster.kubeconfig, tmp_path / "log", f"--watch-namespace={where}", "--drain-seconds=0", *tls
        ).start()
        stack.callback(process.kill)
        service = f"sticky-resolver.{where}.svc"
        served = serial(process.lookups, service, folder, trusted)

        # The authority and the certificate are renewed: a client that knows the first authority notices nothing.
        for name in ("sticky-ca", "sticky-resolver-tls"):
            before = secret_files(namespace, name)
            renew(namespace, name)
            eventually(
                lambda name=name, before=before: secret_files(namespace, name) not in ({}, before),
                f"{name} is renewed",
                seconds=SECONDS,
            )
        renewed = secret_files(namespace, "sticky-ca")
        assert renewed["tls.key"] == authority["tls.key"]
        assert renewed["tls.crt"] != authority["tls.crt"]
        mount(secret_files(namespace, "sticky-resolver-tls"), folder)
        eventually(lambda: serial(process.lookups, service, folder, trusted) != served, "it is served", seconds=SECONDS)
    release.uninstall()
