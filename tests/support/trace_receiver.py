"""Receives traces by OTLP over HTTP, as a collector does."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from support.otlp_server import serving


@dataclass(frozen=True)
class ReceivedSpan:
    """A received span.

    Attributes:
        name: the operation.
        span_id: its id.
        parent_id: the id of its parent; empty for a root span.
        trace_id: the id of its trace.
        attributes: its attributes.
        has_failed: whether its status is an error.
        message: the message of its status.
        events: the names of its events.
        seconds: its duration.
        resource: the attributes of the sender.
    """

    name: str
    span_id: str
    parent_id: str
    trace_id: str
    attributes: Mapping[str, Any]
    has_failed: bool
    message: str
    events: tuple[str, ...]
    seconds: float
    resource: Mapping[str, Any]


class TraceReceiver:
    """The spans that were received.

    Attributes:
        endpoint: the URL for OTEL_EXPORTER_OTLP_ENDPOINT.
        answers: an event; while it is not set, senders wait.
        raw: all received bytes.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.answers = threading.Event()
        self.answers.set()
        self.raw = b""
        self._spans: list[ReceivedSpan] = []

    @property
    def spans(self) -> list[ReceivedSpan]:
        """Every span, in the order of their ends."""
        return list(self._spans)

    def spans_named(self, name: str) -> list[ReceivedSpan]:
        """Returns every span of a name."""
        return [span for span in self.spans if span.name == name]

    def children_of(self, span: ReceivedSpan) -> list[str]:
        """Returns the names of a span's children."""
        return [each.name for each in self.spans if (each.trace_id, each.parent_id) == (span.trace_id, span.span_id)]

    def receive(self, body: bytes) -> None:
        """Stores the spans of a request."""
        self.raw += body
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _values(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self._spans += [_span(span, resource) for span in of_scope.spans]


def _span(span: Any, resource: Mapping[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        trace_id=span.trace_id.hex(),
        attributes=_values(span.attributes),
        has_failed=span.status.code == 2,
        message=span.status.message,
        events=tuple(event.name for event in span.events),
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        resource=resource,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def receiving() -> Iterator[TraceReceiver]:
    """Runs a receiver on loopback for the duration of the context."""

    def handle(path: str, body: bytes) -> tuple[int, bytes]:
        receiver.answers.wait()
        assert path == "/v1/traces"
        receiver.receive(body)
        return 200, ExportTraceServiceResponse().SerializeToString()

    with serving(handle) as endpoint:
        receiver = TraceReceiver(endpoint)
        try:
            yield receiver
        finally:
            receiver.answers.set()
