"""Tests which responses a gateway is asked for, and what becomes of them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from statefulroute.domain.keys import RouteKey
from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.endpoint_picker import EndpointPicker, Pick
from statefulroute.resolver.grpc.calls import Context, GatewayComponents
from statefulroute.resolver.grpc.extproc_pb2 import (
    ProcessingMode,
    ProcessingRequest,
    ProcessingResponse,
    ProtocolConfiguration,
)
from statefulroute.resolver.grpc.linking_ext_proc import LinkingExternalProcessor
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.resolver.response_linker import ResponseLinker
from statefulroute.resolver.uid_sources import SourceRequest, UidSource
from statefulroute.rest.problems import ProblemError, ProblemKind

GAME = RouteKey("play", "game")
NEW = Pick("game-0", "10.0.0.1:7777", is_linked=False)
KNOWN = Pick("game-1", "10.0.0.2:7777", is_linked=True)
SEND = ProcessingMode.HeaderSendMode.SEND
STREAMED = ProtocolConfiguration.BodySendMode.STREAMED
FULL_DUPLEX = ProtocolConfiguration.BodySendMode.FULL_DUPLEX_STREAMED


class Call:
    """A call without metadata."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()


class Picker:
    """Knows the user `alice`."""

    async def pick(self, key: RouteKey, uid: str | None, *_: object) -> Pick:
        assert key == GAME
        if uid == "refused":
            raise ProblemError(ProblemKind.NO_AVAILABLE_POD, "no pod")
        return KNOWN if uid == "alice" else NEW


@dataclass
class Linker:
    """Records responses."""

    problem: ProblemError | None = None
    calls: list[tuple[Pick, str | None, str]] = field(default_factory=list)

    async def link(self, key: RouteKey, pick: Pick, served: str | None, response: SourceRequest) -> None:
        assert key == GAME
        self.calls.append((pick, served, "".join(response.header("x-session"))))
        if self.problem is not None:
            raise self.problem


def request_headers(uid: str = "", modes: ProtocolConfiguration | None = None) -> ProcessingRequest:
    request = ProcessingRequest(protocol_config=modes)
    request.request_headers.SetInParent()
    if uid:
        request.request_headers.headers.headers.add(key="x-user-id", raw_value=uid.encode())
    return request


def response_headers(session: str = "s-1", served: str = "") -> ProcessingRequest:
    request = ProcessingRequest()
    request.response_headers.headers.headers.add(key="x-session", raw_value=session.encode())
    if served:
        space = request.metadata_context.filter_metadata["envoy.lb"]
        space.update({"x-gateway-destination-endpoint-served": served})
    return request


async def exchange(linker: Linker, *requests: ProcessingRequest) -> tuple[list[ProcessingResponse], list[str]]:
    """Returns the responses, and the operations and statuses that were counted."""

    async def stream() -> AsyncIterator[ProcessingRequest]:
        for request in requests:
            yield request

    metrics = ResolverMetrics()
    sources = (UidSource.parse("header:x-user-id"),)
    components = GatewayComponents(cast("EndpointPicker", Picker()), sources, GAME, Authenticator(), metrics)
    processor = LinkingExternalProcessor(components, cast("ResponseLinker", linker))
    context = cast("Context", cast("Any", Call()))
    responses = [ProcessingResponse.FromString(each) async for each in processor.process(stream(), context)]
    registry = CollectorRegistry()
    for collector in metrics.collectors:
        registry.register(collector)
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return responses, sorted(
        f"{sample.labels['operation']} {sample.labels['code']}"
        for sample in samples
        if sample.name == "statefulroute_resolver_answers_total"
    )


async def test_response_to_a_user_without_a_link_is_requested() -> None:
    (response,), _ = await exchange(Linker(), request_headers())
    assert response.mode_override.response_header_mode == SEND
    (option,) = response.request_headers.response.header_mutation.set_headers
    assert option.header.raw_value == b"10.0.0.1:7777"
    assert "envoy.lb" in response.dynamic_metadata.fields


@pytest.mark.parametrize("uid", ["alice", "refused"])
async def test_no_other_response_is_requested(uid: str) -> None:
    (response,), _ = await exchange(Linker(), request_headers(uid))
    assert not response.HasField("mode_override")


@pytest.mark.parametrize("mode", [STREAMED, FULL_DUPLEX])
async def test_modes_of_bodies_are_not_changed(mode: Any) -> None:
    for modes in (ProtocolConfiguration(request_body_mode=mode), ProtocolConfiguration(response_body_mode=mode)):
        (response,), _ = await exchange(Linker(), request_headers(modes=modes))
        assert not response.HasField("mode_override")


async def test_response_is_passed_on_when_its_uid_is_linked() -> None:
    linker = Linker()
    (_, passed), counted = await exchange(linker, request_headers(), response_headers(served="10.0.0.3:7777"))
    assert linker.calls == [(NEW, "10.0.0.3:7777", "s-1")]
    assert passed.WhichOneof("response") == "response_headers"
    assert counted == ["link 200", "pick 200"]


async def test_gateway_may_not_name_the_pod_that_has_responded() -> None:
    linker = Linker()
    await exchange(linker, request_headers(), response_headers())
    assert linker.calls == [(NEW, None, "s-1")]


async def test_response_to_a_linked_user_is_passed_on_unread() -> None:
    linker = Linker()
    (_, passed), counted = await exchange(linker, request_headers("alice"), response_headers())
    assert linker.calls == []
    assert passed.WhichOneof("response") == "response_headers"
    assert counted == ["pick 200"]


async def test_latest_request_of_a_stream_counts() -> None:
    linker = Linker()
    linked = request_headers(), request_headers("alice"), response_headers("s-1")
    await exchange(linker, *linked, request_headers(), response_headers("s-2"), response_headers("s-3"))
    assert linker.calls == [(NEW, None, "s-2")]


async def test_response_whose_uid_is_not_linked_is_replaced() -> None:
    linker = Linker(ProblemError(ProblemKind.API_SERVER_AWAY, "it does not respond"))
    responses, counted = await exchange(linker, request_headers(), response_headers(), response_headers())
    immediate = responses[1].immediate_response
    assert (immediate.status.code, immediate.details, len(responses)) == (503, "api_server_away", 2)
    assert counted == ["link 503", "pick 200"]
