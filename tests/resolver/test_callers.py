"""Who may ask, and how often."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from harness.accounts import Person
from harness.kubectl import Kubectl
from localcluster import LocalCluster
from resolver.place import Place, in_thread, uids
from resolver.running import Asker, running
from statefulroute.cluster.client import Client
from statefulroute.resolver.settings import Tls
from statefulroute.resolver.tls import UnusableCertificateError, secure

AUDIENCE = "statefulroute-resolver"


def token_of(cluster: LocalCluster, place: Place, account: str, audience: str = AUDIENCE) -> str:
    """A new token of a ServiceAccount for an audience."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": 600},
    }
    person = Person.of(cluster.kubeconfig, place.namespace)
    answer = person.ask("POST", f"serviceaccounts/{account}/token", request).expect_success()
    return str(answer["status"]["token"])


class CountingClient(Client):
    """A client that counts the reviews of tokens."""

    reviews = 0

    async def post(self, path: str, body: bytes) -> bytes:
        self.reviews += path.endswith("/tokenreviews")
        return await super().post(path, body)


def bearing(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def gateway(installed: Kubectl, place: Place) -> Iterator[str]:
    """The user of a ServiceAccount of its own."""
    here = installed.within(place.namespace)
    here.run("create", "serviceaccount", "gateway").expect_success()
    yield f"system:serviceaccount:{place.namespace}:gateway"
    here.run("delete", "serviceaccount", "gateway").expect_success()


async def test_only_who_is_known_by_a_token_for_the_resolver_is_let_in(
    cluster: LocalCluster, place: Place, gateway: str
) -> None:
    assert gateway
    await in_thread(place.link, "alice", 0)
    good = await in_thread(token_of, cluster, place, "gateway")
    other = await in_thread(token_of, cluster, place, "gateway", "https://kubernetes.default.svc")
    async with running(cluster.kubeconfig, namespaces=(place.namespace,), token_audience=AUDIENCE) as resolver:
        paths = (f"{place.path}/links/alice", place.path, place.gateway, f"{place.path}/nowhere")
        for path in paths:
            for headers in ({}, bearing("nonsense"), bearing(other), {"Authorization": f"Basic {good}"}):
                reply = await resolver.asker.get(path, headers=headers)
                assert reply.problem[:2] == (401, "not-authenticated"), path
                assert reply.headers["WWW-Authenticate"] == "Bearer"
        assert (await resolver.asker.post(f"{place.path}/links/bob")).status == 401
        assert await in_thread(place.stored) == {"alice": 0}
        reply = await resolver.asker.get(f"{place.path}/links/alice", headers=bearing(good))
        assert (reply.status, reply.json["podName"]) == (200, "game-0")
        assert (await resolver.asker.get("/openapi.json")).status == 200  # it tells nothing of anybody


async def test_a_token_is_reviewed_once_and_not_at_every_request(
    cluster: LocalCluster, place: Place, gateway: str
) -> None:
    assert gateway
    token = await in_thread(token_of, cluster, place, "gateway")
    async with running(
        cluster.kubeconfig, CountingClient, namespaces=(place.namespace,), token_audience=AUDIENCE
    ) as resolver:
        for _ in range(20):
            assert (await resolver.asker.get(place.path, headers=bearing(token))).status == 200
            assert (await resolver.asker.get(place.path, headers=bearing("nonsense"))).status == 401
        assert isinstance(resolver.client, CountingClient)
        assert resolver.client.reviews == 2


async def test_only_those_are_let_in_who_are_named(cluster: LocalCluster, place: Place, gateway: str) -> None:
    good, other = [await in_thread(token_of, cluster, place, account) for account in ("gateway", "default")]
    async with running(
        cluster.kubeconfig, namespaces=(place.namespace,), token_audience=AUDIENCE, allowed_users=(gateway,)
    ) as resolver:
        assert (await resolver.asker.get(place.path, headers=bearing(good))).status == 200
        reply = await resolver.asker.get(place.path, headers=bearing(other))
        assert reply.problem == (
            403,
            "not-allowed",
            f"system:serviceaccount:{place.namespace}:default is none of the users that are let in (--allow-user)",
        )


async def test_each_caller_may_ask_so_often(cluster: LocalCluster, place: Place, gateway: str) -> None:
    assert gateway
    tokens = [await in_thread(token_of, cluster, place, account) for account in ("gateway", "default")]
    async with running(
        cluster.kubeconfig, namespaces=(place.namespace,), token_audience=AUDIENCE, requests_per_second=5
    ) as resolver:
        one, other = (Asker(resolver.asker.base, resolver.asker.session, bearing(token)) for token in tokens)
        replies = await asyncio.gather(*(one.get(f"{place.path}/links/{uid}") for uid in uids("u", 40)))
        turned_away = [reply for reply in replies if reply.status == 429]
        assert len(turned_away) > 20
        assert turned_away[0].problem[1] == "too-many-requests"
        assert int(turned_away[0].headers["Retry-After"]) >= 1
        assert (await other.get(place.path)).status == 200  # another caller has turns of its own


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, a certificate of the resolver, one of a gateway, and a stranger's."""
    folder = tmp_path_factory.mktemp("certificates")
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed: nobody makes certificates here")

    def make(name: str, *how: str) -> None:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key")
        asked = ("req", "-x509", *key, "-days", "2", "-subj", f"/CN={name}", "-out", f"{name}.crt", *how)
        subprocess.run([program, *asked], cwd=folder, check=True, capture_output=True)

    for authority in ("ca", "strangers"):
        make(authority)
    leaf = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")
    for name, authority in (("server", "ca"), ("gateway", "ca"), ("stranger", "strangers")):
        make(name, "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", *leaf)
    return folder


def _as(folder: Path, name: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    if name is not None:
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context


async def test_only_who_has_a_certificate_of_the_authority_is_let_in(
    cluster: LocalCluster, place: Place, certificates: Path
) -> None:
    tls = Tls(certificates / "server.crt", certificates / "server.key", certificates / "ca.crt")
    async with running(cluster.kubeconfig, namespaces=(place.namespace,), tls=tls) as resolver:
        url = resolver.asker.base + place.path
        async with resolver.asker.session.get(url, ssl=_as(certificates, "gateway")) as response:
            assert response.status == 200
        for stranger in ("stranger", None):
            with pytest.raises((aiohttp.ClientError, ConnectionError, ssl.SSLError)):
                async with resolver.asker.session.get(url, ssl=_as(certificates, stranger)) as response:
                    await response.read()


def test_files_that_are_no_certificates_are_told(certificates: Path) -> None:
    with pytest.raises(UnusableCertificateError, match="--tls-certificate, --tls-key and --client-ca must name files"):
        secure(Tls(certificates / "server.key", certificates / "nowhere"))
