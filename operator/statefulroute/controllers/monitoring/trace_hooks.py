"""How work is traced: where nobody asks for traces, not at all."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from statefulroute.cluster.request_metrics import RequestObserver, RequestRecord
from statefulroute.controllers.links.controller import Reconcile
from statefulroute.controllers.monitoring.timers import Timer, no_span
from statefulroute.domain.keys import RouteKey


def _untraced(reconcile: Reconcile) -> Reconcile:
    return reconcile


@dataclass(frozen=True, slots=True)
class TraceHooks:
    """How work is traced.

    Attributes:
        wrap_reconcile: makes of what works on a link what does so in a span.
        timer_span: the span of a timer's turn for a route.
        observe_request: is told of each request of that work; None where nobody needs to be.
    """

    wrap_reconcile: Callable[[Reconcile], Reconcile] = _untraced
    timer_span: Callable[[Timer, RouteKey], AbstractContextManager[None]] = no_span
    observe_request: RequestObserver | None = None

    def combined_with(self, observe: RequestObserver) -> RequestObserver:
        """An observer of requests, with that of the traces where there is one."""
        request = self.observe_request
        if request is None:
            return observe

        def both(exchange: RequestRecord) -> None:
            observe(exchange)
            request(exchange)

        return both
