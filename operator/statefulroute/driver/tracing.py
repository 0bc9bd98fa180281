"""Traces of the operations of a driver by OpenTelemetry, for applications that ask for them."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from statefulroute.cluster.field_logger import uid_redactor
from statefulroute.domain.errors import StatefulRouteError
from statefulroute.driver.operations import OperationObserver, OperationRequest, OperationRun

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, TracerProvider

#: Further requests of an operation have no span of their own.
_MAX_REQUEST_SPANS = 100

_FIRST_ERROR = 400

_METHODS = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}

#: `error.type` of a request without a response.
_UNREACHABLE = "unreachable"


class DriverTracing:
    """Records a span for each operation of a driver that sends requests, with a child for each request.

    The span belongs to the trace of the caller. A look-up that the cache answers has no span. An error is named by its
    code only, because its message may contain a uid. Any number of drivers may share the object.

    Args:
        tracer_provider: receives the spans; None is OpenTelemetry's global provider.
        record_uids: whether spans name the user (`user.id`, or `user.hash` of a driver with `hash_uids`).

    Raises:
        ImportError: opentelemetry-api is not installed.
    """

    def __init__(self, tracer_provider: "TracerProvider | None" = None, *, record_uids: bool = False) -> None:
        try:
            from opentelemetry import trace  # noqa: PLC0415 - an optional extra
        except ImportError as error:
            raise ImportError(
                "DriverTracing needs opentelemetry-api, which is not installed: pip install 'statefulroute[tracing]'"
            ) from error
        self._trace = trace
        self._tracer = trace.get_tracer("statefulroute", version("statefulroute"), tracer_provider)
        self._record_uids = record_uids

    def in_namespace(self, namespace: str, *, hash_uids: bool) -> OperationObserver:
        """Returns an observer of the operations of a driver.

        Args:
            namespace: the namespace of the driver.
            hash_uids: whether spans have hashes instead of uids.
        """
        redactor = uid_redactor() if hash_uids else None

        def observe(run: OperationRun) -> None:
            if not run.requests:
                return
            attributes = {"k8s.namespace.name": namespace, **_attributes(run)}
            if self._record_uids and isinstance(uid := run.arguments.get("uid"), str):
                attributes |= {"user.id": uid} if redactor is None else {"user.hash": redactor.redact_uid(uid)}
            self._record(run, attributes)

        return observe

    def _record(self, run: OperationRun, attributes: dict[str, Any]) -> None:
        span = self._tracer.start_span(
            f"statefulroute.{run.name}", attributes=attributes, start_time=run.started_at, record_exception=False
        )
        if run.error is not None:
            self._fail(span, _error_type(run.error))
        if span.is_recording():
            context = self._trace.set_span_in_context(span)
            for request in run.requests[:_MAX_REQUEST_SPANS]:
                self._record_request(request, context)
        span.end(run.started_at + int(run.seconds * 1e9))

    def _record_request(self, request: OperationRequest, context: "Context") -> None:
        verb, resource, code, seconds = request.record
        span = self._tracer.start_span(
            f"{verb} {resource}",
            context,
            self._trace.SpanKind.CLIENT,
            {
                "http.request.method": _METHODS.get(verb, "GET"),
                "statefulroute.verb": verb,
                "statefulroute.resource": resource,
            },
            start_time=request.ended_at - int(seconds * 1e9),
        )
        if code is not None:
            span.set_attribute("http.response.status_code", int(code))
        if code is None or code >= _FIRST_ERROR:
            self._fail(span, _UNREACHABLE if code is None else str(int(code)))
        span.end(request.ended_at)

    def _fail(self, span: "Span", kind: str) -> None:
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))


def _attributes(run: OperationRun) -> dict[str, Any]:
    """Returns the attributes of an operation that are not about a user."""
    attributes: dict[str, Any] = {"statefulroute.requests": len(run.requests)}
    if isinstance(service := run.arguments.get("service"), str):
        attributes["statefulroute.route"] = service
    for field in ("holder", "pod"):
        if (pod := run.results.get(field)) is not None:
            return attributes | {"statefulroute.pod": str(pod)}
    return attributes


def _error_type(error: BaseException) -> str:
    return str(error.code) if isinstance(error, StatefulRouteError) else type(error).__name__
