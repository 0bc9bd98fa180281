"""Each request that a gateway sends counts for the rate of the caller, also those of one gRPC stream."""

from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest

from statefulroute.domain.keys import RouteKey
from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.endpoint_picker import EndpointPicker, Pick
from statefulroute.resolver.grpc.calls import Context, GatewayComponents
from statefulroute.resolver.grpc.ext_proc import ExternalProcessor
from statefulroute.resolver.grpc.extproc_pb2 import ProcessingRequest
from statefulroute.resolver.metrics import ResolverMetrics


class Picker:
    """Counts the requests that it picks a pod for."""

    picks = 0

    async def pick(self, *_: object) -> Pick:
        self.picks += 1
        return Pick("game-0", "10.0.0.1:7777", is_linked=True)


class AbortedError(Exception):
    """The call was aborted."""


class Call:
    """A call without a certificate."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def peer(self) -> str:
        return "ipv4:10.0.0.1:4711"

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}

    async def abort(self, code: grpc.StatusCode, _: str) -> None:
        raise AbortedError(code)


async def heads(number: int) -> AsyncIterator[ProcessingRequest]:
    for _ in range(number):
        request = ProcessingRequest()
        request.request_headers.SetInParent()
        yield request


async def test_requests_of_one_stream_are_limited() -> None:
    picker = Picker()
    authenticator = Authenticator(requests_per_second=3)
    route = RouteKey("play", "game")
    processor = ExternalProcessor(
        GatewayComponents(cast("EndpointPicker", picker), (), route, authenticator, ResolverMetrics())
    )
    with pytest.raises(AbortedError) as aborted:
        async for _ in processor.process(heads(100), cast("Context", cast("Any", Call()))):
            pass
    assert aborted.value.args == (grpc.StatusCode.RESOURCE_EXHAUSTED,)
    assert picker.picks == 3
