"""Reads from the status of a route which pods are closing: they are about to be removed, and wait for their users."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from statefulroute.api.vocabulary import RoutingState
from statefulroute.cli.cluster import Object
from statefulroute.cli.objects import parse_zoned_time, total_links
from statefulroute.cli.output.ages import time_left
from statefulroute.cli.output.messages import pluralize

HANDING_OVER = "handing over"
"""What a pod does that hands its users over to other pods."""

#: How many pods a message names.
_MAX_NAMED_PODS = 3


@dataclass(frozen=True, slots=True)
class ClosingPod:
    """A closing pod.

    Attributes:
        name: the name of the pod.
        reason: what it is removed for.
        links: the number of its links in all routes to the workload.
        deadline: until when it keeps its users.
        is_handing_over: whether it hands its users over to other pods, because its deadline is over.
    """

    name: str
    reason: str
    links: int
    deadline: datetime
    is_handing_over: bool = False

    def label(self, now: datetime) -> str:
        """Returns why it closes, and how long it keeps its users: `ScaleDown (34m left)`."""
        return f"{self.reason} ({self.remaining(now)})"

    def short_label(self, now: datetime) -> str:
        """Returns the same in fewer columns: `ScaleDown 34m`."""
        return f"{self.reason} {time_left(self.deadline, now) or 'over'}"

    def remaining(self, now: datetime) -> str:
        """Returns how long it keeps its users: `34m left`, `deadline over`, `handing over`."""
        if self.is_handing_over:
            return HANDING_OVER
        left = time_left(self.deadline, now)
        return f"{left} left" if left else "deadline over"


def closing_pod(pod: Object) -> ClosingPod | None:
    """Returns how a pod in the status of a route closes; None if it does not."""
    closing: Mapping[str, str] = pod.get("closing", {})
    deadline = parse_zoned_time(closing.get("deadline"))
    if deadline is None:
        return None
    return ClosingPod(
        pod["name"],
        closing.get("reason", "Unknown"),
        total_links(pod),
        deadline,
        is_handing_over=bool(pod.get("handingOver")),
    )


def closing_pods(route: Object) -> list[ClosingPod]:
    """Returns the closing pods of a route, those with the most links first."""
    pods = [closing for pod in route.get("status", {}).get("pods", ()) if (closing := closing_pod(pod))]
    return sorted(pods, key=lambda pod: -pod.links)


def summary(pods: Sequence[ClosingPod], now: datetime) -> str:
    """Returns what closes and why, how many links are left and until when: `2 ScaleDown (12 links, 34m left)`.

    The time is the last deadline of a pod with links.
    """
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(Counter(pod.reason for pod in pods).items()))
    links = pluralize(sum(pod.links for pod in pods), "link")
    last = max((pod for pod in pods if pod.links), key=lambda pod: pod.deadline, default=None)
    return f"{reasons} ({links}, {last.remaining(now)})" if last is not None else f"{reasons} ({links})"


def shutdown_summary(route: Object) -> Iterator[str]:
    """Yields how many pods hand their users over that do not close but are shut down: `1 Shutdown (12 links, ...)`."""
    pods = [pod for pod in route.get("status", {}).get("pods", ()) if pod.get("handingOver") and "closing" not in pod]
    if pods:
        links = pluralize(sum(map(total_links, pods)), "link")
        yield f"{len(pods)} {RoutingState.SHUTDOWN} ({links}, {HANDING_OVER})"


def describe_occupied(pods: Iterable[ClosingPod], now: datetime) -> str:
    """Returns the closing pods that have links, with these and their times: `game-4 (12 links, 34m left)`.

    It is empty if none of them has links.
    """
    occupied = [pod for pod in pods if pod.links]
    named = ", ".join(
        f"{pod.name} ({pluralize(pod.links, 'link')}, {pod.remaining(now)})" for pod in occupied[:_MAX_NAMED_PODS]
    )
    more = len(occupied) - _MAX_NAMED_PODS
    return f"{named} and {pluralize(more, 'more pod')}" if more > 0 else named
