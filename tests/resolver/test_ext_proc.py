"""Tests the endpoint picker by the messages of Envoy's ext_proc filter."""

from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from localcluster import LocalCluster
from resolver.envoy import (
    FULL_DUPLEX,
    HEADER,
    NONE,
    STREAMED,
    Envoy,
    picked_endpoint,
    refusal,
    request_headers,
    run_envoy,
)
from resolver.stub_service import StubService, in_thread, route_of
from resolver.test_ext_authz import FORGED
from statefulroute.resolver.grpc.calls import ROUTE_METADATA
from statefulroute.resolver.grpc.ext_proc import SERVICE
from statefulroute.resolver.grpc.extproc_pb2 import ProcessingRequest
from statefulroute.resolver.uid_sources import UidSource
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy
from support.api_user import APIUser

ALICE = [("x-user-id", "alice")]


async def test_linked_user_is_sent_to_its_pod(envoy: Envoy, stub_service: StubService) -> None:
    assert picked_endpoint(await envoy.pick(ALICE)) == stub_service.endpoint(2)


async def test_moved_user_is_sent_to_the_new_pod(envoy: Envoy, stub_service: StubService) -> None:
    await in_thread(stub_service.move, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    await envoy.resolver.wait_for_reply(path, lambda reply: reply.json["podIndex"] == 0, "alice has moved")
    assert picked_endpoint(await envoy.pick(ALICE)) == stub_service.endpoint(0)


async def test_metadata_of_the_call_names_the_route(cluster: LocalCluster, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 1)
    named = {ROUTE_METADATA: f"{stub_service.namespace}/{stub_service.name}"}
    async with run_envoy(cluster.kubeconfig, None, namespaces=(stub_service.namespace,)) as envoy:
        assert picked_endpoint(await envoy.pick(ALICE, metadata=named)) == stub_service.endpoint(1)
        assert refusal(await envoy.pick(ALICE))[:2] == (404, "route_not_found")
        for odd in ("", "x", f"{stub_service.namespace}/chess", f"{stub_service.namespace}/../x"):
            assert refusal(await envoy.pick(ALICE, metadata={ROUTE_METADATA: odd}))[0] == 404


@pytest.mark.parametrize("policy", UnlinkedUidPolicy)
async def test_new_user_is_handled_by_the_policy(
    cluster: LocalCluster, stub_service: StubService, policy: UnlinkedUidPolicy
) -> None:
    settings = {"namespaces": (stub_service.namespace,), "unlinked_uid": policy}
    async with run_envoy(cluster.kubeconfig, route_of(stub_service), **settings) as envoy:
        answers = [await envoy.pick([("x-user-id", "new")]) for _ in range(6)]
        stored = await in_thread(stub_service.stored_pods)
        match policy:
            case UnlinkedUidPolicy.BIND:
                assert {picked_endpoint(answer) for answer in answers} == {stub_service.endpoint(stored["new"] or 0)}
            case UnlinkedUidPolicy.ANY:
                assert {picked_endpoint(answer) for answer in answers} == {
                    stub_service.endpoint(pod) for pod in range(3)
                }
                assert stored == {}
            case UnlinkedUidPolicy.REFUSE:
                assert {refusal(answer)[:2] for answer in answers} == {(404, "not_linked")}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_forged_endpoint_is_never_used(
    envoy: Envoy, stub_service: StubService, forged: list[tuple[str, str]]
) -> None:
    lower = [(name.lower(), value) for name, value in forged]  # as Envoy sends names
    own = {stub_service.endpoint(pod) for pod in range(3)}
    assert picked_endpoint(await envoy.pick([*ALICE, *lower])) == stub_service.endpoint(2)
    assert picked_endpoint(await envoy.pick([("x-user-id", "new"), *lower])) in own
    assert picked_endpoint(await envoy.pick(lower)) in own


SUBSETS: Mapping[str, tuple[Any, set[int]]] = {
    "a list": ([0, 2], {0, 2}),
    "one": ([1], {1}),
    "with unknown endpoints": ([1, "169.254.169.254:80", "10.9.0.1:22"], {1}),
    "as a string": ("0,2", {0, 2}),
}


@pytest.mark.parametrize(("subset", "expected"), SUBSETS.values(), ids=SUBSETS)
async def test_picks_only_offered_endpoints(
    envoy: Envoy, stub_service: StubService, subset: Any, expected: set[int]
) -> None:
    if isinstance(subset, str):
        offered: Any = ", ".join(stub_service.endpoint(int(pod)) for pod in subset.split(","))
    else:
        offered = [stub_service.endpoint(pod) if isinstance(pod, int) else pod for pod in subset]
    picked = {picked_endpoint(await envoy.pick([("x-user-id", f"new-{each}")], offered)) for each in range(6)}
    assert picked == {stub_service.endpoint(pod) for pod in expected}
    if 2 not in expected:  # a linked user is sent to no other pod
        assert refusal(await envoy.pick(ALICE, offered))[:2] == (503, "pod_not_routable")
    else:
        assert picked_endpoint(await envoy.pick(ALICE, offered)) == stub_service.endpoint(2)


@pytest.mark.parametrize(
    "subset", [[], "", ["10.0.0.1:1"]], ids=["an empty list", "an empty string", "unknown endpoints"]
)
async def test_no_endpoint_if_the_gateway_offers_no_pod(envoy: Envoy, subset: Any) -> None:
    for headers in (ALICE, [("x-user-id", "new")], []):
        status, _, refusal_headers = refusal(await envoy.pick(headers, subset))
        assert (status, refusal_headers["retry-after"]) == (503, "1")


async def test_no_endpoint_while_the_pod_is_unreachable(envoy: Envoy, stub_service: StubService) -> None:
    await in_thread(stub_service.patch_pod_status, 2, ready=False)
    await envoy.resolver.wait_for_reply(
        f"{stub_service.path}/links/alice", lambda reply: reply.status == 503, "it is not ready"
    )
    status, kind, headers = refusal(await envoy.pick(ALICE))
    assert (status, kind, headers["retry-after"]) == (503, "pod_not_routable", "1")


async def test_rate_of_new_users_is_limited(cluster: LocalCluster, stub_service: StubService) -> None:
    settings = {"namespaces": (stub_service.namespace,), "bindings_per_second": 2}
    async with run_envoy(cluster.kubeconfig, route_of(stub_service), **settings) as envoy:
        answers = [await envoy.pick([("x-user-id", f"u{each}")]) for each in range(30)]
        shed = [answer for answer in answers if answer.WhichOneof("response") == "immediate_response"]
        assert {refusal(answer)[:2] for answer in shed} == {(429, "too_many_bindings")}
        assert len(shed) == 30 - len(await in_thread(stub_service.stored_pods)) > 10


async def test_uid_is_read_from_cookie_and_query(cluster: LocalCluster, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 2)
    await in_thread(stub_service.link, "query", 1)
    sources = tuple(map(UidSource.parse, ("cookie:uid", "query:uid")))
    async with run_envoy(
        cluster.kubeconfig, route_of(stub_service), namespaces=(stub_service.namespace,), uid_sources=sources
    ) as envoy:
        assert picked_endpoint(await envoy.pick([("cookie", "a=b; uid=alice")])) == stub_service.endpoint(2)
        assert picked_endpoint(await envoy.pick()) == stub_service.endpoint(1)


async def test_rejects_invalid_uid(envoy: Envoy) -> None:
    request = request_headers([])
    request.request_headers.headers.headers.add(key="x-user-id", raw_value=b"\xff\xfe")
    (answer,) = await envoy.call(request)
    assert refusal(answer)[:2] == (400, "invalid_parameter")
    assert refusal(await envoy.pick([*ALICE, ("x-user-id", "bob")]))[:2] == (400, "invalid_parameter")


def body(data: bytes, *, ends: bool, of_response: bool = False) -> ProcessingRequest:
    request = ProcessingRequest()
    part = request.response_body if of_response else request.request_body
    part.body, part.end_of_stream = data, ends
    return request


@pytest.mark.parametrize("is_declared", [True, False], ids=["declared mode", "undeclared mode"])
async def test_full_duplex_bodies_are_sent_back_piece_by_piece(
    envoy: Envoy, stub_service: StubService, *, is_declared: bool
) -> None:
    first = request_headers(ALICE, ends=False)
    if is_declared:
        first.protocol_config.request_body_mode = FULL_DUPLEX
        first.protocol_config.response_body_mode = FULL_DUPLEX
    trailers, response, ended = ProcessingRequest(), ProcessingRequest(), ProcessingRequest()
    trailers.request_trailers.SetInParent()
    response.response_headers.SetInParent()
    ended.response_trailers.SetInParent()
    pieces = [b"a" * 60_000, b"", b"b" * 7]
    answers = await envoy.call(
        first,
        *(body(piece, ends=False) for piece in pieces),
        trailers,
        response,
        body(b"c", ends=True, of_response=True),
        ended,
    )
    assert picked_endpoint(answers[0]) == stub_service.endpoint(2)
    sent_back = [each.request_body.response.body_mutation.streamed_response for each in answers[1:4]]
    assert [(each.body, each.end_of_stream) for each in sent_back] == [(piece, False) for piece in pieces]
    assert [each.WhichOneof("response") for each in answers[4:]] == [
        "request_trailers",
        "response_headers",
        "response_body",
        "response_trailers",
    ]
    last = answers[6].response_body.response.body_mutation.streamed_response
    assert (last.body, last.end_of_stream) == (b"c", True)


@pytest.mark.parametrize("mode", [NONE, STREAMED])
async def test_bodies_are_unchanged_in_other_modes(envoy: Envoy, mode: int) -> None:
    first = request_headers(ALICE, ends=False)
    first.protocol_config.request_body_mode = mode  # type: ignore[assignment]
    _, answer = await envoy.call(first, body(b"a", ends=True))
    assert answer.WhichOneof("response") == "request_body"
    assert not answer.request_body.response.HasField("body_mutation")


async def test_observability_mode_gets_no_response(envoy: Envoy) -> None:
    request = request_headers(ALICE)
    request.observability_mode = True
    assert await envoy.call(request) == []


async def test_health_services_report_not_serving_before_the_stop(envoy: Envoy) -> None:
    names = ("", "liveness", "readiness", SERVICE)
    assert {name: await envoy.health(name) for name in names} == dict.fromkeys(names, "SERVING")
    await envoy.server.set_not_serving()
    assert {name: await envoy.health(name) for name in names} == {
        **dict.fromkeys(names, "NOT_SERVING"),
        "liveness": "SERVING",
    }
    picked_endpoint(await envoy.pick(ALICE))  # it continues to serve
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await envoy.health("another")
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_grpc_calls_need_a_valid_token(cluster: LocalCluster, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 2)
    api_user = APIUser.of(cluster.kubeconfig, stub_service.namespace)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["picker"]}}
    answer = await in_thread(api_user.request, "POST", "serviceaccounts/default/token", request)
    token = answer.expect_success()["status"]["token"]
    async with run_envoy(
        cluster.kubeconfig, route_of(stub_service), "picker", namespaces=(stub_service.namespace,)
    ) as envoy:
        for metadata in ({}, {"authorization": "Bearer nonsense"}):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await envoy.pick(ALICE, metadata=metadata)
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        known = {"authorization": f"Bearer {token}"}
        assert picked_endpoint(await envoy.pick(ALICE, metadata=known)) == stub_service.endpoint(2)


async def test_responses_are_counted(envoy: Envoy) -> None:
    await envoy.pick(ALICE)
    families = [family for each in envoy.resolver.components.metrics.collectors for family in each.collect()]
    samples = {(sample.name, *sample.labels.values()): sample.value for each in families for sample in each.samples}
    assert samples["statefulroute_resolver_answers_total", "pick", "200"] == 1
    assert HEADER == "x-gateway-destination-endpoint"
