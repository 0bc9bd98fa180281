"""Metrics over TLS are for clients with a token whose user may read them."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from structlog.testing import capture_logs

from localcluster.certificates import Authority
from statefulroute.cluster.connection import connect
from statefulroute.monitoring.api_requests import APIRequestMetrics
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.secure_metrics import serve_secure_metrics
from statefulroute.monitoring.server import BindError
from statefulroute.monitoring.settings import MetricsEndpoint, ServerTls
from statefulroute.monitoring.tls import UnusableCertificateError, reloading_tls_context
from unit.cluster.fake_api import FakeAPI
from unit.cluster.kubeconfigs import write_kubeconfig

ANY_PORT = BindAddress("127.0.0.1", 0)
USER = "system:serviceaccount:monitoring:prometheus"


def issue(authority: Authority, folder: Path) -> ServerTls:
    """Writes a new certificate of an authority and its key."""
    pair = authority.server(("127.0.0.1",))
    files = ServerTls(folder / "tls.crt", folder / "tls.key")
    files.key.write_bytes(pair.key)
    files.certificate.write_bytes(pair.certificate)
    return files


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.certificate.decode())


class Response(NamedTuple):
    """A response."""

    status: int
    text: str
    headers: Mapping[str, str]


class Metrics:
    """A running server of metrics, and a client that trusts its authority."""

    def __init__(self, address: str, session: aiohttp.ClientSession, authority: Authority) -> None:
        self.address = address
        self.session = session
        self._authority = authority

    async def request(self, path: str = "/metrics", *, bearer: str | None = None, method: str = "GET") -> Response:
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        url = f"https://{self.address}{path}"
        async with self.session.request(method, url, headers=headers, ssl=trusting(self._authority)) as response:
            return Response(response.status, await response.text(), response.headers)

    async def has_certificate_of(self, authority: Authority) -> bool:
        """Returns whether a new connection gets a certificate of an authority."""
        host, _, port = self.address.rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port), ssl=trusting(authority))
        except ssl.SSLError:
            return False
        writer.close()
        return True


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@asynccontextmanager
async def serving(api: FakeAPI, authority: Authority, folder: Path, *, authenticates: bool) -> AsyncIterator[Metrics]:
    requests = APIRequestMetrics()
    endpoint = MetricsEndpoint(ANY_PORT, issue(authority, folder), authenticates)
    with capture_logs() as lines:
        async with (
            connect(write_kubeconfig(folder / "kubeconfig", server=api.server)) as connection,
            serve_secure_metrics(endpoint, [requests], connection, requests, reload_seconds=0.01),
            aiohttp.ClientSession() as session,
        ):
            (line,) = (line for line in lines if line["event"] == "serving metrics over TLS")
            assert line["authentication"] is authenticates
            yield Metrics(line["addresses"][0], session, authority)


@pytest.fixture
async def metrics(api: FakeAPI, authority: Authority, tmp_path: Path) -> AsyncIterator[Metrics]:
    async with serving(api, authority, tmp_path, authenticates=True) as running:
        yield running


async def review(api: FakeAPI, *, is_allowed: bool = True) -> None:
    """Answers the reviews of a token of the user."""
    call = await api.call()
    assert call.path == "/apis/authentication.k8s.io/v1/tokenreviews"
    assert call.json["spec"] == {"token": "good"}
    call.respond({"status": {"authenticated": True, "user": {"username": USER}, "audiences": ["https://kubernetes"]}})
    call = await api.call()
    assert call.path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert call.json["spec"]["user"] == USER
    assert call.json["spec"]["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
    call.respond({"status": {"allowed": is_allowed}})


async def test_metrics_are_served_to_users_who_may_get_them(metrics: Metrics, api: FakeAPI) -> None:
    response, _ = await asyncio.gather(metrics.request(bearer="good"), review(api))
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    counted = 'statefulroute_api_requests_total{code="200",resource="subjectaccessreviews",verb="create"} 1.0'
    assert counted in response.text
    assert (await metrics.request(bearer="good")).status == 200
    assert api.has_no_calls, "the review is cached"


async def test_users_who_may_not_get_them_are_forbidden(metrics: Metrics, api: FakeAPI) -> None:
    response, _ = await asyncio.gather(metrics.request(bearer="good"), review(api, is_allowed=False))
    assert response.status == 403
    assert response.text == (
        f"{USER} may not get /metrics: bind it to a ClusterRole that allows this, like ...-metrics-reader\n"
    )


async def test_requests_without_a_token_are_not_reviewed(metrics: Metrics, api: FakeAPI) -> None:
    response = await metrics.request()
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert response.text == "send a token of your ServiceAccount, as Authorization: Bearer\n"
    assert api.has_no_calls


async def test_tokens_that_the_api_server_does_not_accept(metrics: Metrics, api: FakeAPI) -> None:
    async def refuse() -> None:
        (await api.call()).respond({"status": {"authenticated": False, "error": "invalid bearer token"}})

    response, _ = await asyncio.gather(metrics.request(bearer="invented"), refuse())
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert response.text == "the API server does not accept this token\n"


@pytest.mark.parametrize(("code", "status"), [(503, 503), (403, 502)])
async def test_tokens_that_cannot_be_reviewed(metrics: Metrics, api: FakeAPI, code: int, status: int) -> None:
    async def fail() -> None:
        (await api.call()).respond_error(code, "Reason", "why")

    response, _ = await asyncio.gather(metrics.request(bearer="good"), fail())
    assert response.status == status
    assert "statefulroute_" not in response.text


async def test_floods_of_invented_tokens_are_limited(metrics: Metrics, api: FakeAPI) -> None:
    async def refuse() -> None:
        while True:
            (await api.call()).respond({"status": {"authenticated": False}})

    refusing = asyncio.create_task(refuse())
    responses = await asyncio.gather(*(metrics.request(bearer=f"invented-{number}") for number in range(60)))
    refusing.cancel()
    assert {response.status for response in responses} == {401, 429}
    assert all(int(each.headers["Retry-After"]) >= 1 for each in responses if each.status == 429)


async def test_nothing_else_is_served(metrics: Metrics, api: FakeAPI) -> None:
    for path in ("/", "/healthz", "/readyz", "/metrics/"):
        assert (await metrics.request(path, bearer="good")).status == 404
    response = await metrics.request(bearer="good", method="POST")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    assert api.has_no_calls


async def test_requests_without_tls_are_not_answered(metrics: Metrics) -> None:
    with pytest.raises(aiohttp.ClientError):
        await metrics.session.get(f"http://{metrics.address}/metrics")


async def test_without_authentication_no_token_is_needed(api: FakeAPI, authority: Authority, tmp_path: Path) -> None:
    async with serving(api, authority, tmp_path, authenticates=False) as metrics:
        response = await metrics.request()
        assert response.status == 200
        assert "process_resident_memory_bytes" in response.text
        assert api.has_no_calls


async def test_renewed_certificates_are_used(metrics: Metrics, authority: Authority, tmp_path: Path) -> None:
    renewed = Authority()
    assert await metrics.has_certificate_of(authority)
    (tmp_path / "tls.crt").write_text("half a file")  # it has no effect
    await asyncio.sleep(0.05)
    assert await metrics.has_certificate_of(authority)
    issue(renewed, tmp_path)
    async with asyncio.timeout(10):
        while not await metrics.has_certificate_of(renewed):  # noqa: ASYNC110 - the reload has no event
            await asyncio.sleep(0.01)
    assert not await metrics.has_certificate_of(authority)


@pytest.mark.parametrize("is_missing_first", [False, True])
async def test_certificates_that_are_renewed_while_the_server_starts_are_used(
    authority: Authority, tmp_path: Path, is_missing_first: bool
) -> None:
    files = issue(authority, tmp_path)
    async with reloading_tls_context(files, 0.01) as context:
        assert context is not None
        first = context.current
        if is_missing_first:
            files.key.unlink()
            await asyncio.sleep(0.05)
        issue(Authority(), tmp_path)
        os.utime(files.certificate, ns=(0, 0))  # another time than that of the first one, however coarse the clock
        async with asyncio.timeout(10):
            while context.current is first:  # noqa: ASYNC110 - the reload has no event
                await asyncio.sleep(0.01)


async def test_no_connection_is_refused_while_certificates_are_replaced(metrics: Metrics, tmp_path: Path) -> None:
    authority, is_over = Authority(), False

    async def connect_again_and_again() -> None:
        host, _, port = metrics.address.rpartition(":")
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        while not is_over:
            _, writer = await asyncio.open_connection(host, int(port), ssl=tls)
            writer.close()

    async with asyncio.TaskGroup() as clients:
        for _ in range(4):
            clients.create_task(connect_again_and_again())
        for number in range(20):
            files = issue(authority, tmp_path)
            os.utime(files.certificate, ns=(0, number))
            await asyncio.sleep(0.05)
        is_over = True


async def test_unusable_files_and_addresses_are_reported(api: FakeAPI, authority: Authority, tmp_path: Path) -> None:
    async with connect(write_kubeconfig(tmp_path / "kubeconfig", server=api.server)) as connection:
        missing = ServerTls(tmp_path / "missing.crt", tmp_path / "missing.key")
        with pytest.raises(UnusableCertificateError, match=r"missing\.crt, .*missing\.key must be files in PEM"):
            async with serve_secure_metrics(MetricsEndpoint(ANY_PORT, missing), [], connection):
                pass
        elsewhere = MetricsEndpoint(BindAddress("192.0.2.1", 8443), issue(authority, tmp_path))
        with pytest.raises(BindError, match="choose another address with --metrics-address"):
            async with serve_secure_metrics(elsewhere, [], connection):
                pass
