"""Where the cluster's address and credentials come from, and what is said when they cannot be had."""

import asyncio
import json
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from localcluster.certificates import Authority
from statefulroute.cluster import full_kubeconfig, service_account
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import APIError, NotConnectedError, UnreachableError
from statefulroute.cluster.plain_kubeconfig import plain_connection
from unit.cluster.fake_api import TIMEOUT_SECONDS, Call, FakeAPI, eventually, run_fake_api
from unit.cluster.kubeconfigs import kubeconfig, write_kubeconfig


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The home of somebody who has no kubeconfig yet, and works outside of any cluster."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def account(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a pod's ServiceAccount, in a pod."""
    folder = home / "serviceaccount"
    folder.mkdir()
    monkeypatch.setattr(service_account, "SERVICE_ACCOUNT_DIRECTORY", folder)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    (folder / "token").write_text("of-the-pod")
    (folder / "ca.crt").write_bytes(Authority().certificate)
    return folder


def tls(authority: Authority, folder: Path, *addresses: str) -> ssl.SSLContext:
    """A server's context with a certificate for `kubernetes`, and for addresses."""
    pair = authority.server(addresses)
    (folder / "server.pem").write_bytes(pair.key + pair.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context


async def one_call(api: FakeAPI, client: Client) -> Call:
    """A request of the client, as the server got it."""
    asked = asyncio.create_task(client.get("/version"))
    call = await api.call()
    call.respond({})
    await asked
    return call


@pytest.mark.usefixtures("account")
async def test_a_named_kubeconfig_wins_over_all_others(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(home / "environment", "http://environment")))
    write_kubeconfig(home / ".kube/config", "http://home")
    async with connect(write_kubeconfig(home / "named", "http://named")) as connection:
        assert connection.server == "http://named"


@pytest.mark.usefixtures("account")
async def test_the_environments_kubeconfig_wins_over_the_pods_account(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(home / "environment", "http://environment")))
    async with connect() as connection:
        assert connection.server == "http://environment"


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("empty", [True, False])
async def test_the_pods_account_wins_over_the_home_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, *, empty: bool
) -> None:
    if empty:
        monkeypatch.setenv("KUBECONFIG", "")
    write_kubeconfig(home / ".kube/config", "http://home")
    async with connect() as connection:
        assert connection.server == "https://127.0.0.1:6443"


async def test_the_home_folder_is_looked_at_last(home: Path) -> None:
    write_kubeconfig(home / ".kube/config", "http://home/")
    async with connect() as connection:
        assert connection.server == "http://home"


async def test_several_kubeconfigs_are_merged_and_absent_ones_are_passed_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_kubeconfig(home / "b", "http://b")
    monkeypatch.setenv("KUBECONFIG", f"{home / 'absent'}:{other}")
    async with connect() as connection:
        assert connection.server == "http://b"


@pytest.mark.usefixtures("account")
async def test_in_a_pod_a_named_context_asks_for_a_kubeconfig(home: Path) -> None:
    path = write_kubeconfig(home / ".kube/config", "http://home")
    async with connect(context=json.loads(path.read_text())["current-context"]) as connection:
        assert connection.server == "http://home"


async def test_another_context_of_the_kubeconfig_can_be_named(home: Path) -> None:
    both = kubeconfig("http://here")
    both["contexts"].append({"name": "elsewhere", "context": {"cluster": "far"}})
    both["clusters"].append({"name": "far", "cluster": {"server": "http://far"}})
    (home / "both").write_text(json.dumps(both))
    async with connect(home / "both", "elsewhere") as connection:
        assert connection.server == "http://far"


def with_certificates(folder: Path) -> dict[str, dict[str, str]]:
    """Kubeconfigs' fields of a cluster and of a user, with certificates in files and in the kubeconfig itself."""
    authority = Authority()
    pair = authority.client("me")
    files = {"ca.crt": authority.certificate, "me.crt": pair.certificate, "me.key": pair.key}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    data = {name: b64encode(content).decode() for name, content in files.items()}
    return {
        "cluster's file": {"certificate-authority": "ca.crt"},
        "cluster's data": {"certificate-authority-data": data["ca.crt"]},
        "user's files": {"client-certificate": "me.crt", "client-key": str(folder / "me.key")},
        "user's data": {"client-certificate-data": data["me.crt"], "client-key-data": data["me.key"]},
    }


async def described(connection: Connection) -> tuple[Any, ...]:
    """All that can be seen of a connection."""
    tls, credentials = connection.tls, connection.credentials
    header = credentials and await credentials.authorization()
    seen = (connection.server, connection.server_name, connection.proxy, connection.namespace, header)
    return (*seen, tls.verify_mode, tls.check_hostname, tls.verify_flags, sorted(tls.get_ca_certs(), key=str))


async def test_a_plain_kubeconfig_is_understood_as_by_kubernetes_own_library(home: Path) -> None:
    certificates = with_certificates(home)
    (home / "token").write_text("of-the-file\n")
    users: list[dict[str, Any]] = [
        {},  # without any user the library understands no https
        {"token": "secret"},
        {"tokenFile": "token"},
        {"username": "me", "password": "pass:word"},
        certificates["user's files"],
        certificates["user's data"],
        {"token": "secret"} | certificates["user's data"],
    ]
    clusters = [
        {},
        {"insecure-skip-tls-verify": True},
        {"tls-server-name": "kubernetes", "proxy-url": "http://proxy.invalid"},
        certificates["cluster's file"],
        certificates["cluster's data"],
    ]
    for user, cluster, namespace in product(users, clusters, [None, "play"]):
        path = write_kubeconfig(home / "kubeconfig", "https://there:6443/", user, **cluster)
        if namespace:
            whole = json.loads(path.read_text())
            whole["contexts"][0]["context"]["namespace"] = namespace
            path.write_text(json.dumps(whole))
        plain = plain_connection(path)
        assert plain is not None, (user, cluster)
        async with full_kubeconfig.full_connection(str(path)) as full:
            assert await described(plain) == await described(full), (user, cluster)


@pytest.mark.parametrize(
    "user", [{"exec": {"command": "cat"}}, {"auth-provider": {"name": "oidc"}}, {"as": "somebody"}]
)
def test_what_only_the_library_understands_is_left_to_it(home: Path, user: dict[str, Any]) -> None:
    assert plain_connection(write_kubeconfig(home / "kubeconfig", "https://there:6443", user)) is None


def test_a_plain_kubeconfig_does_without_the_library_that_takes_long_to_import() -> None:
    program = "import sys; import statefulroute.cluster.connection; assert 'kubernetes' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def without(path: str, whole: dict[str, Any] | None = None) -> str:
    """A kubeconfig that lacks one thing."""
    whole = whole or kubeconfig("http://there")
    *parents, last = path.split("/")
    node: Any = whole
    for parent in parents:
        node = node[int(parent) if parent.isdigit() else parent]
    del node[last]
    return json.dumps(whole)


WRONG = {
    "empty": "",
    "no mapping": "- a\n- b\n",
    "a word": "hello",
    "no YAML": "clusters: [\n",
    "a control character": "clusters: \x00",
    "bytes that are no text": b"\xff\xfe\xfa",
    "no current context": without("current-context"),
    "no contexts": without("contexts"),
    "a context without a cluster": without("contexts/0/context/cluster"),
    "a context without its content": without("contexts/0/context"),
    "a context without a name": without("contexts/0/name"),
    "no clusters": without("clusters"),
    "a cluster without its content": without("clusters/0/cluster"),
    "a cluster without a server": without("clusters/0/cluster/server"),
    "contexts of the wrong kind": json.dumps(kubeconfig("http://there") | {"contexts": 5}),
    "no certificate in the data": json.dumps(kubeconfig("https://there", {}, **{"certificate-authority-data": "AAAA"})),
    "no Base64 in the data": json.dumps(kubeconfig("https://there", {}, **{"certificate-authority-data": "A"})),
    "a certificate's file that is absent": json.dumps(
        kubeconfig("https://there", {}, **{"certificate-authority": "absent.pem"})
    ),
    "a plugin that is not installed": json.dumps(
        kubeconfig("http://there", {"exec": {"command": "/absent/plugin", "apiVersion": "v1"}})
    ),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
async def test_a_kubeconfig_that_cannot_be_used_is_answered_with_one_sentence(home: Path, content: str | bytes) -> None:
    wrong = home / "wrong"
    wrong.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(NotConnectedError) as refused:
        await connect(wrong).__aenter__()
    assert str(refused.value).startswith("cannot load the cluster's configuration (")
    assert str(refused.value).endswith("; name a kubeconfig with --kubeconfig or $KUBECONFIG")
    assert "\n" not in str(refused.value)


async def test_an_absent_kubeconfig_is_named(home: Path) -> None:
    with pytest.raises(NotConnectedError, match=f"there is no file {home / 'absent'}"):
        await connect(home / "absent").__aenter__()
    with pytest.raises(NotConnectedError, match=f"there is no file {home / '.kube/config'}"):
        await connect().__aenter__()


async def test_an_unknown_context_is_named(home: Path) -> None:
    with pytest.raises(NotConnectedError, match="unheard-of"):
        await connect(write_kubeconfig(home / "named", "http://named"), "unheard-of").__aenter__()


@pytest.mark.parametrize(("file", "content"), [("token", None), ("token", ""), ("ca.crt", None), ("ca.crt", "no PEM")])
async def test_a_broken_account_of_the_pod_is_answered_with_one_sentence(
    account: Path, file: str, content: str | None
) -> None:
    if content is None:
        (account / file).unlink()
    else:
        (account / file).write_text(content)
    with pytest.raises(NotConnectedError, match="cannot load the cluster's configuration"):
        await connect().__aenter__()


@pytest.fixture
async def in_cluster(account: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeAPI]:
    """The API server of the cluster that the test runs in."""
    authority = Authority()
    (account / "ca.crt").write_bytes(authority.certificate)
    async with run_fake_api(tls(authority, account, "127.0.0.1")) as api:
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", api.server.rpartition(":")[2])
        yield api


@pytest.fixture
def rotating(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that was read is read again at the next request."""
    monkeypatch.setattr(service_account, "_CACHE_SECONDS", 0.0)


@pytest.mark.usefixtures("rotating")
async def test_a_token_that_kubernetes_has_rotated_is_used_by_the_next_request(
    in_cluster: FakeAPI, account: Path
) -> None:
    async with connect() as connection, Client(connection) as client:
        assert (await one_call(in_cluster, client)).headers["Authorization"] == "Bearer of-the-pod"
        (account / "token").write_text("of-the-next-hour\n")
        assert (await one_call(in_cluster, client)).headers["Authorization"] == "Bearer of-the-next-hour"


@pytest.mark.usefixtures("rotating")
async def test_a_token_that_cannot_be_read_is_an_error_of_the_connection_until_it_can(
    in_cluster: FakeAPI, account: Path
) -> None:
    async with connect() as connection, Client(connection) as client:
        (account / "token").write_text("")
        with pytest.raises(NotConnectedError, match="is empty"):
            await client.get("/version")
        (account / "token").unlink()
        with pytest.raises(NotConnectedError, match="No such file"):
            await client.get("/version")
        (account / "token").write_text("again")
        assert (await one_call(in_cluster, client)).headers["Authorization"] == "Bearer again"


async def test_a_token_that_is_refused_is_replaced_by_the_one_that_the_file_holds_by_now(
    in_cluster: FakeAPI, account: Path
) -> None:
    async with connect() as connection, Client(connection) as client:
        await one_call(in_cluster, client)
        (account / "token").write_text("of-the-next-hour")
        asked = asyncio.create_task(client.post("/api", b"what is written"))
        (await in_cluster.call()).respond_error(401, "Unauthorized")
        again = await in_cluster.call()
        again.respond({})
        await asked
        assert again.headers["Authorization"] == "Bearer of-the-next-hour"
        assert again.body == b"what is written"
        assert (await one_call(in_cluster, client)).headers["Authorization"] == "Bearer of-the-next-hour"


async def test_who_is_refused_and_has_no_other_token_is_told_so(in_cluster: FakeAPI) -> None:
    async with connect() as connection, Client(connection) as client:
        asked = asyncio.create_task(client.get("/version"))
        (await in_cluster.call()).respond_error(401, "Unauthorized")
        with pytest.raises(APIError, match="401 Unauthorized"):
            await asked
        assert in_cluster.has_no_calls


@pytest.mark.usefixtures("in_cluster")
@pytest.mark.parametrize("is_kubeconfig", [True, False])
async def test_an_authority_that_came_into_the_file_later_is_trusted_from_then_on(
    account: Path, monkeypatch: pytest.MonkeyPatch, *, is_kubeconfig: bool
) -> None:
    other = Authority()
    async with run_fake_api(tls(other, account, "127.0.0.1")) as api:
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", api.server.rpartition(":")[2])
        path = write_kubeconfig(account / "config", api.server, {}, **{"certificate-authority": "ca.crt"})
        async with connect(path if is_kubeconfig else None) as connection, Client(connection) as client:
            with pytest.raises(UnreachableError, match="certificate"):
                await client.get("/version")
            (account / "ca.crt").write_text("half a file")
            with pytest.raises(UnreachableError):
                await client.get("/version")
            (account / "ca.crt").write_bytes(other.certificate)
            assert (await one_call(api, client)).path == "/version"


def write_credential(path: Path, token: str) -> None:
    """What an exec plugin prints: a token that has ended already, so that it is asked again at once."""
    path.write_text(
        json.dumps(
            {
                "apiVersion": "client.authentication.k8s.io/v1",
                "kind": "ExecCredential",
                "status": {"token": token, "expirationTimestamp": "2026-01-01T00:00:00Z"},
            }
        )
    )


async def test_an_exec_plugin_is_asked_again_before_its_token_ends(
    api: FakeAPI, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(full_kubeconfig, "_TOKEN_CHECK_SECONDS", 0.001)
    credential = home / "credential"
    write_credential(credential, "first")
    plugin = {"command": "cat", "args": [str(credential)], "apiVersion": "client.authentication.k8s.io/v1"}
    path = write_kubeconfig(home / "kubeconfig", api.server, {"exec": plugin})
    async with connect(path) as connection, Client(connection) as client:
        assert (await one_call(api, client)).headers["Authorization"] == "Bearer first"
        credential.write_text("the plugin fails for once")
        await eventually(lambda: "failed to decode" in caplog.text)
        assert (await one_call(api, client)).headers["Authorization"] == "Bearer first"
        write_credential(credential, "second")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (await one_call(api, client)).headers["Authorization"] != "Bearer second":
                pass


@pytest.mark.parametrize(
    ("user", "header"),
    [
        (None, None),
        ({"token": "secret"}, "Bearer secret"),
        ({"username": "me", "password": "secret"}, "Basic bWU6c2VjcmV0"),
    ],
)
async def test_a_request_carries_the_users_credentials(
    api: FakeAPI, home: Path, user: dict[str, Any] | None, header: str | None
) -> None:
    path = write_kubeconfig(home / "kubeconfig", api.server, user)
    async with connect(path) as connection, Client(connection) as client:
        assert (await one_call(api, client)).headers.get("Authorization") == header


async def test_the_certificate_is_expected_to_bear_the_name_that_the_kubeconfig_gives(home: Path) -> None:
    authority = Authority()
    (home / "ca.crt").write_bytes(authority.certificate)
    async with run_fake_api(tls(authority, home)) as api:
        trust = {"certificate-authority": str(home / "ca.crt")}
        path = write_kubeconfig(home / "plain", api.server, {}, **trust)
        async with connect(path) as connection, Client(connection) as client:
            with pytest.raises(UnreachableError, match="certificate"):
                await client.get("/version")
        path = write_kubeconfig(home / "named", api.server, {}, **trust, **{"tls-server-name": "kubernetes"})
        async with connect(path) as connection, Client(connection) as client:
            assert (await one_call(api, client)).path == "/version"


async def test_proxies_of_the_environment_are_not_used(
    api: FakeAPI, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await one_call(api, client)).path == "/version"


async def test_the_proxy_of_the_kubeconfig_is_used(api: FakeAPI, home: Path) -> None:
    path = write_kubeconfig(home / "kubeconfig", "http://cluster.invalid", **{"proxy-url": api.server})
    async with connect(path) as connection, Client(connection) as client:
        assert (await one_call(api, client)).headers["Host"] == "cluster.invalid"


async def test_nothing_is_left_running_after_the_connection(api: FakeAPI, home: Path) -> None:
    before = asyncio.all_tasks()
    plugin = {"command": "echo", "args": ["{}"], "apiVersion": "v1"}
    with pytest.raises(NotConnectedError, match="gave no credentials"):
        await connect(write_kubeconfig(home / "silent", api.server, {"exec": plugin})).__aenter__()
    write_credential(home / "credential", "token")
    plugin |= {"command": "cat", "args": [str(home / "credential")], "apiVersion": "client.authentication.k8s.io/v1"}
    async with connect(write_kubeconfig(home / "speaking", api.server, {"exec": plugin})):
        assert len(asyncio.all_tasks() - before) == 1
    assert asyncio.all_tasks() == before
