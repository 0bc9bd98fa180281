"""Rollouts: pods of older revisions close, and are evicted, so that they come back in the latest revision."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from statefulroute.api.disruption import Rollout
from statefulroute.api.vocabulary import ClosingReason, RolloutStrategy, RouteReason
from statefulroute.domain.closing import Closing
from statefulroute.domain.conditions import ConditionState
from statefulroute.domain.disruption.closing_pods import describe_occupied, may_remove, occupied
from statefulroute.domain.disruption.facts import DisruptionFacts, PodFacts
from statefulroute.domain.keys import PodKey

_ON_DELETE = "OnDelete"

#: How many pods the message of a condition names.
_MAX_NAMED_PODS = 3


@dataclass(frozen=True, slots=True)
class RolloutState:
    """The pods of a StatefulSet, as a rollout sees them.

    Attributes:
        outdated: the pods of older revisions that are to be replaced, the highest index first.
        latest_not_ready: the pods of the latest revision that are not ready.
        available: how many pods are ready and stay, also if they close because of the rollout.
        missing: how many pods of the workload do not exist.
    """

    outdated: Sequence[PodFacts]
    latest_not_ready: Sequence[PodFacts]
    available: int
    missing: int


def rollout_state(facts: DisruptionFacts, rollout: Rollout, leaving: Container[PodKey] = ()) -> RolloutState:
    """Returns the pods as a rollout sees them.

    Args:
        facts: the facts.
        rollout: the settings.
        leaving: the pods that close for another reason.
    """
    first, latest = facts.workload.first_index or 0, facts.workload.update_revision
    outdated, not_ready, available = list[PodFacts](), list[PodFacts](), 0
    for key, pod in facts.pods.items():
        if not isinstance(key, int) or not pod.exists or not latest or key in leaving:
            continue
        available += pod.is_ready and not pod.is_ending
        if pod.revision == latest:
            if not pod.is_ready:
                not_ready.append(pod)
        elif pod.revision and key - first >= rollout.partition:
            outdated.append(pod)
    missing = facts.workload.replicas - sum(pod.exists for pod in facts.pods.values())
    return RolloutState(outdated[::-1], not_ready, available, max(missing, 0))


def _replaces_pods(facts: DisruptionFacts, rollout: Rollout) -> bool:
    """Returns whether pods are replaced, or would be if others were available and the rollout were not paused."""
    if rollout.strategy is not RolloutStrategy.WHEN_EMPTY or facts.workload.update_strategy != _ON_DELETE:
        return False
    return bool(rollout_state(facts, rollout).outdated)


def surge(facts: DisruptionFacts, desired: int) -> int:
    """Returns how many pods more than desired the workload has because of a rollout.

    A pause adds none, and keeps those that there are, because they may have users. Without any pod, none is replaced.

    Args:
        facts: the facts.
        desired: the number of pods without those of a surge.
    """
    rollout = facts.spec.rollout
    if rollout is None or not desired or not _replaces_pods(facts, rollout):
        return 0
    present = max(facts.workload.replicas - desired, 0)
    return min(rollout.surge, present) if rollout.paused else rollout.surge


def outdated_pods(facts: DisruptionFacts, desired: int, leaving: Container[PodKey]) -> list[PodKey]:
    """Returns the pods that close because of a rollout.

    So many close that the desired number of pods without `maxUnavailable` of them takes new users, and at least one.
    Pods that are not ready serve nobody, so they close, too, but no more of them than `maxUnavailable` together
    with pods of the latest revision that are not ready: a revision that does not get ready replaces no more pods.

    Args:
        facts: the facts.
        desired: the number of pods without those of a surge.
        leaving: the pods that close for another reason.
    """
    rollout = facts.spec.rollout
    if rollout is None or rollout.paused or not _replaces_pods(facts, rollout):
        return []
    state = rollout_state(facts, rollout, leaving)
    number = min(state.available - (desired - rollout.max_unavailable), state.available - 1)
    ready = [pod for pod in state.outdated if pod.is_ready and not pod.is_ending]
    ready.sort(key=lambda pod: pod.closing is None)  # a pod that is closing goes on closing
    others = [pod for pod in state.outdated if not pod.is_ready and not pod.is_ending]
    ending = sum(pod.is_ending for pod in state.outdated)
    free = rollout.max_unavailable - len(state.latest_not_ready) - ending - state.missing
    return [pod.key for pod in (*ready[: max(number, 0)], *others[: max(free, 0)])]


def pods_to_evict(facts: DisruptionFacts, closing: Mapping[PodKey, Closing]) -> list[PodFacts]:
    """Returns the pods that are replaced now: they close because of a rollout, and may be removed."""
    closed = (key for key, each in closing.items() if each.reason is ClosingReason.ROLLOUT)
    pods = (facts.pods[key] for key in closed if may_remove(facts, key, closing))
    return [pod for pod in pods if pod.exists and not pod.is_ending]


def rolled_out_condition(
    facts: DisruptionFacts, rollout: Rollout, desired: int, closing: Mapping[PodKey, Closing]
) -> ConditionState:
    """RolledOut: all pods have the latest revision."""
    name = f"StatefulSet {facts.workload.name!r}"
    if facts.workload.update_strategy != _ON_DELETE:
        fix = "set its spec.updateStrategy.type to OnDelete"
        message = f"the {name} replaces its pods itself, with or without users: {fix}"
        return False, RouteReason.UPDATE_STRATEGY_NOT_ON_DELETE, message
    if not facts.workload.update_revision:
        return False, RouteReason.ROLLING_OUT, f"the status of the {name} does not have its latest revision yet"
    leaving = {key for key, each in closing.items() if each.reason is not ClosingReason.ROLLOUT}
    state = rollout_state(facts, rollout, leaving)
    if not state.outdated:
        return _replaced(facts, rollout, state)
    number = len(state.outdated)
    start = f"{number} {'pod has' if number == 1 else 'pods have'} an older revision of the {name}"
    if rollout.paused or rollout.strategy is not RolloutStrategy.WHEN_EMPTY:
        return False, RouteReason.PAUSED, f"{start}, and the rollout is paused"
    closed = [key for key, each in closing.items() if each.reason is ClosingReason.ROLLOUT]
    return _waiting(facts, closed, closing, start) if closed else _blocked(rollout, state, desired, start)


def _waiting(
    facts: DisruptionFacts, closed: Sequence[PodKey], closing: Mapping[PodKey, Closing], start: str
) -> ConditionState:
    """Returns what the pods wait for that close."""
    for key in closed:
        if (refusal := facts.eviction_refusals.get(key)) is not None:
            message = f"{start}, and the eviction of {facts.pods[key].name} was refused: {refusal}"
            return False, RouteReason.EVICTION_REFUSED, message
    if waiting := occupied(facts, closed):
        users = describe_occupied(waiting, closing)
        return False, RouteReason.WAITING_FOR_USERS, f"{start}; the next ones wait for the users of {users}"
    return False, RouteReason.ROLLING_OUT, start


def _replaced(facts: DisruptionFacts, rollout: Rollout, state: RolloutState) -> ConditionState:
    """Returns the state of a StatefulSet whose pods have the latest revision."""
    if state.latest_not_ready:
        return False, RouteReason.NEW_REVISION_NOT_READY, _not_ready_message(state)
    which = f"all pods from index {rollout.partition}" if rollout.partition else "all pods"
    return True, RouteReason.ROLLED_OUT, f"{which} have the revision {facts.workload.update_revision}"


def _blocked(rollout: Rollout, state: RolloutState, desired: int, start: str) -> ConditionState:
    """Returns why no pod closes."""
    if state.latest_not_ready:
        return False, RouteReason.NEW_REVISION_NOT_READY, f"{start}, and none is replaced: {_not_ready_message(state)}"
    if state.available <= 1:
        return (
            False,
            RouteReason.NO_OTHER_AVAILABLE_POD,
            f"{start}, and none is replaced before another pod takes new users: with one pod, set spec.rollout.surge",
        )
    needed = desired - rollout.max_unavailable
    return False, RouteReason.ROLLING_OUT, f"{start}, and none is replaced before more than {needed} pods are available"


def _not_ready_message(state: RolloutState) -> str:
    names = ", ".join(pod.name for pod in state.latest_not_ready[:_MAX_NAMED_PODS])
    return f"{names} of the latest revision {'is' if len(state.latest_not_ready) == 1 else 'are'} not Ready"
