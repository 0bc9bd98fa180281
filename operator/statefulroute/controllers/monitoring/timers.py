"""Whether the timers of routes keep their time, and whether their turns succeed."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from functools import partial

from prometheus_client import Counter, Histogram
from prometheus_client.registry import Collector

from statefulroute.domain.keys import RouteKey

_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Timer(StrEnum):
    """The timers that each route has."""

    STATE = "state"
    WORKLOAD = "workload"


class TimerMeter:
    """One timer's turns, those of all routes together."""

    def __init__(
        self, lag: Histogram, failures: Counter, span: Callable[[RouteKey], AbstractContextManager[None]]
    ) -> None:
        self.observe_lag = lag.observe
        """Takes by how many seconds a turn came too late."""
        self.count_failure = failures.inc
        """Counts that something that was due could not be read or written."""
        self.span = span
        """The context of a turn for a route."""


def no_span(_timer: Timer, _route: RouteKey) -> AbstractContextManager[None]:
    """The context of a turn that nobody traces."""
    return nullcontext()


class TimerMetrics:
    """The turns of all timers.

    Args:
        span: the context of a timer's turn for a route.
    """

    def __init__(self, span: Callable[[Timer, RouteKey], AbstractContextManager[None]] = no_span) -> None:
        self._lag = Histogram(
            "statefulroute_timer_lag_seconds",
            "By how long a route's turn came too late; each turn of each route counts.",
            ("timer",),
            buckets=_BUCKETS,
            registry=None,
        )
        self._failures = Counter(
            "statefulroute_timer_failures",
            "Turns of which a status or a note could not be written, or that ended by an unexpected error.",
            ("timer",),
            registry=None,
        )
        self._meters = {
            timer: TimerMeter(self._lag.labels(timer), self._failures.labels(timer), partial(span, timer))
            for timer in Timer
        }

    def of(self, timer: Timer) -> TimerMeter:
        """The meter of one timer."""
        return self._meters[timer]

    @property
    def collectors(self) -> Iterable[Collector]:
        """What is exposed."""
        return self._lag, self._failures
