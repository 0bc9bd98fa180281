"""Tests the metrics and the spans of drivers against a real API server."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from statefulroute import DriverMetrics, DriverTracing, sync
from support.independent_client import PodLink
from support.service import Service
from support.waiting import eventually


def test_blocking_drivers_are_counted_and_traced(in_a_pod: pytest.MonkeyPatch, game: Service) -> None:
    del in_a_pod
    here, registry, exporter = game.namespace, CollectorRegistry(), InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    metrics, tracing = DriverMetrics(registry), DriverTracing(provider)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"statefulroute_driver_{name}", {"namespace": here} | labels)

    with sync.ClientDriver.connect(metrics=metrics, tracing=tracing) as client:
        server = sync.ServerDriver.from_environment(metrics=metrics, tracing=tracing)
        exporter.clear()
        with provider.get_tracer("app").start_as_current_span("caller") as caller:
            client.link_if_absent("alice", "game", 0)
        server.set_linked_pod(here, "alice", "game", 2)
        eventually(lambda: value("moves_total") == 1, "the watch has the move")
        assert client.get_linked_pod("alice", "game") == 2
        assert server.get_linked_pod(here, "alice", "game") == 2
        game.client.delete_all(PodLink, here)
        eventually(lambda: client.cached_links == 0, "the watch has the deletion")
        server.close()
    assert [value("link_writes_total", change=change) for change in ("bound", "moved", "removed")] == [1, 1, 0]
    assert [value("lookups_total", source=source) for source in ("cache", "request")] == [1, 1]
    spans = {span.name: span for span in exporter.get_finished_spans()}
    bound = spans["statefulroute.link_if_absent"]
    assert bound.parent == caller.get_span_context()  # across the thread of the blocking drivers
    (create,) = [span for span in spans.values() if span.parent == bound.context]
    assert create.name == "create podlinks"
    assert create.attributes is not None
    assert create.attributes["http.response.status_code"] == 201
    assert "alice" not in "".join(span.to_json() for span in spans.values())
    assert {"statefulroute.set_linked_pod", "statefulroute.get_linked_pod"} <= spans.keys()
    provider.shutdown()
