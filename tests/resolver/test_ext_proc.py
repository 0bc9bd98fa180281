"""The endpoint picker: what Envoy's ext_proc filter asks for each request, and what it is answered."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import pytest
import pytest_asyncio

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
from resolver.stub_service import StubService, in_thread
from resolver.test_ext_authz import FORGED
from statefulroute.domain.keys import RouteKey
from statefulroute.resolver.ext_proc.extproc_pb2 import ProcessingRequest
from statefulroute.resolver.ext_proc.server import ROUTE_METADATA, SERVICE
from statefulroute.resolver.uid_sources import UidSource
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy
from support.api_user import APIUser

ALICE = [("x-user-id", "alice")]


def route_of(stub_service: StubService) -> RouteKey:
    return RouteKey(stub_service.namespace, stub_service.name)


@pytest_asyncio.fixture
async def envoy(cluster: LocalCluster, stub_service: StubService) -> AsyncIterator[Envoy]:
    """A gateway; alice is linked to pod 2."""
    await in_thread(stub_service.link, "alice", 2)
    async with run_envoy(cluster.kubeconfig, route_of(stub_service), namespaces=(stub_service.namespace,)) as made:
        yield made


async def test_a_known_user_is_sent_to_its_pod(envoy: Envoy, stub_service: StubService) -> None:
    assert picked_endpoint(await envoy.pick(ALICE)) == stub_service.endpoint(2)


async def test_a_user_who_moves_is_sent_after(envoy: Envoy, stub_service: StubService) -> None:
    await in_thread(stub_service.move, "alice", 0)
    path = f"{stub_service.path}/links/alice"
    await envoy.resolver.wait_for_reply(path, lambda each: each.json["podIndex"] == 0, "alice has moved")
    assert picked_endpoint(await envoy.pick(ALICE)) == stub_service.endpoint(0)


async def test_the_route_is_the_one_that_the_call_names(cluster: LocalCluster, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 1)
    named = {ROUTE_METADATA: f"{stub_service.namespace}/{stub_service.name}"}
    async with run_envoy(cluster.kubeconfig, None, namespaces=(stub_service.namespace,)) as envoy:
        assert picked_endpoint(await envoy.pick(ALICE, metadata=named)) == stub_service.endpoint(1)
        assert refusal(await envoy.pick(ALICE))[:2] == (404, "route_not_found")
        for odd in ("", "x", f"{stub_service.namespace}/chess", f"{stub_service.namespace}/../x"):
            assert refusal(await envoy.pick(ALICE, metadata={ROUTE_METADATA: odd}))[0] == 404


@pytest.mark.parametrize("unknown", UnlinkedUidPolicy)
async def test_a_new_user_is_bound_or_passed_on_or_refused(
    cluster: LocalCluster, stub_service: StubService, unknown: UnlinkedUidPolicy
) -> None:
    settings = {"namespaces": (stub_service.namespace,), "unlinked_uid": unknown}
    async with run_envoy(cluster.kubeconfig, route_of(stub_service), **settings) as envoy:
        answers = [await envoy.pick([("x-user-id", "new")]) for _ in range(6)]
        stored = await in_thread(stub_service.stored_pods)
        match unknown:
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
async def test_a_forged_endpoint_is_never_followed(
    envoy: Envoy, stub_service: StubService, forged: list[tuple[str, str]]
) -> None:
    lower = [(name.lower(), value) for name, value in forged]  # as Envoy writes names
    own = {stub_service.endpoint(pod) for pod in range(3)}
    assert picked_endpoint(await envoy.pick([*ALICE, *lower])) == stub_service.endpoint(2)
    assert picked_endpoint(await envoy.pick([("x-user-id", "new"), *lower])) in own
    assert picked_endpoint(await envoy.pick(lower)) in own


SUBSETS: Mapping[str, tuple[Any, set[int]]] = {
    "a list": ([0, 2], {0, 2}),
    "one": ([1], {1}),
    "with others that there are not": ([1, "169.254.169.254:80", "10.9.0.1:22"], {1}),
    "as a text": ("0,2", {0, 2}),
}


@pytest.mark.parametrize(("subset", "expected"), SUBSETS.values(), ids=SUBSETS)
async def test_only_endpoints_are_picked_that_the_gateway_offers(
    envoy: Envoy, stub_service: StubService, subset: Any, expected: set[int]
) -> None:
    if isinstance(subset, str):
        offered: Any = ", ".join(stub_service.endpoint(int(pod)) for pod in subset.split(","))
    else:
        offered = [stub_service.endpoint(pod) if isinstance(pod, int) else pod for pod in subset]
    picked = {picked_endpoint(await envoy.pick([("x-user-id", f"new-{each}")], offered)) for each in range(6)}
    assert picked == {stub_service.endpoint(pod) for pod in expected}
    if 2 not in expected:  # a user is not sent to another pod than its own
        assert refusal(await envoy.pick(ALICE, offered))[:2] == (503, "pod_not_routable")
    else:
        assert picked_endpoint(await envoy.pick(ALICE, offered)) == stub_service.endpoint(2)


@pytest.mark.parametrize("subset", [[], "", ["10.0.0.1:1"]], ids=["an empty list", "an empty text", "another's"])
async def test_where_the_gateway_offers_none_of_the_pods_there_is_no_endpoint(envoy: Envoy, subset: Any) -> None:
    for headers in (ALICE, [("x-user-id", "new")], []):
        status, _, told = refusal(await envoy.pick(headers, subset))
        assert (status, told["retry-after"]) == (503, "1")


async def test_there_is_no_endpoint_while_the_pod_cannot_be_reached(envoy: Envoy, stub_service: StubService) -> None:
    await in_thread(stub_service.patch_pod_status, 2, ready=False)
    await envoy.resolver.wait_for_reply(
        f"{stub_service.path}/links/alice", lambda each: each.status == 503, "it is not ready"
    )
    status, kind, told = refusal(await envoy.pick(ALICE))
    assert (status, kind, told["retry-after"]) == (503, "pod_not_routable", "1")


async def test_new_users_who_come_too_fast_are_shed(cluster: LocalCluster, stub_service: StubService) -> None:
    settings = {"namespaces": (stub_service.namespace,), "bindings_per_second": 2}
    async with run_envoy(cluster.kubeconfig, route_of(stub_service), **settings) as envoy:
        answers = [await envoy.pick([("x-user-id", f"u{each}")]) for each in range(30)]
        shed = [answer for answer in answers if answer.WhichOneof("response") == "immediate_response"]
        assert {refusal(answer)[:2] for answer in shed} == {(429, "too_many_bindings")}
        assert len(shed) == 30 - len(await in_thread(stub_service.stored_pods)) > 10


async def test_the_uid_is_found_wherever_it_stands_in_a_request(
    cluster: LocalCluster, stub_service: StubService
) -> None:
    await in_thread(stub_service.link, "alice", 2)
    await in_thread(stub_service.link, "query", 1)
    sources = tuple(map(UidSource.parse, ("cookie:uid", "query:uid")))
    async with run_envoy(
        cluster.kubeconfig, route_of(stub_service), namespaces=(stub_service.namespace,), uid_sources=sources
    ) as envoy:
        assert picked_endpoint(await envoy.pick([("cookie", "a=b; uid=alice")])) == stub_service.endpoint(2)
        assert picked_endpoint(await envoy.pick()) == stub_service.endpoint(1)


async def test_a_uid_that_no_link_can_have_is_refused(envoy: Envoy) -> None:
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


@pytest.mark.parametrize("says_so", [True, False], ids=["it says so", "it says nothing"])
async def test_in_full_duplex_each_piece_of_a_body_is_sent_back(
    envoy: Envoy, stub_service: StubService, *, says_so: bool
) -> None:
    first = request_headers(ALICE, ends=False)
    if says_so:
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
async def test_in_other_modes_a_body_is_left_as_it_is(envoy: Envoy, mode: int) -> None:
    first = request_headers(ALICE, ends=False)
    first.protocol_config.request_body_mode = mode  # type: ignore[assignment]
    _, answer = await envoy.call(first, body(b"a", ends=True))
    assert answer.WhichOneof("response") == "request_body"
    assert not answer.request_body.response.HasField("body_mutation")


async def test_a_gateway_that_only_shows_what_it_does_is_answered_nothing(envoy: Envoy) -> None:
    request = request_headers(ALICE)
    request.observability_mode = True
    assert await envoy.call(request) == []


async def test_its_health_is_told_and_gateways_are_sent_elsewhere_before_the_end(envoy: Envoy) -> None:
    names = ("", "liveness", "readiness", SERVICE)
    assert {name: await envoy.health(name) for name in names} == dict.fromkeys(names, "SERVING")
    await envoy.server.set_not_serving()
    assert {name: await envoy.health(name) for name in names} == {
        **dict.fromkeys(names, "NOT_SERVING"),
        "liveness": "SERVING",
    }
    picked_endpoint(await envoy.pick(ALICE))  # it answers on
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await envoy.health("another")
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_only_who_is_known_by_a_token_is_let_in(cluster: LocalCluster, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 2)
    person = APIUser.of(cluster.kubeconfig, stub_service.namespace)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["picker"]}}
    answer = await in_thread(person.request, "POST", "serviceaccounts/default/token", request)
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


async def test_the_answers_are_counted(envoy: Envoy) -> None:
    await envoy.pick(ALICE)
    families = [family for each in envoy.resolver.parts.metrics.collectors for family in each.collect()]
    samples = {(sample.name, *sample.labels.values()): sample.value for each in families for sample in each.samples}
    assert samples["statefulroute_resolver_answers_total", "pick", "200"] == 1
    assert HEADER == "x-gateway-destination-endpoint"
