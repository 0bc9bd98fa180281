"""The connection loads the cluster's address and credentials, and reports unusable configurations."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import product
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import truststore

from localcluster.certificates import Authority
from statefulroute.cluster import api_server, full_kubeconfig, service_account
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import APIError, NotConnectedError, UnreachableError
from statefulroute.cluster.impersonation import Impersonation
from statefulroute.cluster.keepalive import keepalive_socket
from statefulroute.cluster.plain_kubeconfig import plain_connection
from unit.cluster.fake_api import TIMEOUT_SECONDS, Call, FakeAPI, eventually, run_fake_api
from unit.cluster.kubeconfigs import kubeconfig, write_kubeconfig


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home directory without a kubeconfig, outside of a cluster."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def account(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the ServiceAccount of the pod that the test runs in."""
    directory = home / "serviceaccount"
    directory.mkdir()
    monkeypatch.setattr(service_account, "SERVICE_ACCOUNT_DIRECTORY", directory)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    (directory / "token").write_text("of-the-pod")
    (directory / "ca.crt").write_bytes(Authority().certificate)
    return directory


def tls(authority: Authority, folder: Path, *addresses: str) -> ssl.SSLContext:
    """Returns the TLS context of a server with a certificate for `kubernetes` and for addresses."""
    pair = authority.server(addresses)
    (folder / "server.pem").write_bytes(pair.key + pair.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context


Send = Callable[[Client], Coroutine[Any, Any, bytes]]

#: Reads and writes are sent in different ways.
SENDS: dict[str, Send] = {
    "read": lambda client: client.get("/version"),
    "write": lambda client: client.merge_patch("/version", b"{}"),
}

reads_and_writes = pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)


async def one_call(api: FakeAPI, client: Client, send: Send = SENDS["read"]) -> Call:
    """Sends a request and returns it as the server received it."""
    request = asyncio.create_task(send(client))
    call = await api.call()
    call.respond({})
    await request
    return call


@pytest.mark.usefixtures("account")
async def test_the_kubeconfig_argument_takes_precedence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(home / "environment", "http://environment")))
    write_kubeconfig(home / ".kube/config", "http://home")
    async with connect(write_kubeconfig(home / "named", "http://named")) as connection:
        assert connection.server == "http://named"


@pytest.mark.usefixtures("account")
async def test_the_kubeconfig_of_the_environment_takes_precedence_over_the_service_account(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(home / "environment", "http://environment")))
    async with connect() as connection:
        assert (connection.server, connection.is_of_pod) == ("http://environment", False)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("empty", [True, False])
async def test_the_service_account_takes_precedence_over_the_home_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch, *, empty: bool
) -> None:
    if empty:
        monkeypatch.setenv("KUBECONFIG", "")
    write_kubeconfig(home / ".kube/config", "http://home")
    async with connect() as connection:
        assert (connection.server, connection.is_of_pod) == ("https://127.0.0.1:6443", True)


async def test_the_kubeconfig_in_the_home_directory_is_the_last_choice(home: Path) -> None:
    write_kubeconfig(home / ".kube/config", "http://home/")
    async with connect() as connection:
        assert connection.server == "http://home"


async def test_several_kubeconfigs_are_merged_and_missing_ones_are_ignored(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_kubeconfig(home / "b", "http://b")
    monkeypatch.setenv("KUBECONFIG", f"{home / 'absent'}:{other}")
    async with connect() as connection:
        assert connection.server == "http://b"


@pytest.mark.usefixtures("account")
async def test_a_context_argument_requires_a_kubeconfig_even_in_a_pod(home: Path) -> None:
    path = write_kubeconfig(home / ".kube/config", "http://home")
    async with connect(context=json.loads(path.read_text())["current-context"]) as connection:
        assert connection.server == "http://home"


async def test_the_context_argument_selects_another_context(home: Path) -> None:
    both = kubeconfig("http://here")
    both["contexts"].append({"name": "elsewhere", "context": {"cluster": "far"}})
    both["clusters"].append({"name": "far", "cluster": {"server": "http://far"}})
    (home / "both").write_text(json.dumps(both))
    async with connect(home / "both", "elsewhere") as connection:
        assert connection.server == "http://far"


def with_certificates(folder: Path) -> dict[str, dict[str, str]]:
    """Returns the fields of clusters and users with certificates in files and in the kubeconfig."""
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


async def describe(connection: Connection) -> tuple[Any, ...]:
    """Returns the visible properties of a connection."""
    tls, credentials = connection.tls, connection.credentials
    header = credentials and await credentials.authorization()
    fields = (connection.server, connection.server_name, connection.proxy, connection.namespace, header)
    return (
        *fields,
        connection.impersonation,
        tls.verify_mode,
        tls.check_hostname,
        tls.verify_flags,
        "those of the system" if type(tls) is truststore.SSLContext else sorted(tls.get_ca_certs(), key=str),
    )


async def test_a_plain_kubeconfig_is_loaded_as_by_the_kubernetes_library(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "machine.crt").write_bytes(Authority().certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(home / "machine.crt"))
    certificates = with_certificates(home)
    (home / "token").write_text("of-the-file\n")
    users: list[dict[str, Any]] = [
        {},  # without any user, the library does not support https
        {"token": "secret"},
        {"tokenFile": "token"},
        {"username": "me", "password": "pass:word"},
        certificates["user's files"],
        certificates["user's data"],
        {"token": "secret"} | certificates["user's data"],
        {"token": "secret", "as": "alice", "as-groups": ["players"], "as-user-extra": {"game": ["chess", "go"]}},
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
            config = json.loads(path.read_text())
            config["contexts"][0]["context"]["namespace"] = namespace
            path.write_text(json.dumps(config))
        plain = plain_connection(path)
        assert plain is not None, (user, cluster)
        async with full_kubeconfig.full_connection(str(path)) as full:
            assert await describe(plain) == await describe(full), (user, cluster)


@pytest.mark.parametrize("user", [{"exec": {"command": "cat"}}, {"auth-provider": {"name": "oidc"}}])
def test_a_kubeconfig_with_plugins_is_left_to_the_kubernetes_library(home: Path, user: dict[str, Any]) -> None:
    assert plain_connection(write_kubeconfig(home / "kubeconfig", "https://there:6443", user)) is None


BOB = {"as": "bob", "as-uid": "7", "as-groups": ["players", "guests"], "as-user-extra": {"game/level %": ["1", "2"]}}
BOB_HEADERS = [
    ("Impersonate-Extra-game%2Flevel%20%25", "1"),
    ("Impersonate-Extra-game%2Flevel%20%25", "2"),
    ("Impersonate-Group", "players"),
    ("Impersonate-Group", "guests"),
    ("Impersonate-Uid", "7"),
    ("Impersonate-User", "bob"),
]


@pytest.fixture
def no_plain_kubeconfigs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the Kubernetes library load every kubeconfig."""
    monkeypatch.setattr("statefulroute.cluster.plain_kubeconfig.plain_connection", lambda *_: None)


async def impersonated(
    api: FakeAPI, path: Path, impersonation: Impersonation | None = None, send: Send = SENDS["read"]
) -> list[tuple[str, str]]:
    """Sends a request and returns its headers for impersonation, by name."""
    async with connect(path, impersonation=impersonation) as connection, Client(connection) as client:
        headers = (await one_call(api, client, send)).headers
    found = [(name, value) for name, value in headers.items() if name.startswith("Impersonate-")]
    return sorted(found, key=lambda header: header[0])


@reads_and_writes
async def test_requests_are_made_as_the_user_of_the_kubeconfig(home: Path, api: FakeAPI, send: Send) -> None:
    path = write_kubeconfig(home / "kubeconfig", api.server, {"token": "secret", **BOB})
    assert await impersonated(api, path, send=send) == BOB_HEADERS


@pytest.mark.usefixtures("no_plain_kubeconfigs")
async def test_the_user_of_a_kubeconfig_that_the_kubernetes_library_loads_is_impersonated(
    home: Path, api: FakeAPI
) -> None:
    path = write_kubeconfig(home / "kubeconfig", api.server, {"token": "secret", **BOB})
    assert await impersonated(api, path) == BOB_HEADERS


async def test_the_argument_takes_precedence_over_the_user_and_the_groups_of_the_kubeconfig(
    home: Path, api: FakeAPI
) -> None:
    path = write_kubeconfig(home / "kubeconfig", api.server, {"token": "secret", **BOB})
    assert await impersonated(api, path, Impersonation(user="carol", groups=("admins",))) == [
        *BOB_HEADERS[:2],
        ("Impersonate-Group", "admins"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-User", "carol"),
    ]


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"as-groups": ["players"]}, "need a user: name it with --as"),
        ({"as": "bob\nX-Injected: yes"}, "cannot be impersonated: it has several lines"),
        ({"as": ["bob"]}, "cannot load the cluster's configuration"),
    ],
    ids=str,
)
@pytest.mark.parametrize("loader", ["plain", "library"])
async def test_an_impossible_impersonation_is_reported(
    home: Path, user: dict[str, Any], message: str, loader: str, request: pytest.FixtureRequest
) -> None:
    if loader == "library":
        request.getfixturevalue("no_plain_kubeconfigs")
    with pytest.raises(NotConnectedError, match=message):
        await connect(write_kubeconfig(home / "kubeconfig", "http://there", {"token": "secret", **user})).__aenter__()


async def test_a_kubeconfig_uses_the_proxy_of_the_environment_unless_it_names_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.invalid:3128")
    async with connect(write_kubeconfig(home / "kubeconfig", "https://there", {})) as connection:
        assert connection.proxy == "http://proxy.invalid:3128"
    named = {"proxy-url": "http://other.invalid"}
    async with connect(write_kubeconfig(home / "kubeconfig", "https://there", {}, **named)) as connection:
        assert connection.proxy == "http://other.invalid"


@pytest.mark.usefixtures("account")
async def test_the_connection_of_a_pod_uses_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
    async with connect() as connection:
        assert connection.proxy is None


async def test_a_proxy_of_another_protocol_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.invalid")
    with pytest.raises(NotConnectedError, match=r"the proxy socks5://proxy\.invalid is not supported"):
        await connect(write_kubeconfig(home / "kubeconfig", "https://there", {})).__aenter__()


def test_a_plain_kubeconfig_does_not_import_the_kubernetes_library() -> None:
    program = "import sys; import statefulroute.cluster.connection; assert 'kubernetes' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def without(path: str, config: dict[str, Any] | None = None) -> str:
    """Returns a kubeconfig without one field."""
    config = config or kubeconfig("http://there")
    *parents, last = path.split("/")
    node: Any = config
    for parent in parents:
        node = node[int(parent) if parent.isdigit() else parent]
    del node[last]
    return json.dumps(config)


UNUSABLE = {
    "empty": "",
    "not a mapping": "- a\n- b\n",
    "a word": "hello",
    "invalid YAML": "clusters: [\n",
    "a control character": "clusters: \x00",
    "invalid UTF-8": b"\xff\xfe\xfa",
    "no current context": without("current-context"),
    "no contexts": without("contexts"),
    "a context without a cluster": without("contexts/0/context/cluster"),
    "a context without its content": without("contexts/0/context"),
    "a context without a name": without("contexts/0/name"),
    "no clusters": without("clusters"),
    "a cluster without its content": without("clusters/0/cluster"),
    "a cluster without a server": without("clusters/0/cluster/server"),
    "contexts of the wrong type": json.dumps(kubeconfig("http://there") | {"contexts": 5}),
    "an invalid certificate in the data": json.dumps(
        kubeconfig("https://there", {}, **{"certificate-authority-data": "AAAA"})
    ),
    "invalid Base64 in the data": json.dumps(kubeconfig("https://there", {}, **{"certificate-authority-data": "A"})),
    "a missing certificate file": json.dumps(
        kubeconfig("https://there", {}, **{"certificate-authority": "absent.pem"})
    ),
    "a missing plugin": json.dumps(
        kubeconfig("http://there", {"exec": {"command": "/absent/plugin", "apiVersion": "v1"}})
    ),
}


@pytest.mark.parametrize("content", UNUSABLE.values(), ids=UNUSABLE)
async def test_an_unusable_kubeconfig_is_reported_in_one_sentence(home: Path, content: str | bytes) -> None:
    path = home / "kubeconfig"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(NotConnectedError) as raised:
        await connect(path).__aenter__()
    assert str(raised.value).startswith("cannot load the cluster's configuration (")
    assert str(raised.value).endswith("; name a kubeconfig with --kubeconfig or $KUBECONFIG")
    assert "\n" not in str(raised.value)


async def test_a_missing_kubeconfig_is_named_in_the_error(home: Path) -> None:
    with pytest.raises(NotConnectedError, match=f"there is no file {home / 'absent'}"):
        await connect(home / "absent").__aenter__()
    with pytest.raises(NotConnectedError, match=f"there is no file {home / '.kube/config'}"):
        await connect().__aenter__()


async def test_an_unknown_context_is_named_in_the_error(home: Path) -> None:
    with pytest.raises(NotConnectedError, match="no-such-context"):
        await connect(write_kubeconfig(home / "named", "http://named"), "no-such-context").__aenter__()


@pytest.mark.parametrize(("file", "content"), [("token", None), ("token", ""), ("ca.crt", None), ("ca.crt", "no PEM")])
async def test_a_broken_service_account_is_reported_in_one_sentence(
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
def no_token_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disables the cache of the token, so that every request reads the file."""
    monkeypatch.setattr(service_account, "_CACHE_SECONDS", 0.0)


@reads_and_writes
@pytest.mark.usefixtures("no_token_cache")
async def test_the_next_request_uses_a_rotated_token(in_cluster: FakeAPI, account: Path, send: Send) -> None:
    async with connect() as connection, Client(connection) as client:
        assert (await one_call(in_cluster, client, send)).headers["Authorization"] == "Bearer of-the-pod"
        (account / "token").write_text("of-the-next-hour\n")
        assert (await one_call(in_cluster, client, send)).headers["Authorization"] == "Bearer of-the-next-hour"


@pytest.mark.usefixtures("no_token_cache")
async def test_an_unreadable_token_raises_not_connected_until_it_is_readable(
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


async def test_a_refused_token_is_replaced_by_the_new_token_in_the_file(in_cluster: FakeAPI, account: Path) -> None:
    async with connect() as connection, Client(connection) as client:
        await one_call(in_cluster, client)
        (account / "token").write_text("of-the-next-hour")
        request = asyncio.create_task(client.post("/api", b"body"))
        (await in_cluster.call()).respond_error(401, "Unauthorized")
        retry = await in_cluster.call()
        retry.respond({})
        await request
        assert retry.headers["Authorization"] == "Bearer of-the-next-hour"
        assert retry.body == b"body"
        assert (await one_call(in_cluster, client)).headers["Authorization"] == "Bearer of-the-next-hour"


@reads_and_writes
async def test_a_refused_token_without_a_replacement_raises_the_error(in_cluster: FakeAPI, send: Send) -> None:
    async with connect() as connection, Client(connection) as client:
        request = asyncio.create_task(send(client))
        (await in_cluster.call()).respond_error(401, "Unauthorized")
        with pytest.raises(APIError, match="401 Unauthorized"):
            await request
        assert in_cluster.has_no_calls


async def test_connection_of_a_watch_is_closed_before_the_client_has_ended(
    in_cluster: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of TLS takes an answer of the server, and the event loop may end before it."""
    sockets: list[socket.socket] = []

    def new_socket(address: aiohttp.AddrInfoType) -> socket.socket:
        sockets.append(keepalive_socket(address))
        return sockets[-1]

    async def first_line() -> bytes:
        async with client.watch("/api/v1/pods", {}) as events:
            return await anext(events)

    monkeypatch.setattr(api_server, "keepalive_socket", new_socket)
    async with connect() as connection, Client(connection) as client:
        watching = asyncio.create_task(first_line())
        await (await in_cluster.call()).stream("a line")
        assert await watching == b"a line"
    assert [each.fileno() for each in sockets] == [-1]


@reads_and_writes
@pytest.mark.usefixtures("in_cluster")
@pytest.mark.parametrize("is_kubeconfig", [True, False])
async def test_a_ca_certificate_added_to_the_file_later_is_trusted(
    account: Path, monkeypatch: pytest.MonkeyPatch, send: Send, *, is_kubeconfig: bool
) -> None:
    other = Authority()
    async with run_fake_api(tls(other, account, "127.0.0.1")) as api:
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", api.server.rpartition(":")[2])
        path = write_kubeconfig(account / "config", api.server, {}, **{"certificate-authority": "ca.crt"})
        async with connect(path if is_kubeconfig else None) as connection, Client(connection) as client:
            with pytest.raises(UnreachableError, match="certificate"):
                await send(client)
            (account / "ca.crt").write_text("half a file")
            with pytest.raises(UnreachableError):
                await send(client)
            (account / "ca.crt").write_bytes(other.certificate)
            assert (await one_call(api, client, send)).path == "/version"


def write_credential(path: Path, token: str) -> None:
    """Writes the output of an exec plugin: an expired token, so that the plugin is called again immediately."""
    path.write_text(
        json.dumps(
            {
                "apiVersion": "client.authentication.k8s.io/v1",
                "kind": "ExecCredential",
                "status": {"token": token, "expirationTimestamp": "2026-01-01T00:00:00Z"},
            }
        )
    )


async def test_an_exec_plugin_is_called_again_before_its_token_expires(
    api: FakeAPI, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(full_kubeconfig, "_TOKEN_CHECK_SECONDS", 0.001)
    credential = home / "credential"
    write_credential(credential, "first")
    plugin = {"command": "cat", "args": [str(credential)], "apiVersion": "client.authentication.k8s.io/v1"}
    path = write_kubeconfig(home / "kubeconfig", api.server, {"exec": plugin})
    async with connect(path) as connection, Client(connection) as client:
        assert (await one_call(api, client)).headers["Authorization"] == "Bearer first"
        credential.write_text("not a credential")
        await eventually(lambda: "failed to decode" in caplog.text)
        assert (await one_call(api, client)).headers["Authorization"] == "Bearer first"
        write_credential(credential, "second")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (await one_call(api, client)).headers["Authorization"] != "Bearer second":
                pass


@reads_and_writes
@pytest.mark.parametrize(
    ("user", "header"),
    [
        (None, None),
        ({"token": "secret"}, "Bearer secret"),
        ({"username": "me", "password": "secret"}, "Basic bWU6c2VjcmV0"),
    ],
)
async def test_a_request_has_the_users_credentials(
    api: FakeAPI, home: Path, user: dict[str, Any] | None, header: str | None, send: Send
) -> None:
    path = write_kubeconfig(home / "kubeconfig", api.server, user)
    async with connect(path) as connection, Client(connection) as client:
        assert (await one_call(api, client, send)).headers.get("Authorization") == header


@pytest.mark.parametrize("needs_the_library", [False, True], ids=["plain", "full"])
async def test_a_kubeconfig_without_a_ca_trusts_those_of_the_system(
    home: Path, monkeypatch: pytest.MonkeyPatch, *, needs_the_library: bool
) -> None:
    authorities = {name: Authority() for name in ("of the server", "another")}
    for name, authority in authorities.items():
        (home / name).write_bytes(authority.certificate)
    async with run_fake_api(tls(authorities["of the server"], home, "127.0.0.1")) as api:
        path = write_kubeconfig(home / "config", api.server, {"token": "secret"})
        paths = Path(os.pathsep.join([str(home / "absent"), str(path)])) if needs_the_library else path
        monkeypatch.setenv("SSL_CERT_FILE", str(home / "another"))
        async with connect(paths) as connection, Client(connection) as client:
            with pytest.raises(UnreachableError, match="certificate"):
                await client.get("/version")
        monkeypatch.setenv("SSL_CERT_FILE", str(home / "of the server"))
        async with connect(paths) as connection, Client(connection) as client:
            assert (await one_call(api, client)).headers["Authorization"] == "Bearer secret"


@reads_and_writes
async def test_the_certificate_must_have_the_server_name_of_the_kubeconfig(home: Path, send: Send) -> None:
    authority = Authority()
    (home / "ca.crt").write_bytes(authority.certificate)
    async with run_fake_api(tls(authority, home)) as api:
        trust = {"certificate-authority": str(home / "ca.crt")}
        path = write_kubeconfig(home / "plain", api.server, {}, **trust)
        async with connect(path) as connection, Client(connection) as client:
            with pytest.raises(UnreachableError, match="certificate"):
                await send(client)
        path = write_kubeconfig(home / "named", api.server, {}, **trust, **{"tls-server-name": "kubernetes"})
        async with connect(path) as connection, Client(connection) as client:
            assert (await one_call(api, client, send)).path == "/version"


@reads_and_writes
async def test_proxies_of_the_environment_are_not_used(
    api: FakeAPI, client: Client, monkeypatch: pytest.MonkeyPatch, send: Send
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await one_call(api, client, send)).path == "/version"


@reads_and_writes
async def test_the_proxy_of_the_kubeconfig_is_used(api: FakeAPI, home: Path, send: Send) -> None:
    path = write_kubeconfig(home / "kubeconfig", "http://cluster.invalid", **{"proxy-url": api.server})
    async with connect(path) as connection, Client(connection) as client:
        assert (await one_call(api, client, send)).headers["Host"] == "cluster.invalid"


async def test_no_task_runs_after_the_connection_is_closed(api: FakeAPI, home: Path) -> None:
    before = asyncio.all_tasks()
    plugin = {"command": "echo", "args": ["{}"], "apiVersion": "v1"}
    with pytest.raises(NotConnectedError, match="gave no credentials"):
        await connect(write_kubeconfig(home / "without-credentials", api.server, {"exec": plugin})).__aenter__()
    write_credential(home / "credential", "token")
    plugin |= {"command": "cat", "args": [str(home / "credential")], "apiVersion": "client.authentication.k8s.io/v1"}
    async with connect(write_kubeconfig(home / "with-credentials", api.server, {"exec": plugin})):
        assert len(asyncio.all_tasks() - before) == 1
    assert asyncio.all_tasks() == before
