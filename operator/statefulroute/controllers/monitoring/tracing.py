"""Enables tracing where OpenTelemetry's own environment variables name an endpoint."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from statefulroute.controllers.monitoring.trace_hooks import TraceHooks
from statefulroute.domain.redaction import UidRedactor

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_ENDPOINTS = (_ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


class TracingUnavailableError(Exception):
    """Tracing is enabled and not possible; the message explains why, and what to do."""


@asynccontextmanager
async def tracing(uid_redactor: UidRedactor | None) -> AsyncIterator[TraceHooks]:
    """Exports traces while the context lasts, if the environment enables it; the exit waits for the last spans.

    Args:
        uid_redactor: replaces the uids of links; None leaves them.

    Raises:
        TracingUnavailableError: tracing is enabled and not possible.
    """
    if not _is_enabled():
        yield TraceHooks()
        return
    protocol = next(filter(None, map(os.environ.get, _PROTOCOLS)), _PROTOCOL)
    if protocol != _PROTOCOL:
        raise TracingUnavailableError(
            f"traces cannot be sent by {protocol}: set {_PROTOCOLS[0]}={_PROTOCOL}, and the port to the receiver's for "
            "it, which is mostly 4318"
        )
    try:
        from statefulroute.controllers.monitoring.opentelemetry_traces import export_traces  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise TracingUnavailableError(
            f"{_ENDPOINT} is set, and what sends traces is not installed: install statefulroute[operator,otlp], or "
            "unset the variable"
        ) from error
    async with export_traces(uid_redactor) as trace_hooks:
        yield trace_hooks


def _is_enabled() -> bool:
    """Returns whether OpenTelemetry's own variables enable tracing."""
    environment = os.environ
    is_off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return any(map(environment.get, _ENDPOINTS)) and not is_off and environment.get("OTEL_TRACES_EXPORTER") != "none"
