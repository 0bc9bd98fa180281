"""Closing pods: since when and until when they close, and when they may be removed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from statefulroute.api.disruption import Disruption
from statefulroute.api.vocabulary import ClosingReason, PodLostAction
from statefulroute.domain.closing import Closing
from statefulroute.domain.disruption.facts import DisruptionFacts, PodFacts
from statefulroute.domain.keys import PodKey
from statefulroute.domain.times import format_rfc3339

#: After the deadline, a pod with links is removed if no link has left the pods whose deadline is over for so long.
STALLED_AFTER = timedelta(seconds=30)

#: How often the stored deletion costs of pods are compared while pods wait for them.
_COST_CHECK = timedelta(seconds=1)

#: How many closing pods a message names.
_MAX_NAMED_PODS = 3

_DEFAULTS = Disruption()

#: With these actions, the links of a pod stay with it.
_KEEPS = {PodLostAction.KEEP, PodLostAction.UNKNOWN}


def close_pods(facts: DisruptionFacts, reasons: Mapping[PodKey, ClosingReason]) -> dict[PodKey, Closing]:
    """Returns the closing pods. A pod that was closing before keeps its time, also if the reason is another one.

    Args:
        facts: the facts.
        reasons: why pods close.
    """
    seconds = (facts.spec.disruption or _DEFAULTS).deadline_seconds
    closing = {}
    for key, reason in reasons.items():
        before = facts.pods[key].closing if key in facts.pods else None
        since = facts.now.replace(microsecond=0)
        if before is not None and before.since < since:  # a later one is by another clock
            since = before.since
        deadline = since + timedelta(seconds=seconds)
        closing[key] = Closing(reason, since, deadline, is_over=facts.now >= deadline)
    return closing


def may_remove(facts: DisruptionFacts, key: PodKey, closing: Mapping[PodKey, Closing]) -> bool:
    """Returns whether a pod may be removed: it closes, clients know this, and it is empty or its deadline is over.

    A pod that does not exist has nothing to remove, but users may wait for it until the deadline.
    """
    pod, closed = facts.pods.get(key), closing.get(key)
    if pod is None:
        return True
    if closed is None or (pod.exists and not pod.is_announced):
        return False
    return not pod.links or _is_given_up(facts, closed, closing)


def next_check(facts: DisruptionFacts, closing: Mapping[PodKey, Closing]) -> datetime | None:
    """Returns when the next plan may differ by the time alone.

    It is when the first deadline of a pod with links is over, and when it is removed with links. While a workload is
    scaled down that is not a StatefulSet, the stored deletion costs of pods that may be removed are compared again and
    again, because no decision of routes follows them.
    """
    scaled_down = (key for key, each in closing.items() if each.reason is ClosingReason.SCALE_DOWN)
    if not facts.workload.is_indexed and any(may_remove(facts, key, closing) for key in scaled_down):
        return facts.now + _COST_CHECK
    times = (
        _removal_time(facts, closed, closing) if closed.is_over else closed.deadline
        for key, closed in closing.items()
        if key in facts.pods and facts.pods[key].links
    )
    return min((time for time in times if time > facts.now), default=None)


def occupied(facts: DisruptionFacts, pods: Iterable[PodKey]) -> list[PodFacts]:
    """Returns those of some pods that have links."""
    return [facts.pods[key] for key in pods if key in facts.pods and facts.pods[key].links]


def describe_occupied(pods: Sequence[PodFacts], closing: Mapping[PodKey, Closing]) -> str:
    """Returns pods with their links and deadlines, for a message."""
    named = ", ".join(_describe(pod, closing) for pod in pods[:_MAX_NAMED_PODS])
    return f"{named} and {len(pods) - _MAX_NAMED_PODS} more pods" if len(pods) > _MAX_NAMED_PODS else named


def _describe(pod: PodFacts, closing: Mapping[PodKey, Closing]) -> str:
    links = f"{pod.links} link{'' if pod.links == 1 else 's'}"
    until = f", until {format_rfc3339(closing[pod.key].deadline)}" if pod.key in closing else ""
    return f"{pod.name} ({links}{until})"


def _is_given_up(facts: DisruptionFacts, closed: Closing, closing: Mapping[PodKey, Closing]) -> bool:
    """Returns whether a pod is removed although it has links: after the deadline, and no link can leave it."""
    if not closed.is_over:
        return False
    return facts.spec.on_pod_lost.action in _KEEPS or facts.now >= _removal_time(facts, closed, closing)


def _removal_time(facts: DisruptionFacts, closed: Closing, closing: Mapping[PodKey, Closing]) -> datetime:
    """Returns when a pod is removed although it has links, unless a link leaves until then.

    The links of all pods whose deadline is over are moved one after the other, so those of a single pod may wait for
    longer. A user who is handed over may take as long as the time-out of the route.
    """
    over = (facts.pods[key] for key, each in closing.items() if each.is_over and key in facts.pods)
    fell_at = (pod.links_fell_at for pod in over if pod.links_fell_at is not None)
    hand_over = facts.spec.hand_over
    timeout = timedelta(seconds=0 if hand_over is None else hand_over.timeout_seconds)
    return max((closed.deadline, *fell_at)) + STALLED_AFTER + timeout
