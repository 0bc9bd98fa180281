"""The load of pods: parsing, weighting, freshness, and the workload state that follows from it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from statefulroute.api.annotations import LOAD_STATE, REPORT_TIME, WAITING_TASKS
from statefulroute.api.limits import INT32_MAX
from statefulroute.api.load import WorkloadThresholds
from statefulroute.api.vocabulary import RoutingState, WorkloadState
from statefulroute.domain.milli import MILLI

_PERCENT = 100


class LoadReport(msgspec.Struct, frozen=True, gc=False):
    """The load that a pod reports.

    Attributes:
        load_state: how busy the pod is, in a unit that the application chooses.
        waiting_tasks: the number of tasks that wait in the pod.
        time: the time of the report.
    """

    load_state: int
    waiting_tasks: int
    time: datetime


class UnreadableReport(msgspec.Struct, frozen=True, gc=False):
    """An invalid load report.

    Attributes:
        message: the rest of a sentence that starts with the pod.
    """

    message: str


class LoadResponse(msgspec.Struct, frozen=True):
    """The response of a pod to the operator's poll of its load."""

    load_state: int = 0
    waiting_tasks: int = 0
    routing_state: RoutingState = RoutingState.UNKNOWN


class Load(msgspec.Struct, frozen=True, gc=False):
    """The last reported load of a pod.

    Attributes:
        report: the report; its time is not later than when the operator received it.
        links_at_report: the number of links of the pod, in all routes to its workload, when the operator received the
            report.
        routing_state: the routing state in the response to a poll.
    """

    report: LoadReport
    links_at_report: int
    routing_state: RoutingState = RoutingState.UNKNOWN

    @property
    def figures(self) -> tuple[int, int, int, RoutingState]:
        """The load without its time."""
        return self.report.load_state, self.report.waiting_tasks, self.links_at_report, self.routing_state

    def weighted_milli(self, factor_percent: int) -> int:
        """Returns the weighted load in thousandths: f * waitingTasks + (1 - f) * loadState.

        Args:
            factor_percent: f, the weight of the waiting tasks, in percent.
        """
        report = self.report
        weighted = factor_percent * report.waiting_tasks + (_PERCENT - factor_percent) * report.load_state
        return weighted * MILLI // _PERCENT

    def is_fresh(self, stale_after_seconds: int, now: datetime) -> bool:
        """Returns whether the load is at most `stale_after_seconds` old."""
        return now - self.report.time <= timedelta(seconds=stale_after_seconds)


class _LoadResponseBody(msgspec.Struct, rename="camel"):
    load_state: Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)] | None = None
    waiting_tasks: Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)] | None = None
    routing_state: str = RoutingState.UNKNOWN


_response_decoder = msgspec.json.Decoder(_LoadResponseBody)

_INVALID_RESPONSE = (
    f"loadState and waitingTasks must be whole numbers from 0 to {INT32_MAX}, "
    f"and routingState one of {', '.join(RoutingState)}"
)


def parse_load_response(body: bytes) -> LoadResponse:
    """Parses the response of a pod: `{"loadState": n, "waitingTasks": n, "routingState": s}`. One number is required.

    Raises:
        ValueError: the response is invalid. The message contains nothing of the response.
    """
    try:
        response = _response_decoder.decode(body)
    except msgspec.ValidationError:
        raise ValueError(_INVALID_RESPONSE) from None
    except (ValueError, RecursionError):  # RecursionError: too many nested brackets
        raise ValueError("it must be a JSON object") from None
    # Applications write it, not other versions of StatefulRoute: a value that is not known is a mistake.
    if response.routing_state not in tuple(RoutingState):
        raise ValueError(_INVALID_RESPONSE)
    if response.load_state is None and response.waiting_tasks is None:
        raise ValueError("it has neither loadState nor waitingTasks")
    return LoadResponse(response.load_state or 0, response.waiting_tasks or 0, RoutingState(response.routing_state))


def parse_load_report(annotations: Mapping[str, str]) -> LoadReport | UnreadableReport | None:
    """Parses the load report in the annotations of a pod; returns None without any.

    A report requires its time, because its age is unknown without it.
    """
    if not annotations.keys() & {LOAD_STATE, WAITING_TASKS, REPORT_TIME}:
        return None
    if REPORT_TIME not in annotations:
        return UnreadableReport(f"has no annotation {REPORT_TIME}: add the time of its report, as RFC 3339")
    time = _parse_time(annotations[REPORT_TIME])
    if time is None:
        return UnreadableReport(f"has an annotation {REPORT_TIME} that is not an RFC 3339 time")
    load_state, waiting_tasks = (
        _parse_whole_number(annotations.get(name, "0")) for name in (LOAD_STATE, WAITING_TASKS)
    )
    if load_state is None or waiting_tasks is None:
        name = LOAD_STATE if load_state is None else WAITING_TASKS
        return UnreadableReport(f"has an annotation {name} that is not a whole number from 0 to {INT32_MAX}")
    return LoadReport(load_state, waiting_tasks, time)


def _parse_time(text: str) -> datetime | None:
    try:
        time = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return time if time.tzinfo else None


def _parse_whole_number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(INT32_MAX))):
        return None
    return int(text) if int(text) <= INT32_MAX else None


def workload_state(
    mean_milli: int | None, thresholds: WorkloadThresholds, routing_state: RoutingState
) -> WorkloadState | None:
    """Returns how busy a service is; None if it is not known.

    Args:
        mean_milli: the mean weighted load of the pods with fresh load, in thousandths; None if there are none.
        thresholds: the lower bounds of the states.
        routing_state: the routing state of the service.
    """
    if routing_state is RoutingState.SHUTDOWN:
        return WorkloadState.SHUTDOWN
    if mean_milli is None:
        return None
    for threshold, state in (
        (thresholds.overloaded, WorkloadState.OVERLOADED),
        (thresholds.high, WorkloadState.HIGH),
        (thresholds.normal, WorkloadState.NORMAL),
    ):
        if mean_milli >= threshold * MILLI:
            return state
    return WorkloadState.IDLE


def has_changed_significantly(previous: int | None, current: int) -> bool:
    """Returns whether a value changed by a tenth or more of its previous value, so that it is worth a write."""
    if previous is None:
        return True
    return previous != current and abs(current - previous) * 10 >= abs(previous)
