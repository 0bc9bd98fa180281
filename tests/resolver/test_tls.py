"""A resolver negotiates only what its options allow of TLS: over HTTPS, over gRPC, and for metrics."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localcluster import LocalCluster
from localcluster.certificates import Authority
from resolver.stub_service import StubService
from statefulroute.monitoring.tls_protocol import CipherSuite
from support import operator_process
from support.resolver_process import ResolverProcess

#: A cipher suite of TLS 1.2, and another one, for the kind of certificates of these tests.
ONE, OTHER = CipherSuite.ECDHE_ECDSA_AES_256, CipherSuite.ECDHE_ECDSA_AES_128

Handshake = Callable[[str, ssl.TLSVersion, CipherSuite | None], str | None]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def handshake(authority: Authority) -> Handshake:
    """Connects as a client that is limited to a version, and to a cipher suite of TLS 1.2; returns the version."""

    def negotiate(address: str, version: ssl.TLSVersion, suite: CipherSuite | None = None) -> str | None:
        context = ssl.create_default_context(cadata=authority.certificate.decode())
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2", "http/1.1"])
        if suite is not None:
            context.set_ciphers(suite.openssl_name)
        host, _, port = address.rpartition(":")
        try:
            with (
                socket.create_connection((host, int(port)), timeout=10) as connection,
                context.wrap_socket(connection, server_hostname=host) as secure,
            ):
                return secure.version()
        except (ssl.SSLError, ConnectionError):
            return None

    return negotiate


@pytest.fixture(autouse=True)
def own_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts an interpreter for each resolver: gRPC reads its environment when it is imported."""
    monkeypatch.setattr(operator_process, "IS_SUPPORTED", False)


@contextmanager
def serving(
    cluster: LocalCluster, service: StubService, authority: Authority, folder: Path, *options: str
) -> Iterator[list[str]]:
    """Runs a resolver with the options for both of its certificates; yields the addresses with TLS."""
    pair = authority.server(("127.0.0.1",))
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    both = [
        f"--{prefix}tls-{name}"
        for prefix in ("", "metrics-")
        for name in (f"certificate={certificate}", f"key={key}", *options)
    ]
    resolver = ResolverProcess(
        cluster.kubeconfig,
        folder / "log",
        f"--watch-namespace={service.namespace}",
        "--grpc-address=127.0.0.1:0",
        "--metrics-address=127.0.0.1:0",
        *both,
    )
    resolver.start()
    try:
        yield [resolver.lookups, resolver.picker, resolver.secure_metrics]
        resolver.stop()
    finally:
        if resolver.is_running:
            resolver.kill()


def test_only_the_minimum_version_and_later_ones_are_accepted(
    cluster: LocalCluster, stub_service: StubService, authority: Authority, handshake: Handshake, tmp_path: Path
) -> None:
    with serving(cluster, stub_service, authority, tmp_path, "min-version=VersionTLS13") as addresses:
        for address in addresses:
            assert handshake(address, ssl.TLSVersion.TLSv1_3, None) == "TLSv1.3"
            assert handshake(address, ssl.TLSVersion.TLSv1_2, None) is None


def test_only_the_chosen_cipher_suites_are_accepted(
    cluster: LocalCluster, stub_service: StubService, authority: Authority, handshake: Handshake, tmp_path: Path
) -> None:
    suites = f"cipher-suites={CipherSuite.ECDHE_RSA_AES_256},{ONE}"
    with serving(cluster, stub_service, authority, tmp_path, suites) as addresses:
        for address in addresses:
            assert handshake(address, ssl.TLSVersion.TLSv1_2, ONE) == "TLSv1.2"
            assert handshake(address, ssl.TLSVersion.TLSv1_2, OTHER) is None
            assert handshake(address, ssl.TLSVersion.TLSv1_3, None) == "TLSv1.3"


def test_tls_1_2_with_any_suite_is_accepted_by_default(
    cluster: LocalCluster, stub_service: StubService, authority: Authority, handshake: Handshake, tmp_path: Path
) -> None:
    with serving(cluster, stub_service, authority, tmp_path) as addresses:
        for address in addresses:
            assert handshake(address, ssl.TLSVersion.TLSv1_2, ONE) == "TLSv1.2"
            assert handshake(address, ssl.TLSVersion.TLSv1_2, OTHER) == "TLSv1.2"
