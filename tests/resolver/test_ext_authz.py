"""Tests the checks of gateways: Envoy's ext_authz over HTTP, and nginx's auth_request."""

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from localcluster import LocalCluster
from resolver.in_process import RunningResolver, run_resolver
from resolver.stub_service import StubService, in_thread
from statefulroute.resolver.uid_sources import UidSource
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy
from support.independent_client import StatefulRoute

HEADER = "x-gateway-destination-endpoint"

#: Headers by which a client may try to select the endpoint.
FORGED: Mapping[str, list[tuple[str, str]]] = {
    "exact": [(HEADER, "10.9.0.3:7777")],
    "in capitals": [(HEADER.upper(), "10.9.0.3:7777")],
    "in mixed case": [("X-Gateway-Destination-Endpoint", "10.9.0.3:7777")],
    "twice": [(HEADER, "10.9.0.3:7777"), (HEADER, "10.9.0.2:7777")],
    "a list": [(HEADER, "10.9.0.3:7777,10.9.0.2:7777")],
    "a list with spaces": [(HEADER, " 10.9.0.3:7777 , 10.9.0.2:7777 ")],
    "a trailing dot": [(HEADER, "10.9.0.3.:7777")],
    "another port": [(HEADER, "10.9.0.1:22")],
    "no port": [(HEADER, "10.9.0.3")],
    "the metadata service": [(HEADER, "169.254.169.254:80")],
    "the metadata service as a number": [(HEADER, "2852039166:80")],
    "the metadata service in IPv6": [(HEADER, "[fd00:ec2::254]:80")],
    "loopback": [(HEADER, "127.0.0.1:9901")],
    "any address": [(HEADER, "0.0.0.0:80")],
    "a mapped address": [(HEADER, "[::ffff:169.254.169.254]:80")],
    "a name": [(HEADER, "metadata.google.internal:80")],
    "empty": [(HEADER, "")],
    "a URL": [(HEADER, "http://10.9.0.3:7777/")],
    "octal": [(HEADER, "0251.0376.0251.0376:80")],
    "as a hop-by-hop header": [("Connection", HEADER), (HEADER, "10.9.0.3:7777")],
    "underscores": [(HEADER.replace("-", "_"), "10.9.0.3:7777")],
    "what proxies add": [("X-Forwarded-For", "10.9.0.3"), ("X-Original-Host", "10.9.0.3:7777"), ("Host", "10.9.0.3")],
}


def token(claims: Any, *, parts: int = 3) -> str:
    """Returns a token with these claims, or only the encoded claims, as a gateway forwards them."""
    encoded = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{encoded}.c2ln" if parts == 3 else encoded


async def test_linked_user_is_sent_to_its_pod(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 2)
    await resolver.wait_for_reply(
        f"{stub_service.path}/links/alice", lambda reply: reply.status == 200, "alice is known"
    )
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        for path in (
            stub_service.ext_authz_path,
            f"{stub_service.ext_authz_path}/",
            f"{stub_service.ext_authz_path}/rooms/7?x=1",
            f"{stub_service.ext_authz_path}/a%2Fb//c",
        ):
            reply = await resolver.http.request(method, path, headers={"x-user-id": "alice"})
            assert (reply.status, reply.body, reply.headers[HEADER]) == (200, b"", stub_service.endpoint(2)), (
                method,
                path,
            )
            assert int(reply.headers["Age"]) < 60
            assert reply.headers["x-statefulroute-pod"] == "game-2"


@pytest.mark.parametrize("policy", UnlinkedUidPolicy)
async def test_new_user_is_handled_by_the_policy(
    cluster: LocalCluster, stub_service: StubService, policy: UnlinkedUidPolicy
) -> None:
    async with run_resolver(cluster.kubeconfig, namespaces=(stub_service.namespace,), unlinked_uid=policy) as resolver:
        replies = [await resolver.http.get(stub_service.ext_authz_path, headers={"x-user-id": "new"}) for _ in range(6)]
        stored = await in_thread(stub_service.stored_pods)
        endpoints = {reply.headers.get(HEADER) for reply in replies}
        match policy:
            case UnlinkedUidPolicy.BIND:
                assert endpoints == {stub_service.endpoint(stored["new"] or 0)}
                assert stored.keys() == {"new"}
            case UnlinkedUidPolicy.ANY:
                assert endpoints == {stub_service.endpoint(pod) for pod in range(3)}
                assert stored == {}
            case UnlinkedUidPolicy.REFUSE:
                assert endpoints == {None}
                assert {reply.problem for reply in replies} == {
                    (404, "not-linked", "'new' is not linked in StatefulRoute 'game'")
                }
                assert stored == {}


@pytest.mark.parametrize("policy", UnlinkedUidPolicy)
async def test_request_without_uid_goes_to_any_pod_or_is_refused(
    cluster: LocalCluster, stub_service: StubService, policy: UnlinkedUidPolicy
) -> None:
    async with run_resolver(cluster.kubeconfig, namespaces=(stub_service.namespace,), unlinked_uid=policy) as resolver:
        replies = [await resolver.http.get(stub_service.ext_authz_path) for _ in range(6)]
        if policy is UnlinkedUidPolicy.REFUSE:
            assert {reply.problem for reply in replies} == {(400, "no-uid", "the request has no uid")}
        else:
            assert {reply.headers[HEADER] for reply in replies} == {stub_service.endpoint(pod) for pod in range(3)}
        assert await in_thread(stub_service.stored_pods) == {}


async def test_unbound_users_are_sent_only_to_available_pods(cluster: LocalCluster, stub_service: StubService) -> None:
    stub_service.pods[0]["routingState"] = "DenyNewCall"
    await in_thread(stub_service.patch_route_status)
    await in_thread(stub_service.patch_pod_status, 1, ready=False)
    async with run_resolver(
        cluster.kubeconfig, namespaces=(stub_service.namespace,), unlinked_uid=UnlinkedUidPolicy.ANY
    ) as resolver:
        replies = [await resolver.http.get(stub_service.ext_authz_path, headers={"x-user-id": "new"}) for _ in range(6)]
        assert {reply.headers[HEADER] for reply in replies} == {stub_service.endpoint(2)}
        await in_thread(stub_service.patch_pod_status, 2, ready=False)
        reply = await resolver.wait_for_reply(
            stub_service.ext_authz_path, lambda reply: reply.status != 200, "no pod is left"
        )
        assert reply.problem[:2] == (503, "no-available-pod")


@pytest.mark.parametrize("policy", UnlinkedUidPolicy)
async def test_user_of_an_unreachable_pod_is_sent_to_no_other_pod(
    cluster: LocalCluster, stub_service: StubService, policy: UnlinkedUidPolicy
) -> None:
    await in_thread(stub_service.link, "alice", 0)
    await in_thread(stub_service.patch_pod_status, 0, ready=False)
    async with run_resolver(cluster.kubeconfig, namespaces=(stub_service.namespace,), unlinked_uid=policy) as resolver:
        reply = await resolver.http.get(stub_service.ext_authz_path, headers={"x-user-id": "alice"})
        assert (reply.problem[:2], reply.headers["Retry-After"]) == ((503, "pod-not-routable"), "1")
        assert HEADER not in reply.headers
        assert await in_thread(stub_service.stored_pods) == {"alice": 0}
        # After a move of the link, the user is sent to the new pod.
        await in_thread(stub_service.move, "alice", 1)
        reply = await resolver.wait_for_reply(
            stub_service.ext_authz_path,
            lambda reply: reply.status == 200,
            "alice has moved",
            headers={"x-user-id": "alice"},
        )
        assert reply.headers[HEADER] == stub_service.endpoint(1)


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_forged_endpoint_is_never_used(
    resolver: RunningResolver, stub_service: StubService, forged: list[tuple[str, str]]
) -> None:
    await in_thread(stub_service.link, "alice", 0)
    await resolver.wait_for_reply(
        f"{stub_service.path}/links/alice", lambda reply: reply.status == 200, "alice is known"
    )
    own = {stub_service.endpoint(pod) for pod in range(3)}
    for headers in ([("x-user-id", "alice"), *forged], [("x-user-id", "new"), *forged], forged):
        async with resolver.http.session.get(
            resolver.http.base + stub_service.ext_authz_path, headers=headers
        ) as response:
            assert response.status == 200
            endpoints = response.headers.getall(HEADER)
        assert len(endpoints) == 1  # it replaces the client's own
        assert endpoints[0] in ({stub_service.endpoint(0)} if ("x-user-id", "alice") in headers else own)


SOURCES: Mapping[str, tuple[str, str, dict[str, str]]] = {
    "a header": ("header:X-Room", "", {"x-room": "alice"}),
    "a cookie": ("cookie:uid", "", {"Cookie": "a=b; uid=alice; c=d"}),
    "a quoted cookie": ("cookie:uid", "", {"Cookie": 'uid="alice"'}),
    "the query, with Envoy": ("query:uid", "/x?a=1&uid=al%69ce", {}),
    "the query, with nginx": ("query:uid", "", {"X-Original-URI": "/x?uid=alice"}),
    "an argument of a tool": ("mcp-param:Notebook", "", {"Mcp-Param-Notebook": "alice"}),
    "an encoded argument of a tool": ("mcp-param:notebook", "", {"mcp-param-notebook": "=?base64?YWxpY2U=?="}),
    "a token's claim": ("jwt:sub", "", {"Authorization": f"Bearer {token({'sub': 'alice'})}"}),
    "claims that the gateway forwards": ("jwt:sub@X-Claims", "", {"x-claims": token({"sub": "alice"}, parts=1)}),
}


@pytest.mark.parametrize(("source", "path", "headers"), SOURCES.values(), ids=SOURCES)
async def test_uid_is_read_from_each_source(
    cluster: LocalCluster, stub_service: StubService, source: str, path: str, headers: dict[str, str]
) -> None:
    await in_thread(stub_service.link, "alice", 2)
    sources = (UidSource.parse("header:x-other"), UidSource.parse(source))
    settings = {"uid_sources": sources, "unlinked_uid": UnlinkedUidPolicy.REFUSE}
    async with run_resolver(cluster.kubeconfig, namespaces=(stub_service.namespace,), **settings) as resolver:
        reply = await resolver.http.get(stub_service.ext_authz_path + path, headers=headers)
        assert (reply.status, reply.headers.get(HEADER)) == (200, stub_service.endpoint(2)), reply.body


@pytest.mark.parametrize(
    "headers",
    [[("x-user-id", "alice"), ("x-user-id", "bob")], [("x-user-id", "alice,bob")]],
    ids=["as sent by nginx", "as joined by Envoy"],
)
async def test_rejects_request_with_two_uids(
    resolver: RunningResolver, stub_service: StubService, headers: list[tuple[str, str]]
) -> None:
    async with resolver.http.session.get(resolver.http.base + stub_service.ext_authz_path, headers=headers) as response:
        assert response.status == 400
        problem = await response.json()
    assert problem["detail"] == "uid occurs 2 times in the request: the header x-user-id may occur once"
    assert await in_thread(stub_service.stored_pods) == {}


async def test_rejects_uid_that_is_not_utf_8(cluster: LocalCluster, stub_service: StubService) -> None:
    settings = {"namespaces": (stub_service.namespace,), "uid_sources": (UidSource.parse("query:uid"),)}
    async with run_resolver(cluster.kubeconfig, **settings) as resolver:
        for query in ("uid=%FF", "uid=50%"):
            for path, headers in (("/x?" + query, {}), ("", {"X-Original-URI": "/x?" + query})):
                reply = await resolver.http.get(stub_service.ext_authz_path + path, headers=headers)
                assert reply.problem == (400, "invalid-parameter", "uid must be percent-encoded UTF-8")
    assert await in_thread(stub_service.stored_pods) == {}


async def test_rejects_header_that_is_not_utf_8(resolver: RunningResolver, stub_service: StubService) -> None:
    host, _, port = resolver.http.base.removeprefix("http://").rpartition(":")
    for uid in (b"a\xff", b"a\xfe", "a\ufffd".encode()):
        reader, writer = await asyncio.open_connection(host, int(port))
        request = f"GET {stub_service.ext_authz_path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx-user-id: ".encode()
        writer.write(request + uid + b"\r\n\r\n")
        response = await reader.read()
        writer.close()
        assert response.startswith(b"HTTP/1.1 400 ")
        assert b"uid must be UTF-8: other bytes could name two users alike" in response
    assert await in_thread(stub_service.stored_pods) == {}


async def test_service_without_port_gets_no_requests(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(
        stub_service.independent_client.patch, StatefulRoute, "game", stub_service.namespace, {"spec": {"port": None}}
    )
    await in_thread(stub_service.link, "alice", 0)
    await resolver.wait_for_reply(
        f"{stub_service.path}/links/alice", lambda reply: reply.status == 200, "alice is known"
    )
    reply = await resolver.wait_for_reply(
        stub_service.ext_authz_path,
        lambda reply: reply.status != 200,
        "there is no port",
        headers={"x-user-id": "alice"},
    )
    assert reply.problem[:2] == (503, "no-port")
    assert reply.problem[2].startswith("spec.port of the StatefulRoute must be a number, or the name of a port")


async def test_endpoint_header_is_configurable(cluster: LocalCluster, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 1)
    async with run_resolver(
        cluster.kubeconfig, namespaces=(stub_service.namespace,), endpoint_header="x-pod"
    ) as resolver:
        reply = await resolver.http.get(
            stub_service.ext_authz_path, headers={"x-user-id": "alice", HEADER: "10.9.0.9:1"}
        )
        assert (reply.headers["x-pod"], HEADER in reply.headers) == (stub_service.endpoint(1), False)


async def test_missing_service_is_reported_to_the_gateway(resolver: RunningResolver, stub_service: StubService) -> None:
    reply = await resolver.http.get(f"/authorize/{stub_service.namespace}/chess", headers={"x-user-id": "alice"})
    assert reply.problem[:2] == (404, "route-not-found")


@pytest.mark.parametrize("path", ["/../chess/x", "/../../other/chess", "/%2e%2e/chess/x", "/..%2Fchess", "//x", "/./x"])
async def test_path_of_a_client_cannot_select_another_service(
    resolver: RunningResolver, stub_service: StubService, path: str
) -> None:
    other = StubService(stub_service.independent_client, stub_service.namespace, "chess")
    await in_thread(other.create, 0)
    await in_thread(stub_service.link, "alice", 1)
    await resolver.wait_for_reply(
        f"{stub_service.path}/links/alice", lambda reply: reply.status == 200, "alice is known"
    )
    host, _, port = resolver.http.base.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    # A raw request, because HTTP clients normalize such paths.
    writer.write(
        (
            f"GET {stub_service.ext_authz_path}{path} HTTP/1.1\r\n"
            "Host: x\r\nx-user-id: alice\r\nConnection: close\r\n\r\n"
        ).encode()
    )
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith("HTTP/1.1 200 ")
    assert f"{HEADER}: {stub_service.endpoint(1)}\r\n" in answer
