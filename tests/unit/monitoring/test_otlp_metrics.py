"""Metrics over OTLP, as a receiver gets them; and nothing of it where it is off."""

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from structlog.testing import capture_logs

from statefulroute.monitoring import opentelemetry_metrics, opentelemetry_resource
from statefulroute.monitoring.otlp import OtlpUnavailableError
from statefulroute.monitoring.otlp_metrics import send_metrics
from support.otlp_server import serving
from support.waiting import wait_until


class Receiver:
    """A receiver of metrics.

    Attributes:
        requests: the received requests.
        status: the status of its responses.
        answers: an event; while it is not set, senders wait.
    """

    def __init__(self) -> None:
        self.requests: list[ExportMetricsServiceRequest] = []
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()

    def handle(self, path: str, body: bytes) -> tuple[int, bytes]:
        self.answers.wait()
        assert path == "/v1/metrics"
        self.requests.append(ExportMetricsServiceRequest.FromString(body))
        return self.status, ExportMetricsServiceResponse().SerializeToString()

    def resource(self) -> dict[str, str]:
        """Returns the attributes of the sender of the last request."""
        (sender,) = self.requests[-1].resource_metrics
        return {each.key: each.value.string_value for each in sender.resource.attributes}

    def values(self, name: str) -> list[float]:
        """Returns the value of a counter in each request."""
        return [
            metric.sum.data_points[0].as_double
            for request in self.requests
            for metric in request.resource_metrics[0].scope_metrics[0].metrics
            if metric.name == name
        ]


class Work:
    """A collector that counts how often it is collected."""

    def __init__(self) -> None:
        self.count = 0

    def collect(self) -> Iterator[Metric]:
        self.count += 1
        yield CounterMetricFamily("work", "Work.", self.count)


@contextmanager
def receiving() -> Iterator[tuple[Receiver, str]]:
    receiver = Receiver()
    with serving(receiver.handle) as url:
        try:
            yield receiver, url
        finally:
            receiver.answers.set()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as (made, url):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{url}/v1/metrics")
        yield made


async def test_metrics_are_sent_at_the_interval_and_at_the_end(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "20")
    work = Work()
    async with send_metrics("operator") as start:
        start([work])
        await wait_until(lambda: len(receiver.requests) >= 2, "two requests arrive")
    assert receiver.values("work_total") == [float(number + 1) for number in range(work.count)]
    names = {metric.name for metric in receiver.requests[-1].resource_metrics[0].scope_metrics[0].metrics}
    assert {"process_cpu_seconds_total", "python_gc_collections_total"} <= names


async def test_last_metrics_are_sent_although_the_interval_has_not_passed(receiver: Receiver) -> None:
    work = Work()
    async with send_metrics("operator") as start:
        start([work])
    assert receiver.values("work_total") == [1.0]


async def test_endpoint_of_all_signals_sends_metrics_if_they_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as (receiver, url):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
        async with send_metrics("resolver") as start:
            start([Work()])
    assert receiver.values("work_total") == [1.0]


async def test_process_that_ends_before_it_has_metrics_sends_none(receiver: Receiver) -> None:
    async with send_metrics("operator"):
        pass
    assert receiver.requests == []


async def test_sender_is_described(receiver: Receiver) -> None:
    async with send_metrics("resolver") as start:
        start([Work()])
    resource = receiver.resource()
    assert (resource["service.name"], resource["service.version"]) == (
        "statefulroute-resolver",
        version("statefulroute"),
    )
    assert resource["service.instance.id"]
    assert "k8s.pod.name" not in resource


async def test_sender_in_a_pod_is_described(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "namespace").write_text("games\n", encoding="utf-8")
    monkeypatch.setattr(opentelemetry_resource, "SERVICE_ACCOUNT_DIRECTORY", tmp_path)
    monkeypatch.setattr("socket.gethostname", lambda: "operator-7x")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,team=a")
    async with send_metrics("operator") as start:
        start([Work()])
    resource = receiver.resource()
    assert {name: resource[name] for name in ("service.name", "service.instance.id", "team")} == {
        "service.name": "mine",
        "service.instance.id": "games.operator-7x",
        "team": "a",
    }
    assert (resource["k8s.namespace.name"], resource["k8s.pod.name"]) == ("games", "operator-7x")


async def test_receiver_that_is_away_is_logged_once_and_its_return(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "10")
    receiver.status = 404
    with capture_logs() as lines, caplog.at_level(logging.DEBUG, logger="opentelemetry"):
        async with send_metrics("operator") as start:
            start([Work()])
            await wait_until(lambda: len(receiver.requests) >= 3, "three requests arrive")
            assert [(line["log_level"], line["event"]) for line in lines] == [
                ("warning", "metrics cannot be sent: trying again at each interval")
            ]
            assert "404" in lines[0]["error"]
            receiver.status = 200
            await wait_until(lambda: len(lines) == 2, "the return is logged")
            assert lines[1]["event"] == "metrics are sent again"
    assert caplog.records == []


async def test_metrics_that_cannot_be_collected_do_not_end_the_sending(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails(Work):
        def collect(self) -> Iterator[Metric]:
            if self.count == 0:
                self.count = 1
                raise RuntimeError("once")
            yield from super().collect()

    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "10")
    with capture_logs() as lines:
        async with send_metrics("operator") as start:
            start([Fails()])
            await wait_until(lambda: receiver.requests, "a request arrives")
    assert lines[0]["event"] == "metrics cannot be sent: trying again at each interval"


async def test_receiver_that_does_not_answer_delays_neither_the_event_loop_nor_the_exit(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opentelemetry_metrics, "_LAST_SECONDS", 0.05)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "10")
    receiver.answers.clear()
    work = Work()
    async with send_metrics("operator") as start:
        start([work])
        await wait_until(
            lambda: work.count, "metrics are collected"
        )  # the event loop runs while the receiver is silent
        await asyncio.sleep(0.05)
        assert work.count == 1  # the next export waits for this one
    assert receiver.requests == []


OFF = [
    {},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318"},
    {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://here:4318/v1/traces"},
    {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": ""},
    {"OTEL_METRICS_EXPORTER": "otlp"},
    {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://here:4318/v1/metrics", "OTEL_METRICS_EXPORTER": "none"},
    {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://here:4318/v1/metrics", "OTEL_SDK_DISABLED": "true"},
]

_USES_NOTHING = """
import asyncio, sys, threading
import statefulroute.controllers.operator, statefulroute.resolver.process
from statefulroute.monitoring.otlp_metrics import send_metrics

async def main():
    async with send_metrics("operator") as start:
        start([None])
        assert len(asyncio.all_tasks()) == 1
        assert threading.active_count() == 1

asyncio.run(main())
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""


@pytest.mark.parametrize("environment", OFF)
def test_nothing_is_imported_or_runs_unless_it_is_on(environment: dict[str, str]) -> None:
    path = {"PYTHONPATH": "operator"}
    ended = subprocess.run(
        [sys.executable, "-c", _USES_NOTHING], env=path | environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


async def test_packages_that_are_missing_are_an_error(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    del receiver
    monkeypatch.delitem(sys.modules, "statefulroute.monitoring.opentelemetry_metrics")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics.export", None)  # type: ignore[arg-type]
    with pytest.raises(OtlpUnavailableError, match=r"install statefulroute\[resolver,otlp\], or unset the variable$"):
        async with send_metrics("resolver"):
            pass


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "metrics cannot be sent by grpc: set OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf",
        ),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1m", "OTEL_METRIC_EXPORT_INTERVAL=1m is not a number of milliseconds"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "OTEL_METRIC_EXPORT_INTERVAL=0 is not a number of milliseconds"),
    ],
)
async def test_variable_that_cannot_be_followed_is_an_error(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    del receiver
    monkeypatch.setenv(variable, value)
    with pytest.raises(OtlpUnavailableError, match=message):
        async with send_metrics("operator"):
            pass


async def test_variable_that_opentelemetry_does_not_accept_is_an_error(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:  # as the lowest supported version does with OTEL_EXPORTER_OTLP_TIMEOUT=10s
        int("10s")

    del receiver
    monkeypatch.setattr(opentelemetry_metrics, "OTLPMetricExporter", refuse)
    with pytest.raises(OtlpUnavailableError, match=r"^metrics cannot be sent: .*'10s'; see the variables"):
        async with send_metrics("operator"):
            pass
