"""Sends metrics over OTLP at an interval, from a thread, so that a receiver that does not respond delays nothing."""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version

import structlog
from opentelemetry.exporter.otlp.proto.http import metric_exporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from statefulroute.monitoring.daemon_threads import run_in_daemon_thread
from statefulroute.monitoring.exposition import Exposition
from statefulroute.monitoring.opentelemetry_conversion import convert
from statefulroute.monitoring.opentelemetry_resource import make_resource

log = structlog.get_logger(__name__)

#: How long the end waits until the last metrics are sent.
_LAST_SECONDS = 5.0


class MetricSender:
    """Sends the metrics of a process, to the receiver that OpenTelemetry's variables name.

    Args:
        program: the kind of the process, such as `operator`.
        interval_seconds: the interval between the starts of two exports.
    """

    def __init__(self, program: str, interval_seconds: float) -> None:
        self._resource = make_resource(program)
        self._scope = InstrumentationScope("statefulroute", version("statefulroute"))
        self._interval_seconds = interval_seconds
        self._exporter = OTLPMetricExporter()
        self._messages = _ExporterMessages()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._has_failed = False

    def start(self, collectors: Iterable[Collector]) -> None:
        """Starts to send the metrics of the collectors, and the standard ones of the process."""
        self._task = asyncio.create_task(self._run(Exposition(collectors)))

    async def aclose(self) -> None:
        """Sends the last metrics, within a limited time, and stops."""
        self._stopping.set()
        if self._task is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._task, _LAST_SECONDS)
        self._exporter.shutdown()
        self._messages.remove()

    async def _run(self, exposition: Exposition) -> None:
        seconds = self._interval_seconds
        while not await self._is_stopped_within(seconds):
            began = time.monotonic()
            await self._send(exposition)
            seconds = max(0.0, self._interval_seconds - (time.monotonic() - began))
        await self._send(exposition)

    async def _is_stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    async def _send(self, exposition: Exposition) -> None:
        try:
            families = [family async for family in exposition.collect()]
            failure = await run_in_daemon_thread(partial(self._export, families, time.time_ns()), "metrics-export")
        except Exception as error:  # noqa: BLE001 - any error must leave the next export
            failure = repr(error)
        if failure is not None and not self._has_failed:
            log.warning("metrics cannot be sent: trying again at each interval", error=failure)
        elif failure is None and self._has_failed:
            log.info("metrics are sent again")
        self._has_failed = failure is not None

    def _export(self, families: Sequence[Metric], nanoseconds: int) -> str | None:
        """Sends metrics; returns the reason if that failed."""
        self._messages.clear()
        scope = ScopeMetrics(self._scope, convert(families, nanoseconds), schema_url="")
        data = MetricsData([ResourceMetrics(self._resource, [scope], schema_url="")])
        return None if self._exporter.export(data) is MetricExportResult.SUCCESS else self._messages.first


class _ExporterMessages(logging.Filter):
    """Takes the messages of the exporter out of the log, which repeats them at each interval and for each attempt.

    Attributes:
        first: the first message since `clear`, which has the reason of a failure.
    """

    def __init__(self) -> None:
        super().__init__()
        self._logger = logging.getLogger(metric_exporter.__name__)
        self._logger.addFilter(self)
        self.clear()

    def clear(self) -> None:
        """Forgets the messages."""
        self.first = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keeps the first message."""
        self.first = self.first or record.getMessage()
        return False

    def remove(self) -> None:
        """Leaves further messages in the log."""
        self._logger.removeFilter(self)
