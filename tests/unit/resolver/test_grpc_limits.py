"""The limits of gRPC connections and of streams that send nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import grpc
import pytest

from statefulroute.domain.keys import RouteKey
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.endpoint_picker import Pick
from statefulroute.resolver.grpc import ext_proc
from statefulroute.resolver.grpc.calls import GatewayComponents
from statefulroute.resolver.grpc.ext_proc import SERVICE, ExternalProcessor
from statefulroute.resolver.grpc.extproc_pb2 import ProcessingRequest
from statefulroute.resolver.grpc.server import serve_grpc
from statefulroute.resolver.metrics import ResolverMetrics

#: The identifier of the limit in a SETTINGS frame (RFC 9113, section 6.5.2).
_MAX_CONCURRENT_STREAMS = 3


class Picker:
    """Picks always the same pod."""

    async def pick(self, *_: object) -> Pick:
        return Pick("game-0", "10.0.0.1:7777", is_linked=True)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """The address of an endpoint picker."""
    picker: Any = Picker()
    components = GatewayComponents(picker, (), RouteKey("play", "game"), Authenticator(), ResolverMetrics())
    processor = ExternalProcessor(components)
    async with serve_grpc(BindAddress("127.0.0.1", 0), [processor]) as server:
        yield server.address


async def test_concurrent_calls_of_a_connection_are_limited(address: str) -> None:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with closing(writer):
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        head = await reader.readexactly(9)
        assert head[3] == 4, "the first frame has the settings"
        settings = await reader.readexactly(int.from_bytes(head[:3]))
    pairs = [settings[start : start + 6] for start in range(0, len(settings), 6)]
    values = {int.from_bytes(pair[:2]): int.from_bytes(pair[2:]) for pair in pairs}
    assert values.get(_MAX_CONCURRENT_STREAMS) == 1_000


def open_stream(channel: grpc.aio.Channel) -> Any:
    method: Any = channel.stream_stream(f"/{SERVICE}/Process", request_serializer=ProcessingRequest.SerializeToString)
    return method()


@pytest.fixture
async def channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of a gateway."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel


async def test_stream_that_sends_nothing_ends(channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ext_proc, "_FIRST_MESSAGE_TIMEOUT_SECONDS", 0.05)
    silent = open_stream(channel)
    async with asyncio.timeout(20):
        assert await silent.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await silent.details() == "the stream sent no message within 0.05 s"


async def test_stream_may_be_silent_after_its_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ext_proc, "_FIRST_MESSAGE_TIMEOUT_SECONDS", 0.05)
    headers, later = ProcessingRequest(), ProcessingRequest()
    headers.request_headers.SetInParent()
    later.response_headers.SetInParent()

    async def messages() -> AsyncIterator[ProcessingRequest]:
        yield headers
        await asyncio.sleep(0.1)
        yield later

    context: Any = None
    assert [message async for message in ext_proc._within_time(messages(), context)] == [headers, later]  # noqa: SLF001
