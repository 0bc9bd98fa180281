"""Sends metrics over OTLP where OpenTelemetry's own environment variables ask for it."""

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Literal

from prometheus_client.registry import Collector

from statefulroute.monitoring.otlp import (
    OtlpUnavailableError,
    Signal,
    check_protocol,
    is_enabled,
    not_configured,
    not_installed,
)

_INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL"
_DEFAULT_INTERVAL_MILLISECONDS = 60_000.0

#: Starts to send the metrics of collectors.
StartMetrics = Callable[[Iterable[Collector]], None]


@asynccontextmanager
async def send_metrics(program: Literal["operator", "resolver"]) -> AsyncIterator[StartMetrics]:
    """Sends metrics while the context lasts, if the environment asks for it; the exit waits for the last ones.

    Yields the function that starts it: the collectors exist later than what they measure at the end.

    Args:
        program: the kind of the process.

    Raises:
        OtlpUnavailableError: the environment asks for it, and it is not possible.
    """
    if not is_enabled(Signal.METRICS):
        yield _send_nothing
        return
    check_protocol(Signal.METRICS)
    interval = _interval_seconds()
    try:
        from statefulroute.monitoring.opentelemetry_metrics import MetricSender  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise not_installed(Signal.METRICS, program) from error
    try:
        sender = MetricSender(program, interval)
    except ValueError as error:
        raise not_configured(Signal.METRICS, error) from error
    try:
        yield sender.start
    finally:
        await sender.aclose()


def _send_nothing(_: Iterable[Collector]) -> None:
    """Sends no metrics: nothing asks for them."""


def _interval_seconds() -> float:
    text = os.environ.get(_INTERVAL) or str(_DEFAULT_INTERVAL_MILLISECONDS)
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = 0.0
    if not 0 < milliseconds < float("inf"):
        raise OtlpUnavailableError(f"{_INTERVAL}={text} is not a number of milliseconds: the default is 60000")
    return milliseconds / 1000
