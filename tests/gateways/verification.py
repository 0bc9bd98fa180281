"""Compares the requests at clients and pods with the recorded versions of the links."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from gateways.fake_kubelet import Arrival
from gateways.traffic import SentRequest
from support.link_recorder import Version

#: The maximal delay of a resolver's watch relative to the recorder's, on a busy machine. Without load it is some
#: milliseconds; the delay of a resolver with a broken watch would be unlimited.
LAG_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class BindingInterval:
    """A time in which a link was to one pod.

    Attributes:
        pod: the index of the pod.
        since: the last known time before the link was to the pod, in monotonic seconds.
        until: the first known time at which it no longer was.
    """

    pod: int
    since: float
    until: float


def binding_intervals(versions: Sequence[Version]) -> list[BindingInterval]:
    """Returns the intervals of a link, in order."""
    intervals: list[BindingInterval] = []
    previous_seen_at = -math.inf
    for version, following in zip(versions, [*versions[1:], None], strict=True):
        until = math.inf if following is None else following.seen_at
        if version.event != "DELETED" and version.pod is not None:
            if intervals and intervals[-1].pod == version.pod and intervals[-1].until == version.seen_at:
                intervals[-1] = BindingInterval(version.pod, intervals[-1].since, until)
            else:
                intervals.append(BindingInterval(version.pod, previous_seen_at, until))
        previous_seen_at = version.seen_at
    return intervals


@dataclass
class Disruptions:
    """The times in which errors for users of certain pods are allowed."""

    intervals: list[tuple[frozenset[int], float, float]] = field(default_factory=list)

    @contextmanager
    def during(self, *pods: int) -> Iterator[None]:
        """Allows errors for users of these pods while the context lasts, and for the maximal watch delay after it."""
        since = monotonic()
        yield
        self.intervals.append((frozenset(pods), since, monotonic() + LAG_SECONDS))

    def covers(self, request: SentRequest, tenures: Iterable[BindingInterval]) -> bool:
        """Returns whether an error of a request is allowed, because a disruption affected its user's pod."""
        pods = {each.pod for each in tenures if _overlaps(each, request.sent - LAG_SECONDS, request.done + LAG_SECONDS)}
        return any(pods & of and since <= request.done and request.sent <= until for of, since, until in self.intervals)


def misrouted(
    arrivals: Iterable[Arrival], requests: Mapping[str, SentRequest], record: Mapping[str, Sequence[BindingInterval]]
) -> list[str]:
    """Returns a message for each request that reached a pod to which its user was not linked during the request."""
    messages = []
    for arrival in arrivals:
        request, intervals = requests[arrival.number], record[arrival.uid]
        if not any(
            each.pod == arrival.pod and _overlaps(each, request.sent - LAG_SECONDS, arrival.at + LAG_SECONDS)
            for each in intervals
        ):
            messages.append(f"{request} reached pod {arrival.pod} at {arrival.at}; the link was {intervals}")
    return messages


def lateness(
    arrivals: Iterable[Arrival], requests: Mapping[str, SentRequest], record: Mapping[str, Sequence[BindingInterval]]
) -> list[float]:
    """Returns the delays in seconds of requests that reached a pod after their user's link had left it."""
    delays = []
    for arrival in arrivals:
        sent = requests[arrival.number].sent
        delay = min((sent - each.until for each in record[arrival.uid] if each.pod == arrival.pod), default=math.inf)
        if delay > 0:
            delays.append(delay)
    return sorted(delays)


def _overlaps(tenure: BindingInterval, since: float, until: float) -> bool:
    return tenure.since <= until and since <= tenure.until
