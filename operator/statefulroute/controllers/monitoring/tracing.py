"""Enables tracing where OpenTelemetry's own environment variables name an endpoint."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from statefulroute.controllers.monitoring.trace_hooks import TraceHooks
from statefulroute.domain.redaction import UidRedactor
from statefulroute.monitoring.otlp import Signal, check_protocol, is_enabled, not_configured, not_installed


@asynccontextmanager
async def tracing(uid_redactor: UidRedactor | None) -> AsyncIterator[TraceHooks]:
    """Exports traces while the context lasts, if the environment enables it; the exit waits for the last spans.

    Args:
        uid_redactor: replaces the uids of links; None leaves them.

    Raises:
        OtlpUnavailableError: tracing is enabled and not possible.
    """
    if not is_enabled(Signal.TRACES):
        yield TraceHooks()
        return
    check_protocol(Signal.TRACES)
    try:
        from statefulroute.controllers.monitoring.opentelemetry_traces import (  # noqa: PLC0415 - an optional extra
            export_traces,
            make_provider,
        )
    except ImportError as error:
        raise not_installed(Signal.TRACES, "operator") from error
    try:
        provider = make_provider()
    except ValueError as error:
        raise not_configured(Signal.TRACES, error) from error
    async with export_traces(provider, uid_redactor) as trace_hooks:
        yield trace_hooks
