"""The metrics of the routes' timers: whether runs are on time, and whether they succeed."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from functools import partial

from prometheus_client import Counter, Histogram
from prometheus_client.registry import Collector

from statefulroute.domain.keys import RouteKey

_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Timer(StrEnum):
    """The timers of each route."""

    STATE = "state"
    WORKLOAD = "workload"


class TimerMeter:
    """Measures the runs of one timer, for all routes together."""

    def __init__(
        self, lag: Histogram, failures: Counter, span: Callable[[RouteKey], AbstractContextManager[None]]
    ) -> None:
        self.observe_lag = lag.observe
        """Called with the seconds by which a run was late."""
        self.count_failure = failures.inc
        """Counts a read or a write that failed."""
        self.span = span
        """Returns the context of a run for a route."""


def no_span(_timer: Timer, _route: RouteKey) -> AbstractContextManager[None]:
    """Returns the context of a run that is not traced."""
    return nullcontext()


class TimerMetrics:
    """Measures the runs of all timers.

    Args:
        span: returns the context of a timer's run for a route.
    """

    def __init__(self, span: Callable[[Timer, RouteKey], AbstractContextManager[None]] = no_span) -> None:
        self._lag = Histogram(
            "statefulroute_timer_lag_seconds",
            "How late the run for a route started; each run for each route counts.",
            ("timer",),
            buckets=_BUCKETS,
            registry=None,
        )
        self._failures = Counter(
            "statefulroute_timer_failures",
            "Runs in which a status or an annotation could not be written, or that failed with an unexpected error.",
            ("timer",),
            registry=None,
        )
        self._meters = {
            timer: TimerMeter(self._lag.labels(timer), self._failures.labels(timer), partial(span, timer))
            for timer in Timer
        }

    def of(self, timer: Timer) -> TimerMeter:
        """Returns the meter of one timer."""
        return self._meters[timer]

    @property
    def collectors(self) -> Iterable[Collector]:
        """The metrics to expose."""
        return self._lag, self._failures
