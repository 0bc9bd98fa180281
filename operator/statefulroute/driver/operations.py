"""Runs the operations of a driver: logs each, and passes it to the metrics and the traces that were asked for."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from statefulroute.cluster.request_metrics import RequestRecord
from statefulroute.driver.operation_log import OperationFields, log_operation
from statefulroute.driver.parts import EventLogger


class OperationRequest(NamedTuple):
    """A request that an operation has sent.

    Attributes:
        record: the request and its outcome.
        ended_at: when it ended, in nanoseconds since the epoch.
    """

    record: RequestRecord
    ended_at: int


class OperationRun:
    """One run of an operation.

    Attributes:
        name: the operation.
        arguments: its arguments, as log fields.
        results: its results, as log fields.
        started_at: when it started, in nanoseconds since the epoch.
        seconds: how long it took.
        requests: the requests that it has sent, without watches.
        error: the error that it has raised, also that of a cancellation; None if it succeeded.
    """

    def __init__(self, name: str, arguments: Mapping[str, Any]) -> None:
        self.name = name
        self.arguments = arguments
        self.results: Mapping[str, Any] = {}
        self.started_at = time.time_ns()
        self.seconds = 0.0
        self.requests: list[OperationRequest] = []
        self.error: BaseException | None = None
        self.has_ended = False


#: Called with each run of an operation when it has ended.
OperationObserver = Callable[[OperationRun], None]

#: The operation in progress. The tasks that it starts inherit it, and some of them go on after its end.
_current_run: ContextVar[OperationRun | None] = ContextVar("statefulroute_operation", default=None)


def observe_request(record: RequestRecord) -> None:
    """Adds a request to the operation in progress; an observer for `Client`."""
    run = _current_run.get()
    if run is not None and not run.has_ended and record.verb != "watch":
        run.requests.append(OperationRequest(record, time.time_ns()))


class Operations:
    """Runs the operations of a driver.

    Args:
        log: the driver's logger.
        observers: called with each run; without any, an operation costs nothing more than its log line.
    """

    def __init__(self, log: EventLogger, *observers: OperationObserver | None) -> None:
        self._log = log
        self._observers = [observer for observer in observers if observer is not None]

    @property
    def is_observed(self) -> bool:
        """Whether there is an observer."""
        return bool(self._observers)

    def run(self, name: str, **arguments: Any) -> AbstractContextManager[OperationFields]:  # noqa: ANN401 - log fields
        """Returns the context of an operation, which takes its results. Raises as `log_operation` does.

        Args:
            name: the name of the operation.
            arguments: its arguments, as log fields.
        """
        operation = log_operation(self._log, name, **arguments)
        return self._observed(OperationRun(name, arguments), operation) if self._observers else operation

    @contextmanager
    def _observed(
        self, run: OperationRun, operation: AbstractContextManager[OperationFields]
    ) -> Iterator[OperationFields]:
        token, started_at = _current_run.set(run), time.perf_counter()
        try:
            with operation as outcome:
                run.results = outcome.fields
                yield outcome
        except BaseException as error:
            run.error = error
            raise
        finally:
            run.seconds, run.has_ended = time.perf_counter() - started_at, True
            _current_run.reset(token)
            for observe in self._observers:
                observe(run)
