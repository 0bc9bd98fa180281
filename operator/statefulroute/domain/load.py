"""A pod's load: how it is read and weighed, when it counts, and how busy it makes its service."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from statefulroute.api.annotations import LOAD_STATE, REPORT_TIME, WAITING_TASKS
from statefulroute.api.limits import INT32_MAX
from statefulroute.api.statefulroute import WorkloadThresholds
from statefulroute.api.vocabulary import RoutingState, WorkloadState

#: Thousandths of a unit of load: a weighted load has two decimals at the most.
MILLI = 1000
_PERCENT = 100


class LoadReport(msgspec.Struct, frozen=True):
    """What a pod says of its load.

    Attributes:
        load_state: a measure of how busy it is, of its own choice.
        waiting_tasks: how many tasks wait in it.
        time: when it has said so.
    """

    load_state: int
    waiting_tasks: int
    time: datetime


class UnreadableReport(msgspec.Struct, frozen=True):
    """A report that cannot be read.

    Attributes:
        message: the end of a sentence that begins with the pod.
    """

    message: str


class LoadResponse(msgspec.Struct, frozen=True):
    """What a pod answers when it is asked for its load."""

    load_state: int = 0
    waiting_tasks: int = 0
    routing_state: RoutingState = RoutingState.UNKNOWN


class Load(msgspec.Struct, frozen=True):
    """A pod's load as it was last reported.

    Attributes:
        report: what the pod said; its time is not later than when the operator learnt of it.
        links_at_report: how many links the pod carried when the operator learnt of it.
        routing_state: the routing state that came with it, in an answer.
    """

    report: LoadReport
    links_at_report: int
    routing_state: RoutingState = RoutingState.UNKNOWN

    def weighted_milli(self, factor_percent: int) -> int:
        """The weighted load in thousandths: f * waitingTasks + (1 - f) * loadState.

        Args:
            factor_percent: f, the weight of the waiting tasks, in percent.
        """
        report = self.report
        weighted = factor_percent * report.waiting_tasks + (_PERCENT - factor_percent) * report.load_state
        return weighted * MILLI // _PERCENT

    def is_fresh(self, stale_after_seconds: int, now: datetime) -> bool:
        """Whether it counts: it does until it is older than so many seconds."""
        return now - self.report.time <= timedelta(seconds=stale_after_seconds)


class _LoadResponseBody(msgspec.Struct, rename="camel"):
    load_state: Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)] | None = None
    waiting_tasks: Annotated[int, msgspec.Meta(ge=0, le=INT32_MAX)] | None = None
    routing_state: RoutingState = RoutingState.UNKNOWN


_response_decoder = msgspec.json.Decoder(_LoadResponseBody)


def parse_load_response(body: bytes) -> LoadResponse:
    """A pod's answer: `{"loadState": n, "waitingTasks": n, "routingState": s}`, of which one number may be left out.

    Raises:
        ValueError: it is anything else; the sentence says what, and repeats nothing of the answer.
    """
    try:
        said = _response_decoder.decode(body)
    except msgspec.ValidationError:
        raise ValueError(
            "loadState and waitingTasks must be whole numbers from 0 to "
            f"{INT32_MAX}, and routingState one of {', '.join(RoutingState)}"
        ) from None
    except (ValueError, RecursionError):  # brackets without end
        raise ValueError("it must be a JSON object") from None
    if said.load_state is None and said.waiting_tasks is None:
        raise ValueError("it has neither loadState nor waitingTasks")
    return LoadResponse(said.load_state or 0, said.waiting_tasks or 0, said.routing_state)


def parse_load_report(annotations: Mapping[str, str]) -> LoadReport | UnreadableReport | None:
    """What a pod's annotations say of its load; None where they say nothing.

    A report needs its time: without one nobody could tell a report of now from one of last week.
    """
    if not annotations.keys() & {LOAD_STATE, WAITING_TASKS, REPORT_TIME}:
        return None
    if REPORT_TIME not in annotations:
        return UnreadableReport(f"has no annotation {REPORT_TIME}: add the time of its report, as RFC 3339")
    time = _parse_time(annotations[REPORT_TIME])
    if time is None:
        return UnreadableReport(f"has an annotation {REPORT_TIME} that is no RFC 3339 time")
    load_state, waiting_tasks = (
        _parse_whole_number(annotations.get(name, "0")) for name in (LOAD_STATE, WAITING_TASKS)
    )
    if load_state is None or waiting_tasks is None:
        name = LOAD_STATE if load_state is None else WAITING_TASKS
        return UnreadableReport(f"has an annotation {name} that is no whole number from 0 to {INT32_MAX}")
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
    """How busy a service is.

    Args:
        mean_milli: the mean weighted load of its fresh pods, in thousandths; None where no pod has fresh load.
        thresholds: from which load it counts as what.
        routing_state: the routing state of the service.

    Returns:
        None where nobody can say.
    """
    if routing_state is RoutingState.SHUTDOWN:
        return WorkloadState.SHUTDOWN
    if mean_milli is None:
        return None
    for least, state in (
        (thresholds.overloaded, WorkloadState.OVERLOADED),
        (thresholds.high, WorkloadState.HIGH),
        (thresholds.normal, WorkloadState.NORMAL),
    ):
        if mean_milli >= least * MILLI:
            return state
    return WorkloadState.IDLE


def has_changed_significantly(previous: int | None, current: int) -> bool:
    """Whether a figure has moved by a tenth or more of what it was, and so is worth a write."""
    if previous is None:
        return True
    return previous != current and abs(current - previous) * 10 >= abs(previous)
