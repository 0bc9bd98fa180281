"""Traces by OpenTelemetry: a span for each reconciled link and each run of a timer, with a child for each request."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from statefulroute.cluster.request_metrics import RequestRecord
from statefulroute.controllers.links.reconciler import ReconcileResult
from statefulroute.controllers.links.route_queue import Reconcile
from statefulroute.controllers.monitoring.timers import Timer
from statefulroute.controllers.monitoring.trace_hooks import TraceHooks
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.redaction import UidRedactor
from statefulroute.monitoring.api_requests import UNREACHABLE
from statefulroute.monitoring.daemon_threads import run_in_daemon_thread
from statefulroute.monitoring.opentelemetry_resource import make_resource

#: How long the shutdown waits until the last spans are sent.
_FLUSH_SECONDS = 5.0

_FIRST_ERROR = 400


class _CurrentWork:
    """The work that is traced now, and whether it has sent requests."""

    __slots__ = ("context", "has_requests", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.context = set_span_in_context(span, Context())
        self.has_requests = False


#: Inherited by the tasks that the work creates: a task belongs to that work, or starts work with a span of its own.
_current_work: ContextVar[_CurrentWork | None] = ContextVar("current_work", default=None)


class SpanRecorder:
    """Records spans.

    A span names an error by its class only, because the message may contain a uid; the log has the message.

    Args:
        tracer: creates the spans.
        uid_redactor: replaces the uids of links; None leaves them.
    """

    def __init__(self, tracer: Tracer, uid_redactor: UidRedactor | None) -> None:
        self._tracer = tracer
        self._name_of: Callable[[str], str] = str if uid_redactor is None else uid_redactor.redact_link_name

    def wrap_reconcile(self, reconcile: Reconcile) -> Reconcile:
        """Returns a function that reconciles a link in a span. Only spans that have sent requests are exported."""

        async def traced(key: LinkKey) -> ReconcileResult:
            with self._span("reconcile link", key.route, exports_idle=False) as span:
                span.set_attribute("statefulroute.link", self._name_of(key.name))
                result = await reconcile(key)
                span.set_attributes(_attributes(result))
            return result

        return traced

    @contextmanager
    def timer_span(self, timer: Timer, route: RouteKey) -> Iterator[None]:
        """Records the span of a timer's run, whether or not it sends requests."""
        with self._span(f"{timer} timer", route, exports_idle=True):
            yield

    def observe_request(self, request: RequestRecord) -> None:
        """Records the span of a finished request, unless it is a watch or belongs to no other span."""
        work = _current_work.get()
        if work is None or request.verb == "watch":
            return
        work.has_requests = True
        verb, resource, code, seconds = request
        end = time.time_ns()
        span = self._tracer.start_span(
            f"{verb} {resource}",
            work.context,
            SpanKind.CLIENT,
            {"statefulroute.verb": verb, "statefulroute.resource": resource},
            start_time=end - int(seconds * 1e9),
        )
        if code is not None:
            span.set_attribute("http.response.status_code", code)
        if code is None or code >= _FIRST_ERROR:
            _fail(span, UNREACHABLE if code is None else str(code))
        span.end(end)

    @contextmanager
    def _span(self, name: str, route: RouteKey, *, exports_idle: bool) -> Iterator[Span]:
        # A root span, even in a task that other work has created: the work on a link is no part of that on another.
        attributes = {"k8s.namespace.name": route.namespace, "statefulroute.route": route.name}
        work = _CurrentWork(self._tracer.start_span(name, Context(), attributes=attributes))
        token = _current_work.set(work)
        try:
            yield work.span
        except Exception as error:
            _fail(work.span, type(error).__name__)
            work.has_requests = True
            raise
        finally:
            _current_work.reset(token)
            if work.has_requests or exports_idle:
                work.span.end()  # a span that does not end is not exported


def _attributes(result: ReconcileResult) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {}
    if result.plan is not None:
        attributes["statefulroute.plan"] = result.plan.__name__
    if result.status is not None:
        attributes |= {"statefulroute.phase": result.status.phase, "statefulroute.reason": result.status.reason}
        if result.status.pod_name is not None:
            attributes["k8s.pod.name"] = result.status.pod_name
    if result.waits_for_turn:
        attributes["statefulroute.waits_for_turn"] = True
    return attributes


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def make_provider() -> TracerProvider:
    """Returns what sends spans, to the endpoint that OpenTelemetry's variables name.

    Raises:
        ValueError: OpenTelemetry does not accept a variable.
    """
    provider = TracerProvider(resource=make_resource("operator"), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


@asynccontextmanager
async def export_traces(provider: TracerProvider, uid_redactor: UidRedactor | None) -> AsyncIterator[TraceHooks]:
    """Exports spans while the context lasts.

    Args:
        provider: sends the spans.
        uid_redactor: replaces the uids of links; None leaves them.
    """
    recorder = SpanRecorder(provider.get_tracer("statefulroute", version("statefulroute")), uid_redactor)
    try:
        yield TraceHooks(recorder.wrap_reconcile, recorder.timer_span, recorder.observe_request)
    finally:
        # Sends the remaining spans within a timeout, so that a receiver that does not answer does not delay the exit.
        with suppress(TimeoutError):
            await asyncio.wait_for(run_in_daemon_thread(provider.shutdown, "last-spans"), _FLUSH_SECONDS)
