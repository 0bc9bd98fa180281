"""Hooks by which work is traced; they do nothing unless tracing is enabled."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from statefulroute.cluster.request_metrics import RequestObserver, RequestRecord
from statefulroute.controllers.links.route_queue import Reconcile
from statefulroute.controllers.monitoring.timers import Timer, no_span
from statefulroute.domain.keys import RouteKey


def _untraced(reconcile: Reconcile) -> Reconcile:
    return reconcile


@dataclass(frozen=True, slots=True)
class TraceHooks:
    """The hooks of tracing.

    Attributes:
        wrap_reconcile: returns the function that reconciles a link in a span.
        timer_span: returns the context that is the span of a timer's run for a route.
        observe_request: called with each request of that work; None unless tracing is enabled.
    """

    wrap_reconcile: Callable[[Reconcile], Reconcile] = _untraced
    timer_span: Callable[[Timer, RouteKey], AbstractContextManager[None]] = no_span
    observe_request: RequestObserver | None = None

    def combined_with(self, observer: RequestObserver) -> RequestObserver:
        """Returns an observer that calls the given one and, if tracing is enabled, the one of the traces."""
        trace_request = self.observe_request
        if trace_request is None:
            return observer

        def observe(request: RequestRecord) -> None:
            observer(request)
            trace_request(request)

        return observe
