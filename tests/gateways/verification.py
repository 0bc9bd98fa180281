"""Holds what users and pods have seen to the record of every version of every link."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from gateways.fake_kubelet import Arrival
from gateways.traffic import SentRequest
from support.link_recorder import Version

#: How much later than the recorder a resolver may hear of a change, on a machine that does much else. Without load it
#: is some milliseconds; a resolver that does not follow would be late for ever.
LAG_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class BindingInterval:
    """A time in which a link named a pod.

    Attributes:
        pod: the pod's index.
        since: when it was not in force yet, in monotonic seconds.
        until: when it was not in force any more.
    """

    pod: int
    since: float
    until: float


def binding_intervals(versions: Sequence[Version]) -> list[BindingInterval]:
    """The times of a link, one after the other."""
    found: list[BindingInterval] = []
    begun = -math.inf
    for version, following in zip(versions, [*versions[1:], None], strict=True):
        ends = math.inf if following is None else following.seen_at
        if version.event != "DELETED" and version.pod is not None:
            if found and found[-1].pod == version.pod and found[-1].until == version.seen_at:
                found[-1] = BindingInterval(version.pod, found[-1].since, ends)
            else:
                found.append(BindingInterval(version.pod, begun, ends))
        begun = version.seen_at
    return found


@dataclass
class Disruptions:
    """When the users of which pods may be answered with an error."""

    intervals: list[tuple[frozenset[int], float, float]] = field(default_factory=list)

    @contextmanager
    def during(self, *pods: int) -> Iterator[None]:
        """While the context lasts, and until all have heard of its end."""
        since = monotonic()
        yield
        self.intervals.append((frozenset(pods), since, monotonic() + LAG_SECONDS))

    def covers(self, request: SentRequest, tenures: Iterable[BindingInterval]) -> bool:
        """Whether a request's pod was one of them at that time."""
        pods = {each.pod for each in tenures if _overlaps(each, request.sent - LAG_SECONDS, request.done + LAG_SECONDS)}
        return any(pods & of and since <= request.done and request.sent <= until for of, since, until in self.intervals)


def misrouted(
    arrivals: Iterable[Arrival], requests: Mapping[str, SentRequest], record: Mapping[str, Sequence[BindingInterval]]
) -> list[str]:
    """A sentence for each request that has reached a pod to which its user was not linked at any time of it."""
    found = []
    for arrival in arrivals:
        request, known = requests[arrival.number], record[arrival.uid]
        if not any(
            each.pod == arrival.pod and _overlaps(each, request.sent - LAG_SECONDS, arrival.at + LAG_SECONDS)
            for each in known
        ):
            found.append(f"{request} reached pod {arrival.pod} at {arrival.at}; the link was {known}")
    return found


def lateness(
    arrivals: Iterable[Arrival], requests: Mapping[str, SentRequest], record: Mapping[str, Sequence[BindingInterval]]
) -> list[float]:
    """By how many seconds requests were sent after the recorder had seen that their user had left that pod."""
    found = []
    for arrival in arrivals:
        sent = requests[arrival.number].sent
        late = min((sent - each.until for each in record[arrival.uid] if each.pod == arrival.pod), default=math.inf)
        if late > 0:
            found.append(late)
    return sorted(found)


def _overlaps(tenure: BindingInterval, since: float, until: float) -> bool:
    return tenure.since <= until and since <= tenure.until
