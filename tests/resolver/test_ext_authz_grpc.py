"""Tests ext_authz over gRPC by the messages of Envoy's filter."""

from collections.abc import Mapping, Sequence

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from localcluster import LocalCluster
from resolver.envoy import HEADER, Envoy, run_envoy
from resolver.stub_service import StubService, in_thread, route_of
from resolver.test_authenticator import token_of
from resolver.test_ext_authz import FORGED, token
from statefulroute.resolver.grpc.calls import ROUTE_METADATA
from statefulroute.resolver.grpc.ext_authz import SERVICE
from statefulroute.resolver.grpc.extauthz_pb2 import CheckRequest, CheckResponse
from statefulroute.resolver.uid_sources import UidSource

POD_HEADER = "x-statefulroute-pod"

ALICE = [("x-user-id", "alice")]


def raw(headers: Sequence[tuple[str, str]] = (), path: str = "/") -> CheckRequest:
    """Returns the request of an Envoy with `encode_raw_headers`."""
    request = CheckRequest()
    http = request.attributes.request.http
    http.path = path
    http.header_map.SetInParent()
    for name, value in headers:
        http.header_map.headers.add(key=name.lower(), raw_value=value.encode())
    return request


def joined(headers: Mapping[str, str], path: str = "/") -> CheckRequest:
    """Returns the request of an Envoy without `encode_raw_headers`: one value for each header."""
    request = CheckRequest()
    request.attributes.request.http.path = path
    request.attributes.request.http.headers.update(headers)
    return request


def picked(response: CheckResponse) -> tuple[str, str]:
    """Returns the endpoint and the pod. Headers and metadata must agree, and the headers must overwrite any other."""
    assert (response.status.code, response.WhichOneof("http_response")) == (0, "ok_response"), response
    options = response.ok_response.headers
    assert {option.append_action for option in options} == {options[0].OVERWRITE_IF_EXISTS_OR_ADD}
    headers = {option.header.key: option.header.value for option in options}
    assert headers.keys() == {HEADER, POD_HEADER}
    assert MessageToDict(response.dynamic_metadata) == {HEADER: headers[HEADER]}
    return headers[HEADER], headers[POD_HEADER]


def refusal(response: CheckResponse) -> tuple[int, dict[str, str]]:
    """Returns the HTTP status and the headers of a refusal."""
    assert response.status.code == grpc.StatusCode.PERMISSION_DENIED.value[0], response
    denied = response.denied_response
    headers = {option.header.key: option.header.value for option in denied.headers}
    assert headers["content-type"] == "application/problem+json"
    assert f'"status":{denied.status.code}' in denied.body
    return denied.status.code, headers


async def test_linked_user_is_sent_to_its_pod(envoy: Envoy, stub_service: StubService) -> None:
    for request in (raw(ALICE), joined(dict(ALICE))):
        assert picked(await envoy.check(request)) == (stub_service.endpoint(2), "game-2")


async def test_new_user_is_bound(envoy: Envoy, stub_service: StubService) -> None:
    endpoints = {picked(await envoy.check(raw([("x-user-id", "new")]))) for _ in range(4)}
    pod = (await in_thread(stub_service.stored_pods))["new"]
    assert pod is not None
    assert endpoints == {(stub_service.endpoint(pod), f"game-{pod}")}


async def test_context_or_metadata_names_the_route(cluster: LocalCluster, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 1)
    route = f"{stub_service.namespace}/{stub_service.name}"
    in_context = raw(ALICE)
    in_context.attributes.context_extensions[ROUTE_METADATA] = route
    wrong = raw(ALICE)
    wrong.attributes.context_extensions[ROUTE_METADATA] = f"{stub_service.namespace}/chess"
    async with run_envoy(cluster.kubeconfig, None, namespaces=(stub_service.namespace,)) as envoy:
        assert picked(await envoy.check(in_context))[1] == "game-1"
        assert picked(await envoy.check(raw(ALICE), {ROUTE_METADATA: route}))[1] == "game-1"
        assert refusal(await envoy.check(raw(ALICE)))[0] == 404
        assert refusal(await envoy.check(wrong, {ROUTE_METADATA: route}))[0] == 404


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_forged_endpoint_is_never_used(
    envoy: Envoy, stub_service: StubService, forged: list[tuple[str, str]]
) -> None:
    own = {stub_service.endpoint(pod) for pod in range(3)}
    assert picked(await envoy.check(raw([*ALICE, *forged])))[0] == stub_service.endpoint(2)
    assert picked(await envoy.check(raw([("x-user-id", "new"), *forged])))[0] in own
    assert picked(await envoy.check(raw(forged)))[0] in own


async def test_uid_that_occurs_twice_is_rejected(envoy: Envoy) -> None:
    for request in (raw([*ALICE, ("x-user-id", "bob")]), joined({"x-user-id": "bob,alice"})):
        assert refusal(await envoy.check(request))[0] == 400


async def test_uid_is_read_from_each_source(cluster: LocalCluster, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 2)
    sources = tuple(map(UidSource.parse, ("cookie:uid", "query:uid", "jwt:sub", "mcp-param:notebook")))
    async with run_envoy(
        cluster.kubeconfig, route_of(stub_service), namespaces=(stub_service.namespace,), uid_sources=sources
    ) as envoy:
        for request in (
            raw([("cookie", "a=b,c; uid=alice")]),
            joined({"cookie": "a=b,c; uid=alice"}),
            raw(path="/rooms?uid=alice"),
            joined({"authorization": f"Bearer {token({'sub': 'alice'})}"}),
            raw([("mcp-param-notebook", "=?base64?YWxpY2U=?=")]),
            joined({"mcp-param-notebook": "=?base64?YWxpY2U=?="}),
        ):
            assert picked(await envoy.check(request))[1] == "game-2", request


async def test_no_endpoint_while_the_pod_is_unreachable(envoy: Envoy, stub_service: StubService) -> None:
    await in_thread(stub_service.patch_pod_status, 2, ready=False)
    path = f"{stub_service.path}/links/alice"
    await envoy.resolver.wait_for_reply(path, lambda reply: reply.status == 503, "it is not ready")
    status, headers = refusal(await envoy.check(raw(ALICE)))
    assert (status, headers["retry-after"]) == (503, "1")


async def test_calls_need_a_valid_token(cluster: LocalCluster, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 2)
    good = await in_thread(token_of, cluster, stub_service, "default", "picker")
    async with run_envoy(
        cluster.kubeconfig, route_of(stub_service), "picker", namespaces=(stub_service.namespace,)
    ) as envoy:
        for metadata in ({}, {"authorization": "Bearer nonsense"}):
            # The token of a user is not the gateway's.
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await envoy.check(raw([*ALICE, ("authorization", f"Bearer {good}")]), metadata)
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert picked(await envoy.check(raw(ALICE), {"authorization": f"Bearer {good}"}))[1] == "game-2"


async def test_health_service_reports_not_serving_before_the_stop(envoy: Envoy) -> None:
    assert await envoy.health(SERVICE) == "SERVING"
    await envoy.server.set_not_serving()
    assert await envoy.health(SERVICE) == "NOT_SERVING"


async def test_responses_are_counted(envoy: Envoy) -> None:
    await envoy.check(raw(ALICE))
    families = [family for each in envoy.resolver.components.metrics.collectors for family in each.collect()]
    samples = {(sample.name, *sample.labels.values()): sample.value for each in families for sample in each.samples}
    assert samples["statefulroute_resolver_answers_total", "check", "200"] == 1
