"""Traces by OpenTelemetry: a span for each link that is worked on and each timer's turn, and in it, its requests."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from statefulroute.cluster.request_metrics import RequestRecord
from statefulroute.controllers.links.controller import Reconcile
from statefulroute.controllers.links.reconciler import ReconcileResult
from statefulroute.controllers.monitoring.timers import Timer
from statefulroute.controllers.monitoring.trace_hooks import TraceHooks
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.redaction import UidRedactor
from statefulroute.monitoring.api_requests import UNREACHABLE

#: How long the end waits for the last spans to be sent.
_FLUSH_SECONDS = 5.0

_FIRST_ERROR = 400


class _CurrentWork:
    """What is under way, and whether it has asked the API server for anything."""

    __slots__ = ("context", "has_requests", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.context = set_span_in_context(span, Context())
        self.has_requests = False


#: A task that is made meanwhile has it too: it is what the task is made for, or the task begins with work of its own.
_current_work: ContextVar[_CurrentWork | None] = ContextVar("present", default=None)


class SpanRecorder:
    """Makes spans.

    An error is named by its class only, for its message may hold a uid: the log has it.

    Args:
        tracer: where they begin.
        uid_redactor: what stands for the uids of links; None shows them.
    """

    def __init__(self, tracer: Tracer, uid_redactor: UidRedactor | None) -> None:
        self._tracer = tracer
        self._name_of: Callable[[str], str] = str if uid_redactor is None else uid_redactor.redact_link_name

    def wrap_reconcile(self, reconcile: Reconcile) -> Reconcile:
        """The same work, each link's in a span. Most of it finds nothing to do, and is not told of."""

        async def traced(key: LinkKey) -> ReconcileResult:
            with self._span("reconcile link", key.route, is_told_when_idle=False) as span:
                span.set_attribute("statefulroute.link", self._name_of(key.name))
                outcome = await reconcile(key)
                span.set_attributes(_attributes(outcome))
            return outcome

        return traced

    @contextmanager
    def timer_span(self, timer: Timer, route: RouteKey) -> Iterator[None]:
        """The span of a timer's turn."""
        with self._span(f"{timer} timer", route, is_told_when_idle=True):
            yield

    def observe_request(self, exchange: RequestRecord) -> None:
        """The span of a request that is over; what belongs to no other span is not told of."""
        work = _current_work.get()
        if work is None or exchange.verb == "watch":
            return
        work.has_requests = True
        verb, resource, code, seconds = exchange
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
    def _span(self, name: str, route: RouteKey, *, is_told_when_idle: bool) -> Iterator[Span]:
        # A span of its own, whoever has made this task: no link's work is a part of another's.
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
            if work.has_requests or is_told_when_idle:
                work.span.end()  # what does not end is not sent


def _attributes(outcome: ReconcileResult) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    if outcome.plan is not None:
        found["statefulroute.plan"] = outcome.plan.__name__
    if outcome.status is not None:
        found |= {"statefulroute.phase": outcome.status.phase, "statefulroute.reason": outcome.status.reason}
        if outcome.status.pod_name is not None:
            found["k8s.pod.name"] = outcome.status.pod_name
    if outcome.requeue_after is not None:
        found["statefulroute.again_after_seconds"] = outcome.requeue_after
    return found


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


@asynccontextmanager
async def export_traces(uid_redactor: UidRedactor | None) -> AsyncIterator[TraceHooks]:
    """Send spans while the context lasts, to where OpenTelemetry's variables say.

    Args:
        uid_redactor: what stands for the uids of links; None shows them.
    """
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    made = SpanRecorder(provider.get_tracer("statefulroute", version("statefulroute")), uid_redactor)
    try:
        yield TraceHooks(made.wrap_reconcile, made.timer_span, made.observe_request)
    finally:
        await _shut_down(provider)


def _resource() -> Resource:
    """What sends: as the variables say, or by the name of this program."""
    found = Resource.create({SERVICE_VERSION: version("statefulroute")})
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: "statefulroute-operator"}))
    return found


async def _shut_down(provider: TracerProvider) -> None:
    """Send what is left, for a while: a receiver that does not answer must not keep the process."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def shut_down() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(ended.set)

    # No executor's thread, for which Python would wait at its end.
    threading.Thread(target=shut_down, name="last-spans", daemon=True).start()
    with suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), _FLUSH_SECONDS)
