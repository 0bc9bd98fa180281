"""Node drain: pods close when their node is drained, and a label marks the pods whose eviction waits for users."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from statefulroute.domain.closing import Closing
from statefulroute.domain.disruption.closing_pods import may_remove
from statefulroute.domain.disruption.facts import DisruptionFacts
from statefulroute.domain.keys import PodKey

#: How long an open pod keeps the mark without a link: users that come and go cause no writes.
HOLD = timedelta(seconds=10)


def drained_pods(facts: DisruptionFacts) -> list[PodKey]:
    """Returns the pods that close because their node is drained, first those that are closing already."""
    if facts.spec.disruption is None:
        return []
    drained = [pod for pod in facts.pods.values() if pod.exists and pod.is_node_drained]
    return [pod.key for pod in sorted(drained, key=lambda pod: pod.closing is None)]


@dataclass(frozen=True, slots=True)
class MarkChanges:
    """Which marks are written, and when the next one may be due.

    Attributes:
        mark: the pods that get the mark.
        unmark: the pods that lose it.
        emptied: since when each open pod with the mark has no links.
        next_check: when the first of them loses the mark; None if none does.
    """

    mark: frozenset[PodKey]
    unmark: frozenset[PodKey]
    emptied: Mapping[PodKey, datetime]
    next_check: datetime | None


def mark_changes(
    facts: DisruptionFacts,
    closing: Mapping[PodKey, Closing],
    marked: Collection[PodKey],
    emptied: Mapping[PodKey, datetime],
) -> MarkChanges:
    """Returns which pods get or lose the mark of occupied pods.

    A pod with links has the mark, unless it is closing and may be removed in spite of them. A closing pod loses the
    mark as soon as it may be removed: no new user comes. An open pod loses it when it had no link for a while.

    Args:
        facts: the facts.
        closing: the closing pods.
        marked: the pods that have the mark.
        emptied: since when each open pod with the mark has no links, by the last call.
    """
    mark, unmark, empty_since = set[PodKey](), set[PodKey](), dict[PodKey, datetime]()
    for key, pod in facts.pods.items():
        if not pod.exists or pod.is_ending:
            continue
        may_go = may_remove(facts, key, closing)
        if pod.links and not may_go:
            mark.add(key)
        elif key in marked and (may_go or _is_hold_over(facts, emptied.get(key))):
            unmark.add(key)
        elif key in marked and not pod.links:
            empty_since[key] = emptied.get(key, facts.now)
    next_check = min((since + HOLD for since in empty_since.values()), default=None)
    return MarkChanges(frozenset(mark.difference(marked)), frozenset(unmark), empty_since, next_check)


def _is_hold_over(facts: DisruptionFacts, emptied: datetime | None) -> bool:
    return emptied is not None and facts.now >= emptied + HOLD
