"""How work is traced: where nobody asks for traces, not at all."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from statefulroute.cluster.exchange import Exchange, Observer
from statefulroute.controllers.links.controller import Reconcile
from statefulroute.controllers.monitoring.timers import Timer, no_turn
from statefulroute.domain.keys import RouteKey


def _plain(reconcile: Reconcile) -> Reconcile:
    return reconcile


@dataclass(frozen=True, slots=True)
class Spans:
    """How work is traced.

    Attributes:
        links: makes of what works on a link what does so in a span.
        turn: the span of a timer's turn for a route.
        request: is told of each request of that work; None where nobody needs to be.
    """

    links: Callable[[Reconcile], Reconcile] = _plain
    turn: Callable[[Timer, RouteKey], AbstractContextManager[None]] = no_turn
    request: Observer | None = None

    def beside(self, observe: Observer) -> Observer:
        """An observer of requests, with that of the traces where there is one."""
        request = self.request
        if request is None:
            return observe

        def both(exchange: Exchange) -> None:
            observe(exchange)
            request(exchange)

        return both
