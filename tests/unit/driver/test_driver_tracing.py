"""The spans of drivers, with a cluster in memory."""

import asyncio
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from statefulroute import Configuration, DeadlineExceededError, DriverTracing
from statefulroute.cluster import field_logger
from statefulroute.domain.redaction import UidRedactor
from statefulroute.testing import InMemoryCluster

NEVER = Configuration(state_period_seconds=3600, workload_period_seconds=3600, drain_seconds=0)


class Spans:
    """The spans that were exported.

    Attributes:
        all: those that were taken.
    """

    def __init__(self) -> None:
        self.all: list[ReadableSpan] = []
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def take(self) -> list[ReadableSpan]:
        """Returns the spans since the last call, in the order of their ends."""
        spans = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        self.all += spans
        return spans

    def names(self) -> list[str]:
        """Takes the spans, and returns their names."""
        return [span.name for span in self.take()]


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    yield spans
    spans.provider.shutdown()


@pytest.fixture
def tracing(spans: Spans) -> DriverTracing:
    return DriverTracing(spans.provider)


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster("play")
    cluster.add_service("game", pods=3, port=7777)
    return cluster


async def test_binding_has_a_span_with_its_requests(
    cluster: InMemoryCluster, spans: Spans, tracing: DriverTracing
) -> None:
    async with cluster.client_driver(tracing=tracing) as client:
        spans.take()
        with spans.provider.get_tracer("app").start_as_current_span("enter") as caller:
            await client.bind("alice", "game")
        create, operation, _ = spans.take()
        assert (operation.name, create.name) == ("statefulroute.compute_link_if_absent", "create podlinks")
        assert operation.attributes == {
            "k8s.namespace.name": "play",
            "statefulroute.route": "game",
            "statefulroute.pod": "0",
            "statefulroute.requests": 1,
        }
        assert operation.parent == caller.get_span_context()
        assert create.parent == operation.context
        assert (operation.kind, create.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)
        assert create.attributes == {
            "http.request.method": "POST",
            "http.response.status_code": 200,
            "statefulroute.verb": "create",
            "statefulroute.resource": "podlinks",
        }
        assert operation.start_time is not None
        assert create.end_time is not None
        assert operation.start_time <= create.end_time


async def test_lookups_of_the_cache_have_no_span(
    cluster: InMemoryCluster, spans: Spans, tracing: DriverTracing
) -> None:
    async with cluster.client_driver(tracing=tracing) as client:
        await client.bind("alice", "game")
        spans.take()
        await client.get_linked_pod("alice", "game")
        await client.address_of("alice", "game")
        await client.links_of("alice")
        await client.get_linked_pod("nobody", "game")
        assert spans.names() == []
        await client.get_linked_pod("alice", "game", fresh=True)
        assert spans.names() == ["get podlinks", "statefulroute.get_linked_pod"]


async def test_server_has_spans(cluster: InMemoryCluster, spans: Spans, tracing: DriverTracing) -> None:
    async with cluster.server_driver("game", 0, configuration=NEVER, tracing=tracing) as server:
        spans.take()
        server.set_load_state(3)
        assert spans.names() == []
        await server.set_linked_pod("play", "alice", "game", 0)
        assert spans.names() == ["get podlinks", "create podlinks", "statefulroute.set_linked_pod"]


async def test_requests_after_the_end_of_an_operation_belong_to_none(
    cluster: InMemoryCluster, spans: Spans, tracing: DriverTracing
) -> None:
    server = cluster.server_driver("game", 0, configuration=NEVER, tracing=tracing)
    await server.init()  # starts the watch of routes, which inherits the context of the operation
    assert spans.names()
    cluster.set_available(is_available=False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await server.get_linked_pod("play", "alice", "game")
    operation = spans.take()[-1]
    assert (operation.name, operation.status.status_code) == ("statefulroute.get_linked_pod", StatusCode.ERROR)
    cluster.set_available(is_available=True)
    await server.close()


async def test_error_is_named_by_its_code_and_no_span_names_a_user(
    cluster: InMemoryCluster, spans: Spans, tracing: DriverTracing
) -> None:
    async with cluster.client_driver(services=[], tracing=tracing, deadline_seconds=0.05) as client:
        await client.bind("secret-uid", "game")
        cluster.set_available(is_available=False)
        with pytest.raises(DeadlineExceededError):
            await client.get_linked_pod("secret-uid", "game")
        cluster.set_available(is_available=True)
        *_, request, operation = spans.take()
        assert [span.status.status_code for span in (request, operation)] == [StatusCode.ERROR] * 2
        errors = [dict(span.attributes or {})["error.type"] for span in (request, operation)]
        assert errors == ["unreachable", "Timeout"]
        assert all("secret-uid" not in span.to_json() for span in spans.all)


@pytest.mark.parametrize(
    ("hash_uids", "expected"),
    [(False, {"user.id": "alice"}), (True, {"user.hash": UidRedactor().redact_uid("alice")})],
    ids=["uids", "hashes"],
)
async def test_spans_name_users_where_that_is_asked_for(
    cluster: InMemoryCluster,
    spans: Spans,
    monkeypatch: pytest.MonkeyPatch,
    *,
    hash_uids: bool,
    expected: dict[str, str],
) -> None:
    tracing = DriverTracing(spans.provider, record_uids=True)
    monkeypatch.setattr(field_logger, "_redactor", None)  # `hash_uids` changes it for the process
    async with cluster.server_driver("game", 0, configuration=NEVER, tracing=tracing, hash_uids=hash_uids) as server:
        await server.set_linked_pod("play", "alice", "game", 0)
    (span,) = [each for each in spans.take() if each.name == "statefulroute.set_linked_pod"]
    assert span.attributes is not None
    assert {name: value for name, value in span.attributes.items() if name.startswith("user.")} == expected


async def test_long_batch_has_a_limited_number_of_request_spans(
    cluster: InMemoryCluster, spans: Spans, tracing: DriverTracing
) -> None:
    async with cluster.client_driver(services=[], tracing=tracing) as client:
        spans.take()
        await client.batch_get([f"user-{number}" for number in range(150)], "game")
        *requests, operation = spans.take()
        assert operation.attributes is not None
        assert (len(requests), operation.attributes["statefulroute.requests"]) == (100, 150)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"pip install 'statefulroute\[tracing\]'$"):
        DriverTracing()
