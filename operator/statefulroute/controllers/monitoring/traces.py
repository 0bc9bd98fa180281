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

from statefulroute.cluster.exchange import Exchange
from statefulroute.controllers.links.controller import Reconcile
from statefulroute.controllers.links.reconciler import Outcome
from statefulroute.controllers.monitoring.spans import Spans
from statefulroute.controllers.monitoring.timers import Timer
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.pseudonyms import Pseudonyms
from statefulroute.monitoring.requests import UNREACHABLE

#: How long the end waits for the last spans to be sent.
_FLUSH_SECONDS = 5.0

_FIRST_ERROR = 400


class _Work:
    """What is under way, and whether it has asked the API server for anything."""

    __slots__ = ("context", "has_asked", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.context = set_span_in_context(span, Context())
        self.has_asked = False


#: A task that is made meanwhile has it too: it is what the task is made for, or the task begins with work of its own.
_present: ContextVar[_Work | None] = ContextVar("present", default=None)


class OpenTelemetry:
    """Makes spans.

    An error is named by its class only, for its message may hold a uid: the log has it.

    Args:
        tracer: where they begin.
        pseudonyms: what stands for the uids of links; None shows them.
    """

    def __init__(self, tracer: Tracer, pseudonyms: Pseudonyms | None) -> None:
        self._tracer = tracer
        self._name_of: Callable[[str], str] = str if pseudonyms is None else pseudonyms.of_link

    def links(self, reconcile: Reconcile) -> Reconcile:
        """The same work, each link's in a span. Most of it finds nothing to do, and is not told of."""

        async def traced(key: LinkKey) -> Outcome:
            with self._working("reconcile link", key.route, is_told_when_idle=False) as span:
                span.set_attribute("statefulroute.link", self._name_of(key.name))
                outcome = await reconcile(key)
                span.set_attributes(_attributes(outcome))
            return outcome

        return traced

    @contextmanager
    def turn(self, timer: Timer, route: RouteKey) -> Iterator[None]:
        """The span of a timer's turn."""
        with self._working(f"{timer} timer", route, is_told_when_idle=True):
            yield

    def request(self, exchange: Exchange) -> None:
        """The span of a request that is over; what belongs to no other span is not told of."""
        work = _present.get()
        if work is None or exchange.verb == "watch":
            return
        work.has_asked = True
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
    def _working(self, name: str, route: RouteKey, *, is_told_when_idle: bool) -> Iterator[Span]:
        # A span of its own, whoever has made this task: no link's work is a part of another's.
        attributes = {"k8s.namespace.name": route.namespace, "statefulroute.route": route.name}
        work = _Work(self._tracer.start_span(name, Context(), attributes=attributes))
        token = _present.set(work)
        try:
            yield work.span
        except Exception as error:
            _fail(work.span, type(error).__name__)
            work.has_asked = True
            raise
        finally:
            _present.reset(token)
            if work.has_asked or is_told_when_idle:
                work.span.end()  # what does not end is not sent


def _attributes(outcome: Outcome) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    if outcome.plan is not None:
        found["statefulroute.plan"] = outcome.plan.__name__
    if outcome.said is not None:
        found |= {"statefulroute.phase": outcome.said.phase, "statefulroute.reason": outcome.said.reason}
        if outcome.said.pod_name is not None:
            found["k8s.pod.name"] = outcome.said.pod_name
    if outcome.again_after is not None:
        found["statefulroute.again_after_seconds"] = outcome.again_after
    return found


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


@asynccontextmanager
async def exporting(pseudonyms: Pseudonyms | None) -> AsyncIterator[Spans]:
    """Send spans while the context lasts, to where OpenTelemetry's variables say.

    Args:
        pseudonyms: what stands for the uids of links; None shows them.
    """
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    made = OpenTelemetry(provider.get_tracer("statefulroute", version("statefulroute")), pseudonyms)
    try:
        yield Spans(made.links, made.turn, made.request)
    finally:
        await _end(provider)


def _resource() -> Resource:
    """What sends: as the variables say, or by the name of this program."""
    found = Resource.create({SERVICE_VERSION: version("statefulroute")})
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: "statefulroute-operator"}))
    return found


async def _end(provider: TracerProvider) -> None:
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
