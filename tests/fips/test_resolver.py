"""A resolver of the image for FIPS does its work, and negotiates only approved algorithms of TLS."""

import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from localcluster import LocalCluster
from localcluster.certificates import Authority
from resolver.stub_service import StubService
from resolver.test_tls import (
    handshake,
    serving,
    test_only_the_chosen_cipher_suites_are_accepted,
    test_only_the_minimum_version_and_later_ones_are_accepted,
    test_tls_1_2_with_any_suite_is_accepted_by_default,
)
from support.waiting import eventually

__all__ = [
    "handshake",
    "test_only_the_chosen_cipher_suites_are_accepted",
    "test_only_the_minimum_version_and_later_ones_are_accepted",
    "test_tls_1_2_with_any_suite_is_accepted_by_default",
]

pytestmark = pytest.mark.usefixtures("statefulroute")

#: Options of a client, and whether a server of the image agrees.
HANDSHAKES = [
    ("-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256 -groups P-256", True),
    ("-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384 -groups P-384", True),
    ("-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384 -groups P-256", True),
    ("-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256 -groups P-256", False),
    ("-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305 -groups P-256", False),
    ("-tls1_3 -groups X25519", False),
    ("-tls1_3 -groups X448", False),
    ("-tls1_2 -groups X25519", False),
]


#: OpenSSL's option of a client that does not know the extended master secret of TLS 1.2.
NO_EXTENDED_MASTER_SECRET = 1


def agrees(address: str, options: str) -> bool:
    """Returns whether a server agrees with OpenSSL's client, which has all algorithms."""
    command = ["openssl", "s_client", "-connect", address, "-alpn", "h2,http/1.1", *options.split()]
    completed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    return completed.returncode == 0


def read(url: str, authority: Authority) -> str:
    """Reads a URL over TLS; of a resolver that is not ready yet, its error."""
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    try:
        with urllib.request.urlopen(url, context=context, timeout=30) as response:  # noqa: S310 - https only
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())


def test_resolver_negotiates_only_approved_algorithms(
    cluster: LocalCluster, stub_service: StubService, authority: Authority, tmp_path: Path
) -> None:
    with serving(cluster, stub_service, authority, tmp_path) as addresses:
        found = {(each, options): agrees(each, options) for each in addresses for options, _ in HANDSHAKES}
        assert found == {(each, options): expected for each in addresses for options, expected in HANDSHAKES}


def test_tls_1_2_needs_an_extended_master_secret(
    cluster: LocalCluster, stub_service: StubService, authority: Authority, tmp_path: Path
) -> None:
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"])
    with serving(cluster, stub_service, authority, tmp_path) as addresses:
        for address in addresses:
            host, _, port = address.rpartition(":")
            context.options &= ~ssl.Options(NO_EXTENDED_MASTER_SECRET)
            with connect(host, int(port)) as connection, context.wrap_socket(connection, server_hostname=host):
                pass
            context.options |= NO_EXTENDED_MASTER_SECRET
            with connect(host, int(port)) as connection, pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(connection, server_hostname=host)


def connect(host: str, port: int) -> socket.socket:
    """Connects to a server."""
    return socket.create_connection((host, port), timeout=30)


def test_resolver_answers_over_tls(
    cluster: LocalCluster, stub_service: StubService, authority: Authority, tmp_path: Path
) -> None:
    stub_service.link("alice", 2)
    with serving(cluster, stub_service, authority, tmp_path) as (lookups, picker, metrics):
        url = f"https://{lookups}{stub_service.path}/links/alice"
        eventually(lambda: stub_service.endpoint(2) in read(url, authority), "the resolver finds the link")
        assert "statefulroute_build_info{" in read(f"https://{metrics}/metrics", authority)
        credentials = grpc.ssl_channel_credentials(authority.certificate)
        with grpc.secure_channel(picker, credentials) as channel:
            response = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert response.status == health_pb2.HealthCheckResponse.SERVING
