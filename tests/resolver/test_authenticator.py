"""Tests authentication by tokens and certificates, and the rate limits of callers."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import aiohttp
import grpc
import pytest

from localcluster import LocalCluster
from resolver.envoy import picked_endpoint, run_envoy
from resolver.in_process import HTTPClient, run_resolver, run_resolver_in_thread
from resolver.stub_service import StubService, in_thread, uids
from statefulroute.cluster.client import Client
from statefulroute.domain.keys import RouteKey
from statefulroute.monitoring.settings import ServerTls
from statefulroute.monitoring.tls import UnusableCertificateError, load_tls_context
from support.api_user import APIUser
from support.kubectl import Kubectl
from support.waiting import eventually

AUDIENCE = "statefulroute-resolver"


def token_of(cluster: LocalCluster, stub_service: StubService, account: str, audience: str = AUDIENCE) -> str:
    """Creates a token of a ServiceAccount for an audience."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": 600},
    }
    api_user = APIUser.of(cluster.kubeconfig, stub_service.namespace)
    answer = api_user.request("POST", f"serviceaccounts/{account}/token", request).expect_success()
    return str(answer["status"]["token"])


class CountingClient(Client):
    """A client that counts TokenReviews."""

    reviews = 0

    async def post(self, path: str, body: bytes) -> bytes:
        self.reviews += path.endswith("/tokenreviews")
        return await super().post(path, body)


def bearer_headers(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def gateway(installed: Kubectl, stub_service: StubService) -> Iterator[str]:
    """The user name of a new ServiceAccount."""
    namespaced = installed.within(stub_service.namespace)
    namespaced.run("create", "serviceaccount", "gateway").expect_success()
    yield f"system:serviceaccount:{stub_service.namespace}:gateway"
    namespaced.run("delete", "serviceaccount", "gateway").expect_success()


async def test_only_tokens_for_the_audience_are_accepted(
    cluster: LocalCluster, stub_service: StubService, gateway: str
) -> None:
    assert gateway
    await in_thread(stub_service.link, "alice", 0)
    good = await in_thread(token_of, cluster, stub_service, "gateway")
    other = await in_thread(token_of, cluster, stub_service, "gateway", "https://kubernetes.default.svc")
    async with run_resolver(
        cluster.kubeconfig, namespaces=(stub_service.namespace,), token_audience=AUDIENCE
    ) as resolver:
        paths = (
            f"{stub_service.path}/links/alice",
            stub_service.path,
            stub_service.ext_authz_path,
            f"{stub_service.path}/nowhere",
        )
        for path in paths:
            for headers in ({}, bearer_headers("nonsense"), bearer_headers(other), {"Authorization": f"Basic {good}"}):
                reply = await resolver.http.get(path, headers=headers)
                assert reply.problem[:2] == (401, "not-authenticated"), path
                assert reply.headers["WWW-Authenticate"] == "Bearer"
        assert (await resolver.http.post(f"{stub_service.path}/links/bob")).status == 401
        assert await in_thread(stub_service.stored_pods) == {"alice": 0}
        reply = await resolver.http.get(f"{stub_service.path}/links/alice", headers=bearer_headers(good))
        assert (reply.status, reply.json["podName"]) == (200, "game-0")
        assert (await resolver.http.get("/openapi.json")).status == 200  # it has no data


async def test_token_is_reviewed_once(cluster: LocalCluster, stub_service: StubService, gateway: str) -> None:
    assert gateway
    token = await in_thread(token_of, cluster, stub_service, "gateway")
    async with run_resolver(
        cluster.kubeconfig, CountingClient, namespaces=(stub_service.namespace,), token_audience=AUDIENCE
    ) as resolver:
        for _ in range(20):
            assert (await resolver.http.get(stub_service.path, headers=bearer_headers(token))).status == 200
            assert (await resolver.http.get(stub_service.path, headers=bearer_headers("nonsense"))).status == 401
        assert isinstance(resolver.client, CountingClient)
        assert resolver.client.reviews == 2


async def test_only_allowed_users_are_accepted(cluster: LocalCluster, stub_service: StubService, gateway: str) -> None:
    good, other = [await in_thread(token_of, cluster, stub_service, account) for account in ("gateway", "default")]
    async with run_resolver(
        cluster.kubeconfig, namespaces=(stub_service.namespace,), token_audience=AUDIENCE, allowed_users=(gateway,)
    ) as resolver:
        assert (await resolver.http.get(stub_service.path, headers=bearer_headers(good))).status == 200
        reply = await resolver.http.get(stub_service.path, headers=bearer_headers(other))
        assert reply.problem == (
            403,
            "not-allowed",
            (f"system:serviceaccount:{stub_service.namespace}:default is not one of the allowed users (--allow-user)"),
        )


async def test_request_rate_of_each_caller_is_limited(
    cluster: LocalCluster, stub_service: StubService, gateway: str
) -> None:
    assert gateway
    tokens = [await in_thread(token_of, cluster, stub_service, account) for account in ("gateway", "default")]
    async with run_resolver(
        cluster.kubeconfig, namespaces=(stub_service.namespace,), token_audience=AUDIENCE, requests_per_second=5
    ) as resolver:
        one, other = (HTTPClient(resolver.http.base, resolver.http.session, bearer_headers(token)) for token in tokens)
        replies = await asyncio.gather(*(one.get(f"{stub_service.path}/links/{uid}") for uid in uids("u", 40)))
        limited = [reply for reply in replies if reply.status == 429]
        assert len(limited) > 20
        assert limited[0].problem[1] == "too-many-requests"
        assert int(limited[0].headers["Retry-After"]) >= 1
        assert (await other.get(stub_service.path)).status == 200  # other callers are not affected


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, certificates of the resolver and of a gateway, and one of another authority."""
    folder = tmp_path_factory.mktemp("certificates")
    issue(folder, "ca")
    issue(folder, "strangers")
    for name, authority in (("server", "ca"), ("gateway", "ca"), ("stranger", "strangers")):
        issue(folder, name, authority)
    return folder


def issue(folder: Path, name: str, authority: str | None = None) -> None:
    """Creates a certificate signed by an authority; None creates an authority."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed, and the tests need certificates")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key")
    asked = ("req", "-x509", *key, "-days", "2", "-subj", f"/CN={name}", "-out", f"{name}.crt")
    leaf = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")
    vouched = () if authority is None else ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", *leaf)
    subprocess.run([program, *asked, *vouched], cwd=folder, check=True, capture_output=True)


def _as(folder: Path, name: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    if name is not None:
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context


async def test_only_client_certificates_of_the_authority_are_accepted(
    cluster: LocalCluster, stub_service: StubService, certificates: Path
) -> None:
    tls = ServerTls(certificates / "server.crt", certificates / "server.key", certificates / "ca.crt")
    async with run_resolver(cluster.kubeconfig, namespaces=(stub_service.namespace,), tls=tls) as resolver:
        url = resolver.http.base + stub_service.path
        async with resolver.http.session.get(url, ssl=_as(certificates, "gateway")) as response:
            assert response.status == 200
        for stranger in ("stranger", None):
            with pytest.raises((aiohttp.ClientError, ConnectionError, ssl.SSLError)):
                async with resolver.http.session.get(url, ssl=_as(certificates, stranger)) as response:
                    await response.read()


def test_invalid_certificate_files_raise(certificates: Path) -> None:
    with pytest.raises(UnusableCertificateError, match=r"server\.key, .*nowhere must be files in PEM"):
        load_tls_context(ServerTls(certificates / "server.key", certificates / "nowhere"))


async def test_renewed_certificate_is_used_without_a_restart(
    cluster: LocalCluster, stub_service: StubService, certificates: Path
) -> None:
    issue(certificates, "renewed", "ca")
    files = ServerTls(certificates / "renewed.crt", certificates / "renewed.key", certificates / "ca.crt")
    async with run_resolver(cluster.kubeconfig, namespaces=(stub_service.namespace,), tls=files) as resolver:
        address = resolver.http.base.removeprefix("https://")
        before = await serial_of(address, certificates)
        files.certificate.write_text("half a file")  # an invalid file has no effect
        await asyncio.sleep(0.3)
        assert await serial_of(address, certificates) == before
        await asyncio.to_thread(issue, certificates, "renewed", "ca")
        async with asyncio.timeout(20):
            while await serial_of(address, certificates) == before:  # noqa: ASYNC110 - the reload has no event
                await asyncio.sleep(0.05)


def test_replaced_client_authority_is_no_longer_trusted(
    cluster: LocalCluster, stub_service: StubService, certificates: Path, tmp_path: Path
) -> None:
    authority = tmp_path / "clients.crt"
    authority.write_bytes((certificates / "ca.crt").read_bytes())
    tls = ServerTls(certificates / "server.crt", certificates / "server.key", authority)
    with run_resolver_in_thread(cluster.kubeconfig, namespaces=(stub_service.namespace,), tls=tls) as url:
        address = url.removeprefix("https://")
        before = accepted_session(address, stub_service.path, _as(certificates, "gateway"))
        assert before is not None
        assert accepted_session(address, stub_service.path, _as(certificates, "stranger")) is None
        authority.write_bytes((certificates / "strangers.crt").read_bytes())
        eventually(
            lambda: accepted_session(address, stub_service.path, _as(certificates, "stranger")),
            "the new authority is trusted",
        )
        assert accepted_session(address, stub_service.path, _as(certificates, "gateway")) is None
        context, session = before
        assert accepted_session(address, stub_service.path, context, session) is None  # nor is its session resumed


def accepted_session(
    address: str, path: str, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLContext, ssl.SSLSession | None] | None:
    """Sends a request by TLS; returns the session for a later connection, or None if the client is not accepted."""
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port)), timeout=10) as connection,
            context.wrap_socket(connection, server_hostname=host, session=session) as secure,
        ):
            secure.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return (context, secure.session) if secure.recv(100).startswith(b"HTTP/1.1 200") else None
    except (ssl.SSLError, ConnectionError):
        return None


async def test_grpc_server_requires_client_certificates_and_reloads_its_own(
    cluster: LocalCluster, stub_service: StubService, certificates: Path
) -> None:
    await in_thread(stub_service.link, "alice", 1)
    issue(certificates, "picker", "ca")
    files = ServerTls(certificates / "picker.crt", certificates / "picker.key", certificates / "ca.crt")
    route = RouteKey(stub_service.namespace, stub_service.name)
    async with run_envoy(cluster.kubeconfig, route, namespaces=(stub_service.namespace,), picker_tls=files) as envoy:
        address = envoy.server.address

        async def asked_as(name: str) -> str:
            certificate, key = ((certificates / f"{name}.{end}").read_bytes() for end in ("crt", "key"))
            credentials = grpc.ssl_channel_credentials((certificates / "ca.crt").read_bytes(), key, certificate)
            async with grpc.aio.secure_channel(address, credentials) as channel:
                return picked_endpoint(await replace(envoy, channel=channel).pick([("x-user-id", "alice")]))

        assert await asked_as("gateway") == stub_service.endpoint(1)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await asked_as("stranger")
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        before = await serial_of(address, certificates)
        await asyncio.to_thread(issue, certificates, "picker", "ca")
        assert await serial_of(address, certificates) != before
        assert await asked_as("gateway") == stub_service.endpoint(1)


async def serial_of(address: str, folder: Path) -> str:
    """Returns the serial number of the certificate that a server presents."""
    host, _, port = address.rpartition(":")
    context = _as(folder, "gateway")
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    certificate = writer.get_extra_info("peercert")
    writer.close()
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return str(certificate["serialNumber"])
